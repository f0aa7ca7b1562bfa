# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a real server, which does to an answer what a test says.

    with Proxy(network, authority, "10.77.0.11", 8200) as proxy:
        proxy.next(Fault(edit=status(429, {"Retry-After": "1"})), path="/v1/kv/*")
        proxy.next(Fault(asks=False, cut=0, end="hang"), times=2)
        proxy.greet(Greeting(end="hang"))            # the next connection: no answer to its ClientHello
        ...
        assert len(proxy.requests) == 3

It speaks TLS to both sides. What no fault was asked for passes as it is. Faults are taken in the order in which they
were asked for, each by the first request that it fits; a request takes one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from authority import Authority
from network import OURS, Network

NAME = "proxy.test"
HEAD_MAX = 64 * 1024
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: Headers
    body: bytes

    def head(self) -> bytes:
        """Its bytes before the body."""
        return head(f"{self.method} {self.path} HTTP/1.1", self.headers, self.body)


@dataclass(frozen=True)
class Response:
    """What the server said, or what is said in its place."""

    status: int
    headers: Headers
    body: bytes

    def bytes(self) -> bytes:
        """It as it goes over the line."""
        return head(f"HTTP/1.1 {self.status} Status", self.headers, self.body) + self.body


Edit = Callable[[Response], Response | bytes]


def unchanged(response: Response) -> Response:
    """The edit that is none."""
    return response


@dataclass(frozen=True)
class Fault:
    """What becomes of one request. What is left out is as the server has it."""

    asks: bool = True  # whether the server hears of the request at all
    delay: float = 0  # seconds before the answer begins
    edit: Edit = unchanged  # what is said in place of what the server said
    drip: float = 0  # seconds between one byte and the next
    cut: int | None = None  # the answer ends after so many bytes (so many too early, if negative), and with it:
    end: str = "close"  # close, reset, or hang (open, and nothing comes any more)


@dataclass(frozen=True)
class Greeting:
    """What becomes of one connection before TLS: these bytes, then an end as in Fault."""

    data: bytes = b""
    end: str = "close"


# The beginning of a ServerHello whose end never comes.
HALF_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"


@dataclass
class Script:
    """A fault that waits for the requests that it fits."""

    fault: Fault
    method: str
    path: str
    times: int


# edits


def status(code: int, headers: Mapping[str, str] = {}, body: Any = None) -> Edit:
    """Another status, with other headers beside what the server said, and this JSON for a body unless it is None."""

    def edit(response: Response) -> Response:
        kept = tuple(pair for pair in response.headers if pair[0].lower() not in {name.lower() for name in headers})
        said = response.body if body is None else json.dumps(body).encode()
        return Response(code, kept + tuple(headers.items()), said)

    return edit


def content(data: bytes) -> Edit:
    """Another body."""
    return lambda response: replace(response, body=data)


def raw(data: bytes) -> Edit:
    """These bytes, whether they are HTTP or not."""
    return lambda response: data


def garbage(size: int = 4096) -> Edit:
    """Bytes that mean nothing."""
    return lambda response: os.urandom(size)


def oversized(size: int) -> Edit:
    """A JSON string of so many bytes."""
    return lambda response: replace(response, body=b'{"data":"' + b"x" * (size - 11) + b'"}')


def deep(depth: int) -> Edit:
    """JSON in JSON in JSON."""
    return lambda response: replace(response, body=b'{"data":' * depth + b"1" + b"}" * depth)


def fields(**values: Any) -> Edit:
    """Other values, of any type, in the server's JSON; a__b is b in a, and None is null."""

    def edit(response: Response) -> Response:
        document = json.loads(response.body)
        for name, value in values.items():
            *way, last = name.split("__")
            target = document
            for step in way:
                target = target[step]
            target[last] = value
        return replace(response, body=json.dumps(document).encode())

    return edit


def twice(name: str, value: Any) -> Edit:
    """A key of the server's JSON a second time, with another value."""

    def edit(response: Response) -> Response:
        again = json.dumps({name: value})[1:-1].encode()
        return replace(response, body=response.body.rstrip().removesuffix(b"}") + b"," + again + b"}")

    return edit


# HTTP, as much of it as OpenBao and its clients speak


def head(first: str, headers: Headers, body: bytes) -> bytes:
    """The bytes of a message before its body, whose size is told anew."""
    kept = [f"{name}: {value}" for name, value in headers if name.lower() not in ("content-length", "transfer-encoding")]
    bodiless = first.startswith("HTTP/1.1 204") or first.startswith("HTTP/1.1 304")
    size = [] if bodiless else [f"Content-Length: {len(body)}"]
    return "\r\n".join([first, *kept, *size, "", ""]).encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    """The first line and the headers of what comes next; IncompleteReadError when nothing does."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text[:-4].split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, tuple((name, value.strip()) for name, _, value in pairs)


async def read_body(reader: asyncio.StreamReader, headers: Headers) -> bytes:
    """The body that these headers tell of."""
    lower = {name.lower(): value for name, value in headers}
    if "chunked" not in lower.get("transfer-encoding", ""):
        return await reader.readexactly(int(lower.get("content-length", 0)))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


class Proxy:
    """Listens at the test's own address; runs in a thread of its own until it is closed."""

    def __init__(self, network: Network, authority: Authority, address: str, port: int) -> None:
        self.server = (address, port)
        self.address = OURS
        self.port = 0
        self.connections = 0  # how many were opened so far
        self.requests: list[Request] = []  # what was asked so far, in order
        self.tls = authority.server(authority.certificate(NAME, OURS))  # a test may put another one here
        self._trust = authority.client()
        self._greetings: list[Greeting] = []
        self._scripts: list[Script] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(network, ready), daemon=True)
        self._thread.start()
        ready.wait(10)

    # what a test says

    def next(self, fault: Fault, method: str = "*", path: str = "*", times: int = 1) -> None:
        """The next requests that fit, so many of them, meet this fault."""
        with self._lock:
            self._scripts.append(Script(fault, method, path, times))

    def greet(self, greeting: Greeting, times: int = 1) -> None:
        """The next connections meet this in place of TLS."""
        with self._lock:
            self._greetings += [greeting] * times

    def calm(self) -> None:
        """Forgets all faults that still wait, and what was asked."""
        with self._lock:
            self._scripts.clear()
            self._greetings.clear()
            self.requests.clear()

    def close(self) -> None:
        """Ends it with all its connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what it does

    def _run(self, network: Network, ready: threading.Event) -> None:
        network.enter()
        asyncio.set_event_loop(self._loop)
        listener = self._loop.run_until_complete(asyncio.start_server(self._accept, OURS, 0, limit=HEAD_MAX))
        self.port = listener.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        listener.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: its requests, one after the other."""
        with self._lock:
            greeting = self._greetings.pop(0) if self._greetings else None
        if greeting:
            writer.write(greeting.data)
            return await self._end(reader, writer, greeting.end)
        await writer.start_tls(self.tls)
        async with Upstream(self.server, self._trust) as server:
            while True:
                request = await self._request(reader)
                fault = self._fault(request)
                if not await self._answer(request, fault, server, writer):
                    return await self._end(reader, writer, fault.end)

    async def _request(self, reader: asyncio.StreamReader) -> Request:
        first, headers = await read_head(reader)
        method, path, _ = first.split(" ", 2)
        request = Request(method, path, headers, await read_body(reader, headers))
        self.requests.append(request)
        return request

    def _fault(self, request: Request) -> Fault:
        """The first fault that waits for such a request."""
        with self._lock:
            for script in self._scripts:
                if fnmatchcase(request.method, script.method) and fnmatchcase(request.path, script.path):
                    script.times -= 1
                    if not script.times:
                        self._scripts.remove(script)
                    return script.fault
        return Fault()

    async def _answer(self, request: Request, fault: Fault, server: Upstream, writer: asyncio.StreamWriter) -> bool:
        """Asks the server and says what the fault makes of it; whether the connection goes on."""
        response = await server.ask(request) if fault.asks else Response(200, (), b"{}")
        await asyncio.sleep(fault.delay)
        edited = fault.edit(response)
        data = edited if isinstance(edited, bytes) else edited.bytes()
        if request.method == "HEAD" and not isinstance(edited, bytes):
            data = data[: data.index(b"\r\n\r\n") + 4]
        data = data[: fault.cut]
        for part in [data[n : n + 1] for n in range(len(data))] if fault.drip else [data]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(fault.drip)
        return fault.cut is None and isinstance(edited, Response)

    @staticmethod
    async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, how: str) -> None:
        await writer.drain()
        if how == "hang":
            while await reader.read(HEAD_MAX):
                pass
        elif how == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Upstream:
    """The proxy's own connection to the server, opened when it is needed."""

    def __init__(self, server: tuple[str, int], trust: ssl.SSLContext) -> None:
        self._server = server
        self._trust = trust
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: Request) -> Response:
        """What the server says to a request; 502 when it says nothing."""
        try:
            return await self._ask(request)
        except (OSError, EOFError, ValueError):
            return Response(502, (), b"")

    async def _ask(self, request: Request) -> Response:
        if not self._writer or not self._reader:
            self._reader, self._writer = await asyncio.open_connection(*self._server, ssl=self._trust, limit=HEAD_MAX)
        self._writer.write(request.head() + request.body)
        await self._writer.drain()
        first, headers = await read_head(self._reader)
        code = int(first.split(" ")[1])
        bodiless = request.method == "HEAD" or code in (204, 304)
        return Response(code, headers, b"" if bodiless else await read_body(self._reader, headers))

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()
