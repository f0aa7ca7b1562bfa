# SPDX-License-Identifier: Apache-2.0
"""The fault proxy lets a real server's answers pass, and does to them each thing that the store has to outlive."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

import engines
import pytest
from openbao import OpenBao, Servers
from proxy import (HALF_HELLO, Edit, Fault, Greeting, Proxy, content, deep, fields, garbage, oversized, raw, status,
                   twice)

pytestmark = pytest.mark.servers

PATIENCE = 20.0  # of the test's client
IMPATIENCE = 1.0  # of one that meets what hangs for good
WORD = {"word": "open"}


class Client:
    """A connection to the proxy, as a client has one that keeps it."""

    def __init__(self, proxy: Proxy, servers: Servers, token: str, patience: float = PATIENCE) -> None:
        plain = servers.network.connect(proxy.address, proxy.port, patience)
        self.http = http.client.HTTPConnection(proxy.address)
        self.http.sock = self.tls = servers.authority.client().wrap_socket(plain, server_hostname=proxy.address)
        self.token = token

    def get(self, path: str = "fault/key", method: str = "GET") -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of one answer."""
        self.http.request(method, f"/v1/{path}", headers={"X-Vault-Token": self.token})
        response = self.http.getresponse()
        return response.status, response.headers, response.read()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()


@pytest.fixture(scope="module")
def all_faults(servers: Servers, openbao: OpenBao) -> Iterator[Proxy]:
    """A proxy in front of a server that has one secret."""
    engines.kv(openbao, "fault", 1)
    openbao.write("fault/key", **WORD)
    with Proxy(servers.network, servers.authority, openbao.addresses[0], 8200) as it:
        yield it


@pytest.fixture
def proxy(all_faults: Proxy) -> Iterator[Proxy]:
    """The same, with nothing asked for yet."""
    all_faults.calm()
    yield all_faults


@pytest.fixture
def client(proxy: Proxy, servers: Servers, openbao: OpenBao) -> Iterator[Client]:
    """A patient client."""
    with Client(proxy, servers, openbao.token) as it:
        yield it


def data(answer: tuple[int, http.client.HTTPMessage, bytes]) -> Any:
    """The secret in an answer."""
    return json.loads(answer[2])["data"]


def test_what_no_fault_is_asked_for_passes(proxy: Proxy, client: Client) -> None:
    """Many requests on one connection, of every method, with and without a body; and each is written down."""
    opened = proxy.connections
    assert [data(client.get()) for _ in range(3)] == [WORD] * 3
    assert client.get("fault/none")[0] == 404 and client.get(method="HEAD")[2] == b""
    assert data(client.get("fault", "LIST")) == {"keys": ["key"]}
    client.http.request("POST", "/v1/fault/new", json.dumps({"a": "b" * 100000}), {"X-Vault-Token": client.token})
    response = client.http.getresponse()
    assert (response.status, response.read()) == (204, b"")
    assert len(data(client.get("fault/new"))["a"]) == 100000
    assert [request.method for request in proxy.requests] == ["GET"] * 4 + ["HEAD", "LIST", "POST", "GET"]
    assert proxy.connections == opened


def test_a_fault_meets_the_requests_it_is_for(proxy: Proxy, client: Client) -> None:
    """By method and path, so many times, in the order in which they were asked for."""
    proxy.next(Fault(edit=status(500)), method="POST")
    proxy.next(Fault(edit=status(501)), path="/v1/fault/k*", times=2)
    proxy.next(Fault(edit=status(502)))
    assert [client.get("fault/none")[0]] + [client.get()[0] for _ in range(3)] == [502, 501, 501, 200]
    proxy.calm()
    assert client.get(method="POST")[0] != 500


@pytest.mark.parametrize(("code", "headers"), [
    (307, {"Location": "https://10.77.0.99:8200/v1/fault/key"}), (412, {}), (429, {}), (429, {"Retry-After": "2"}),
    (472, {}), (473, {}), (500, {}), (502, {}), (503, {}),
], ids=str)
def test_another_status(proxy: Proxy, client: Client, code: int, headers: dict[str, str]) -> None:
    """With the headers that belong to it, and with a body of its own; the connection goes on."""
    proxy.next(Fault(edit=status(code, headers, {"errors": ["because"]})))
    answer = client.get()
    assert answer[0] == code and json.loads(answer[2]) == {"errors": ["because"]}
    assert ("Retry-After" in answer[1]) == ("Retry-After" in headers) and headers.items() <= dict(answer[1]).items()
    assert data(client.get()) == WORD


@pytest.mark.parametrize(("edit", "body"), [
    (fields(data__word=5), b'"word": 5'), (fields(data=None), b'"data": null'),
    (fields(lease_duration=-1), b'"lease_duration": -1'), (fields(lease_duration=1 << 70), b"1180591620717411303424"),
    (twice("data", []), b',"data": []}'), (deep(10000), b'{"data":' * 10000), (oversized(5_000_000), b"x" * 4_999_980),
    (content(b'{"data":{"word\0":"a\0b"}}'), b"word\0"), (content(b""), b""),
], ids=["type", "null", "negative", "huge", "twice", "deep", "oversized", "nul", "empty"])
def test_another_body(proxy: Proxy, client: Client, edit: Edit, body: bytes) -> None:
    """Wrong types, keys twice, numbers nobody expects, depth, size, and NULs; the connection goes on."""
    proxy.next(Fault(edit=edit))
    code, headers, got = client.get()
    assert code == 200 and body in got and int(headers["Content-Length"]) == len(got)
    assert data(client.get()) == WORD


def test_slow_answers(proxy: Proxy, client: Client) -> None:
    """One that begins late, and one that comes byte by byte, are whole in the end."""
    began = time.monotonic()
    proxy.next(Fault(delay=0.5))
    assert data(client.get()) == WORD and time.monotonic() - began >= 0.5
    began = time.monotonic()
    proxy.next(Fault(drip=0.001))
    assert data(client.get()) == WORD and time.monotonic() - began >= 0.3


@pytest.mark.parametrize(("fault", "error"), [
    (Fault(cut=0), ConnectionError), (Fault(cut=0, end="reset"), ConnectionError), (Fault(cut=0, end="hang"), TimeoutError),
    (Fault(cut=40), None), (Fault(cut=-9), http.client.IncompleteRead), (Fault(cut=-9, end="hang"), TimeoutError),
    (Fault(asks=False, cut=0), ConnectionError), (Fault(edit=garbage()), http.client.HTTPException),
    (Fault(edit=raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100000)), http.client.HTTPException),
])
def test_answers_that_do_not_come_whole(proxy: Proxy, servers: Servers, openbao: OpenBao, fault: Fault, error: Any) -> None:
    """The connection is closed, reset, or open and silent, before the answer or in it; or what comes is no answer."""
    openbao.write("fault/count", n=1)
    proxy.next(fault)
    with Client(proxy, servers, openbao.token) as client:
        if fault.end == "hang":
            client.tls.settimeout(IMPATIENCE)
        if error:
            with pytest.raises(error):
                client.get()
        else:  # this client takes a head that ends early for a whole one
            assert client.get()[2] == b""
    with Client(proxy, servers, openbao.token) as client:
        assert data(client.get()) == WORD


@pytest.mark.parametrize(("greeting", "error"), [
    (Greeting(), OSError), (Greeting(end="reset"), ConnectionResetError), (Greeting(end="hang"), TimeoutError),
    (Greeting(HALF_HELLO, "hang"), TimeoutError), (Greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ssl.SSLError),
])
def test_no_tls(proxy: Proxy, servers: Servers, greeting: Greeting, error: type[OSError]) -> None:
    """The handshake ends, stalls at once or half way, or is answered with something else; the next one is good."""
    proxy.greet(greeting)
    with pytest.raises(error):
        Client(proxy, servers, "", IMPATIENCE if greeting.end == "hang" else PATIENCE)
    with Client(proxy, servers, "") as client:
        assert client.get("sys/health")[0] == 200


def test_another_certificate(proxy: Proxy, servers: Servers) -> None:
    """One for another name is refused by who looks."""
    good = proxy.tls
    proxy.tls = servers.authority.server(servers.authority.certificate("other.test"))
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(proxy, servers, "")
    proxy.tls = good
    with Client(proxy, servers, "") as client:
        assert client.get("sys/health")[0] == 200
