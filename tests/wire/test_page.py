#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/PROTOCOL.md says is what the C code does: Python made from the page, and C, read each other's messages."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import unittest
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/system"))

from wire import Field, Message, Page, Refused, WireError  # noqa: E402

ROUNDS = 10
PAGE = Page((TOP / "docs/PROTOCOL.md").read_text())


class Echo:
    """The C side: takes a message apart, puts it together, and hands it back."""

    def __init__(self) -> None:
        program = Path(os.environ.get("top_builddir", ".")) / "tests/wire/echo"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, what: str, data: bytes) -> bytes | None:
        """The message as C writes it, or None when C refuses to read it."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{what} {len(data)}\n".encode() + data)
        self.process.stdin.flush()
        size = int(self.process.stdout.readline())
        if size in (-errno.EBADMSG, -errno.EPROTONOSUPPORT):
            return None
        assert size >= 0, f"C read the message but could not write it: {os.strerror(-size)}"
        return self.process.stdout.read(size)

    def close(self) -> None:
        """Waits for its end, which must be a good one."""
        self.process.communicate()
        assert self.process.returncode == 0


class Chance:
    """Random values for fields; small and large, empty and full."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self, most: int) -> str:
        """At most so many bytes of UTF-8, some of it not ASCII."""
        size = self.random.choice((0, 1, min(most, 40), min(most, 5000)))
        letters = "".join(self.random.choice("abz09_-./ \t%ä€") for _ in range(size))
        return letters.encode()[:most].decode(errors="ignore")

    def data(self, most: int) -> bytes:
        """At most so many bytes of any value."""
        return self.random.randbytes(self.random.choice((0, 1, min(most, 40), min(most, 5000))))

    def value(self, field: Field) -> Any:
        """A value that the field may have."""
        if field.kind in Field.INTEGERS:
            top = {"flag": 1, "u32": (1 << 32) - 1, "u64": (1 << 64) - 1}[field.kind]
            number = self.random.choice((0, 1, top, self.random.randint(0, top)))
            return bool(number) if field.kind == "flag" else number
        if field.kind == "list":
            return self.list(field)
        return self.text(field.max) if field.kind == "string" else self.data(field.max)

    def list(self, field: Field) -> list[Any]:
        """Some elements of the sort that the field holds."""
        count = self.random.choice((0, 1, min(field.max // 2, 20)))
        if field.elements == "strings":
            return [self.text(100) for _ in range(count)]
        if field.elements == "pairs":
            return [(self.text(20), self.text(100)) for _ in range(count)]
        if field.elements == "secret pairs":
            return [(self.text(20), self.data(100)) for _ in range(count)]
        if field.elements == "rows":
            return [[(self.text(20), self.text(20)) for _ in range(3)] for _ in range(count)]
        return [self.values(PAGE.records[field.elements]) for _ in range(count)]

    def values(self, message: Message) -> dict[str, Any]:
        """Values for all fields of a message."""
        return {field.name: self.value(field) for field in message.fields}


def messages() -> Iterator[tuple[str, str, Message]]:
    """(what the echo calls it, name, fields) of every message there is."""
    for verb in PAGE.verbs.values():
        yield "request", verb.name, verb.request
        yield "reply", verb.name, verb.reply
    for name, record in PAGE.records.items():
        yield name, name, record


def framed(what: str, name: str, body: bytes) -> bytes:
    """The body with the head of its frame, which a record has none of."""
    if what not in ("request", "reply"):
        return body
    head = [PAGE.version, PAGE.verbs[name].number] + ([0] if what == "reply" else [])
    rest = b"".join(number.to_bytes(4, "little") for number in head) + body
    return len(rest).to_bytes(4, "little") + rest


def unpacked(what: str, name: str, message: Message, data: bytes) -> dict[str, Any]:
    """What Python reads in a message."""
    if what == "request":
        verb, values = PAGE.take_request(data)
        assert verb == name
        return values
    return PAGE.take_reply(name, data) if what == "reply" else message.unpack(PAGE, data)


def content(field: Field, size: int) -> Any:
    """So many bytes, characters or elements."""
    if field.kind in Field.INTEGERS:
        return 1
    return {"string": "x" * size, "list": ["x"] * size}.get(field.kind, b"x" * size)


def loose(field: Field, more: int) -> Field:
    """The field with a greater maximum; any list takes strings."""
    return replace(field, max=field.max + more, prose="strings")


def sized(message: Message, full: Field, size: int) -> bytes:
    """The bytes of a message that is empty but for one field of that size."""
    values = {field.name: content(field, size) if field is full else field.empty for field in message.fields}
    return b"".join(loose(field, 1).pack(PAGE, values[field.name]) for field in message.fields)


def with_bytes(message: Message, field: Field, data: bytes) -> bytes:
    """The bytes of a message that is empty, but has these where the field belongs."""
    return b"".join(data if f is field else f.pack(PAGE, f.empty) for f in message.fields)


class WirePage(unittest.TestCase):
    """Each test runs over all messages of the page."""

    def setUp(self) -> None:
        self.echo = Echo()
        self.addCleanup(self.echo.close)

    def assert_refused_by_both(self, what: str, name: str, message: Message, body: bytes) -> None:
        data = framed(what, name, body)
        self.assertIsNone(self.echo(what, data))
        with self.assertRaises(WireError):
            unpacked(what, name, message, data)

    def test_the_page_has_all_that_there_is_to_say(self) -> None:
        self.assertGreater(len(PAGE.verbs), 25)
        self.assertEqual(set(PAGE.records) & {"progress", "grant", "session"}, {"progress", "grant", "session"})
        self.assertEqual(PAGE.status[0], "ok")

    def test_python_and_c_read_what_the_other_wrote(self) -> None:
        for what, name, message in messages():
            for seed in range(ROUNDS):
                with self.subTest(what=what, name=name, seed=seed):
                    values = Chance(seed).values(message)
                    sent = framed(what, name, message.pack(PAGE, values))
                    echoed = self.echo(what, sent)
                    assert echoed is not None
                    self.assertEqual(echoed, sent)
                    self.assertEqual(unpacked(what, name, message, echoed), values)

    def test_every_field_may_be_full_and_no_fuller(self) -> None:
        for what, name, message in messages():
            for field in message.fields:
                if field.max == 0:
                    continue
                with self.subTest(what=what, name=name, field=field.name):
                    full, over = sized(message, field, field.max), sized(message, field, field.max + 1)
                    self.assertIsNotNone(self.echo(what, framed(what, name, full)))
                    self.assert_refused_by_both(what, name, message, over)
                    with self.assertRaises(WireError):
                        loose(field, 0).pack(PAGE, content(field, field.max + 1))

    def test_every_truncation_and_every_extra_byte_is_refused(self) -> None:
        for what, name, message in messages():
            body = b"".join(loose(field, 0).pack(PAGE, content(field, 2)) for field in message.fields)
            self.assertIsNotNone(self.echo(what, framed(what, name, body)))
            for size in range(len(body)):
                with self.subTest(what=what, name=name, size=size):
                    self.assert_refused_by_both(what, name, message, body[:size])
            self.assert_refused_by_both(what, name, message, body + b"\0")

    def test_a_value_that_its_kind_does_not_have_is_refused(self) -> None:
        no_nul_behind = b"\1\0\0\0ax"
        bad = {
            "flag": [b"\2"],
            "string": [no_nul_behind, b"\1\0\0\0\0\0"],
            "secret": [no_nul_behind],
            "bytes": [no_nul_behind],
        }
        for what, name, message in messages():
            for field in message.fields:
                for data in bad.get(field.kind, []):
                    with self.subTest(what=what, name=name, field=field.name, data=data):
                        self.assert_refused_by_both(what, name, message, with_bytes(message, field, data))

    def test_a_list_that_lies_about_itself_is_refused(self) -> None:
        lies = {
            "fewer elements than it says": b"\2\0\0\0\6\0\0\0\1\0\0\0a\0",
            "more bytes than elements": b"\1\0\0\0\7\0\0\0\1\0\0\0a\0x",
            "longer than the message": b"\1\0\0\0\xff\xff\xff\xff\1\0\0\0a\0",
            "an element longer than the list": b"\1\0\0\0\6\0\0\0\2\0\0\0a\0",
        }
        for what, name, message in messages():
            for field in message.fields:
                for lie, data in lies.items() if field.kind == "list" else ():
                    with self.subTest(what=what, name=name, field=field.name, lie=lie):
                        self.assert_refused_by_both(what, name, message, with_bytes(message, field, data))

    def test_refusals_carry_a_text(self) -> None:
        for status, word in PAGE.status.items():
            if status == 0:
                continue
            frame = PAGE.refusal(PAGE.verbs["account"].number, status, "not on Sundays")
            self.assertEqual(self.echo("reply", frame), frame)
            with self.assertRaises(Refused) as refused:
                PAGE.take_reply("account", frame)
            self.assertEqual((refused.exception.word, refused.exception.text), (word, "not on Sundays"))

    def test_progress_comes_before_the_reply(self) -> None:
        values = {"done": 3, "total": 7, "chunk": b"\0\xff"}
        body = b"\xff\xff\xff\xff" + PAGE.records["progress"].pack(PAGE, values)
        head = PAGE.version.to_bytes(4, "little") + PAGE.verbs["admin"].number.to_bytes(4, "little")
        frame = (len(head) + len(body)).to_bytes(4, "little") + head + body
        self.assertEqual(self.echo("reply", frame), frame)
        self.assertEqual(PAGE.take_reply("admin", frame), {"progress": values})

    def test_versions_out_of_range_are_refused(self) -> None:
        for version in (PAGE.limits["oldest version"] - 1, PAGE.version + 1, 0xFFFFFFFF):
            frame = PAGE.request("status", version=version)
            self.assertIsNone(self.echo("request", frame))
            with self.assertRaises(WireError):
                PAGE.take_request(frame)


if __name__ == "__main__":
    unittest.main()
