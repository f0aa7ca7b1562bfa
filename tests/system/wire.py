# SPDX-License-Identifier: Apache-2.0
"""The wire, a second time: made from the tables of docs/PROTOCOL.md, and from nothing else.

    page = Page(Path("docs/PROTOCOL.md").read_text())
    reply = call(connect("/run/keybearer/root.sock"), page, "account", user="ana", service="sshd")
    reply["rule"]

Values are int, bool, str and bytes; a list is a list of str, of (name, value) pairs, of dictionaries (records), or
of lists of pairs, as the page says. Fields that are left out are empty.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

PROGRESS = 0xFFFFFFFF
ERROR_TEXT_MAX = 1024

Values = dict[str, Any]


class WireError(Exception):
    """These bytes are not what the page allows, or these values do not fit it."""


class Refused(Exception):
    """The answer is a status other than 0: its word is `word`."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(f"{word}: {text}")
        self.word = word
        self.text = text


class Reader:
    """Takes bytes apart from the front; every step past the end is an error."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self.data) - self.at:
            raise WireError("bytes are missing")
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self, size: int) -> int:
        """The next number of that many bytes."""
        return int.from_bytes(self.take(size), "little")

    def bytes(self, most: int) -> bytes:
        """The next bytes with their size in front and a NUL behind."""
        size = self.integer(4)
        if size > most:
            raise WireError(f"{size} bytes where {most} are allowed")
        data = self.take(size)
        if self.take(1) != b"\0":
            raise WireError("no NUL behind the bytes")
        return data

    def end(self) -> None:
        """Insists that nothing is left."""
        if self.at != len(self.data):
            raise WireError("bytes are left over")


def pack_bytes(data: bytes, most: int) -> bytes:
    """Size, bytes, NUL."""
    if len(data) > most:
        raise WireError(f"{len(data)} bytes where {most} are allowed")
    return struct.pack("<I", len(data)) + data + b"\0"


def pack_string(text: str, most: int) -> bytes:
    """As bytes, but a NUL inside is no string."""
    if "\0" in text:
        raise WireError("a NUL in a string")
    return pack_bytes(text.encode(), most)


def to_string(data: bytes) -> str:
    """The opposite."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise WireError(str(error)) from None
    if "\0" in text:
        raise WireError("a NUL in a string")
    return text


@dataclass(frozen=True)
class Field:
    """One row of a table of fields."""

    name: str
    kind: str
    max: int
    prose: str

    INTEGERS = {"u32": 4, "u64": 8, "flag": 1}

    @property
    def empty(self) -> Any:
        """What a field holds when nobody says."""
        return {"u32": 0, "u64": 0, "flag": False, "string": "", "list": []}.get(self.kind, b"")

    def pack(self, page: Page, value: Any) -> bytes:
        """The bytes of a value."""
        if self.kind in self.INTEGERS:
            try:
                return int(value).to_bytes(self.INTEGERS[self.kind], "little")
            except OverflowError as error:
                raise WireError(str(error)) from None
        if self.kind == "list":
            return self._pack_list(page, value)
        return pack_string(value, self.max) if self.kind == "string" else pack_bytes(value, self.max)

    def unpack(self, page: Page, reader: Reader) -> Any:
        """The value of the next bytes."""
        if self.kind in self.INTEGERS:
            number = reader.integer(self.INTEGERS[self.kind])
            if self.kind == "flag" and number > 1:
                raise WireError(f"a flag of {number}")
            return bool(number) if self.kind == "flag" else number
        if self.kind == "list":
            return self._unpack_list(page, reader)
        data = reader.bytes(self.max)
        return to_string(data) if self.kind == "string" else data

    # Lists: what their elements are stands in the first words of the prose.

    @property
    def elements(self) -> str:
        """strings, pairs, secret pairs, rows (lists of pairs), or the name of a record."""
        if self.prose.startswith("strings"):
            return "strings"
        if self.prose.startswith("each a list of pairs"):
            return "rows"
        if self.prose.startswith("pairs"):
            return "secret pairs" if "value (secret)" in self.prose else "pairs"
        record = re.match(r"records: (\w+)", self.prose)
        if not record:
            raise WireError(f"the page does not say what the elements of {self.name} are")
        return record[1]

    @property
    def _row(self) -> Field:
        """What one element of a list of lists of pairs would be as a field of its own."""
        return replace(self, prose="pairs")

    def _pack_list(self, page: Page, value: list[Any]) -> bytes:
        parts: list[Any] = value
        if self.elements in ("pairs", "secret pairs"):
            parts = [part for pair in value for part in pair]
        elif self.elements == "rows":
            parts = [self._row.pack(page, pairs) for pairs in value]
        elif self.elements != "strings":
            parts = [page.records[self.elements].pack(page, record) for record in value]
        if len(parts) > self.max:
            raise WireError(f"{len(parts)} elements where {self.max} are allowed")
        packed = [pack_string(part, 1 << 32) if isinstance(part, str) else pack_bytes(part, 1 << 32) for part in parts]
        data = b"".join(packed)
        return struct.pack("<II", len(parts), len(data)) + data

    def _unpack_list(self, page: Page, reader: Reader) -> list[Any]:
        count, size = reader.integer(4), reader.integer(4)
        if count > self.max:
            raise WireError(f"{count} elements where {self.max} are allowed")
        inside = Reader(reader.take(size))
        parts = [inside.bytes(size) for _ in range(count)]
        inside.end()
        if self.elements == "strings":
            return [to_string(part) for part in parts]
        if self.elements == "rows":
            return [Message((self._row,)).unpack(page, part)[self.name] for part in parts]
        if self.elements in ("pairs", "secret pairs"):
            if count % 2:
                raise WireError("a name without a value")
            secret = self.elements == "secret pairs"
            pairs = zip(parts[::2], parts[1::2], strict=True)
            return [(to_string(name), value if secret else to_string(value)) for name, value in pairs]
        return [page.records[self.elements].unpack(page, part) for part in parts]


@dataclass(frozen=True)
class Message:
    """The fields of a request, a reply or a record."""

    fields: tuple[Field, ...]

    def pack(self, page: Page, values: Mapping[str, Any]) -> bytes:
        """The bytes of all fields."""
        unknown = set(values) - {field.name for field in self.fields}
        if unknown:
            raise WireError(f"no such field: {unknown}")
        return b"".join(field.pack(page, values.get(field.name, field.empty)) for field in self.fields)

    def unpack(self, page: Page, data: bytes) -> Values:
        """The values of all fields."""
        reader = Reader(data)
        values = {field.name: field.unpack(page, reader) for field in self.fields}
        reader.end()
        return values


@dataclass(frozen=True)
class Verb:
    """One thing that can be asked for."""

    name: str
    number: int
    callers: tuple[str, ...]
    request: Message
    reply: Message


class Page:
    """docs/PROTOCOL.md, taken apart."""

    VERB = re.compile(r"### (?P<name>\w+) \((?P<number>0x[0-9a-f]+)\)")
    RECORD = re.compile(r"### (?P<name>\w+)")

    def __init__(self, text: str) -> None:
        self.limits = {row[0]: int(row[1]) for row in self._table(text, "limit")}
        self.status = {int(row[0]): row[1] for row in self._table(text, "status")}
        self.records: dict[str, Message] = {}
        self.verbs: dict[str, Verb] = {}
        for section in re.split(r"\n(?=### )", text)[1:]:
            if verb := self.VERB.match(section):
                self._add_verb(verb["name"], int(verb["number"], 16), section)
            elif record := self.RECORD.match(section):
                self.records[record["name"]] = self._message(section, "Fields")

    @property
    def version(self) -> int:
        """The newest version that the page describes."""
        return self.limits["version"]

    def _add_verb(self, name: str, number: int, section: str) -> None:
        callers = re.search(r"\nCallers: (.*)\n", section)
        if not callers:
            raise WireError(f"the page does not say who calls {name}")
        request, reply = self._message(section, "Request"), self._message(section, "Reply")
        self.verbs[name] = Verb(name, number, tuple(callers[1].split()), request, reply)

    @staticmethod
    def _table(text: str, first: str) -> list[list[str]]:
        """The rows of the table whose first column has that name."""
        table = re.search(rf"\n\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text)
        if not table:
            raise WireError(f"the page has no table of {first}")
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]

    def _message(self, section: str, title: str) -> Message:
        part = re.search(rf"\n{title}(: no fields\.\n|:\n\n(?:\|.*\n)+)", section)
        if not part:
            raise WireError(f"the page has no {title} here: {section[:40]}")
        if "no fields" in part[1]:
            return Message(())
        rows = self._table(part[1], "field")
        return Message(tuple(Field(name, kind, int(most or 0), prose) for name, kind, most, prose in rows))

    # Frames

    def request(self, verb: str, version: int | None = None, **values: Any) -> bytes:
        """The frame of a request."""
        known = self.verbs[verb]
        head = struct.pack("<II", self.version if version is None else version, known.number)
        return self._frame(head + known.request.pack(self, values))

    def reply(self, verb: str, version: int | None = None, **values: Any) -> bytes:
        """The frame of a reply with status 0."""
        known = self.verbs[verb]
        head = struct.pack("<III", self.version if version is None else version, known.number, 0)
        return self._frame(head + known.reply.pack(self, values))

    def refusal(self, verb: int, status: int, text: str) -> bytes:
        """The frame of a reply with another status."""
        return self._frame(struct.pack("<III", self.version, verb, status) + pack_string(text, ERROR_TEXT_MAX))

    def _frame(self, rest: bytes) -> bytes:
        if len(rest) > self.limits["greatest size of a frame"]:
            raise WireError("the frame is too large")
        return struct.pack("<I", len(rest)) + rest

    def take_request(self, frame: bytes) -> tuple[str, Values]:
        """Verb and fields of a request."""
        reader = Reader(frame)
        verb, body = self._take_head(reader)
        for known in self.verbs.values():
            if known.number == verb:
                return known.name, known.request.unpack(self, body)
        raise WireError(f"no verb {verb:#x}")

    def take_reply(self, verb: str, frame: bytes) -> Values:
        """Fields of the reply to a verb; raises Refused for a status other than 0."""
        known = self.verbs[verb]
        reader = Reader(frame)
        number, body = self._take_head(reader)
        inside = Reader(body)
        status = inside.integer(4)
        if number != known.number and not (number == 0 and status):
            raise WireError(f"a reply to {number:#x}, not to {verb}")
        if status == PROGRESS:
            return {"progress": self.records["progress"].unpack(self, body[4:])}
        if status == 0:
            return known.reply.unpack(self, body[4:])
        text = to_string(inside.bytes(ERROR_TEXT_MAX))
        inside.end()
        raise Refused(self.status[status], text)

    def _take_head(self, reader: Reader) -> tuple[int, bytes]:
        size, version, verb = reader.integer(4), reader.integer(4), reader.integer(4)
        if not self.limits["oldest version"] <= version <= self.version:
            raise WireError(f"version {version}")
        body = reader.take(size - 8) if size >= 8 else b""
        reader.end()
        return verb, body


# Sockets


def connect(path: str, timeout: float = 10) -> socket.socket:
    """A connection to a socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    connection.connect(path)
    return connection


def receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes; fewer only when the other side hung up."""
    data = b""
    while len(data) < size:
        try:
            more = connection.recv(size - len(data))
        except ConnectionResetError:
            break
        if not more:
            break
        data += more
    return data


def receive_frame(connection: socket.socket) -> bytes:
    """One frame, or b"" when the other side hung up instead."""
    head = receive(connection, 4)
    return head + receive(connection, int.from_bytes(head, "little")) if len(head) == 4 else b""


def call(connection: socket.socket, page: Page, verb: str, **values: Any) -> Values:
    """Sends a request and returns the fields of its reply; closes the connection."""
    with connection:
        connection.sendall(page.request(verb, **values))
        while True:
            reply = page.take_reply(verb, receive_frame(connection))
            if "progress" not in reply:
                return reply
