# SPDX-License-Identifier: Apache-2.0
"""A host and its cluster: each fault of a server ends in success at another one, or in an error that says what it is.

The faults come from a proxy in front of a real server; a leader that dies, a sealed node, another certificate and
another address are real ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from machine import Machine, Result, Run
from network import Network
from openbao import PORT, OpenBao, Servers
from proxy import (HALF_HELLO, NAME, Fault, Greeting, Proxy, content, deep, fields, garbage, oversized, raw, status,
                   twice)
from service import define

pytestmark = pytest.mark.servers

STORE = """\
[Store]
Type=vault
[Server]
{addresses}
CaFile=/etc/keybearer/bao-ca.pem
{server}
[Login]
Method=token
TokenFile=/etc/keybearer/bao.token
"""
WORD = "open sesame"
ONE = "fault-word"  # a credential of the store that has one address
TWO = "other-word"  # of the one that has two


def store(host: Machine, name: str, addresses: list[str], token: str, server: str = "") -> None:
    """A store with a file of its own, which is switched on."""
    text = STORE.format(addresses="\n".join(f"Address={each}" for each in addresses), server=server)
    host.write(f"/etc/keybearer/stores/{name}.conf", text, 0o640, "root:keybearer-vault")
    host.write("/etc/keybearer/bao.token", token, 0o640, "root:keybearer-vault")
    host.run(f"systemctl enable -q --now keybearer-store-vault@{name}.socket && systemctl reload keybearerd")


def fetch(host: Machine, name: str) -> Result:
    """As an administrator tries a definition."""
    return host.run(["keybearer", "credential", "fetch", name, "word"], check=False)


def token_for(bao: OpenBao, mount: str) -> str:
    """A token that may read what lies in a mount."""
    bao.policy(mount, {f"{mount}/*": ["read"], "sys/internal/ui/mounts/*": ["read"]})
    made: str = bao.call("POST", "auth/token/create", {"policies": [mount], "ttl": "1h"})["auth"]["client_token"]
    return made


@pytest.fixture(scope="module")
def proxies(servers: Servers, openbao: OpenBao) -> Iterator[list[Proxy]]:
    """Two in front of a server that has one secret."""
    engines.kv(openbao, "cluster-kv")
    openbao.write("cluster-kv/data/app", data={"word": WORD})
    with Proxy(servers.network, servers.authority, openbao.addresses[0], PORT) as one, Proxy(
            servers.network, servers.authority, openbao.addresses[0], PORT) as two:
        yield [one, two]


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], openbao: OpenBao, proxies: list[Proxy]) -> Iterator[Machine]:
    """A host with a store behind one of them, and another behind both."""
    token = token_for(openbao, "cluster-kv")
    with run.machine(*installed, plug=network.plug("10.77.0.8")) as it:
        it.copy_in(openbao.servers.authority.file, "/etc/keybearer/bao-ca.pem")
        addresses = [f"https://{each.address}:{each.port}" for each in proxies]
        store(it, "alone", addresses[:1], token, "RequestTimeoutSec=2s")
        store(it, "pair", addresses, token, "RequestTimeoutSec=6s\nConnectTimeoutSec=1s")
        define(it, ONE, "cluster-kv/app", more="Store=alone")
        define(it, TWO, "cluster-kv/app", more="Store=pair")
        for name in (ONE, TWO):
            it.wait_for(lambda name=name: WORD in fetch(it, name).stdout, 30, f"{name} once")  # type: ignore[misc]
        yield it


SECRET = "/v1/cluster-kv/data/*"
OTHER = {"Location": "https://10.77.0.99:8200/v1/cluster-kv/data/app"}  # where nobody is
BROKEN = [  # about the server: another one is asked; and when there is none, what is said
    (Fault(edit=status(307, OTHER)), "307: it is not the leader"),
    (Fault(edit=status(412, {}, {"errors": ["required index state not present"]})), "412"),
    (Fault(edit=status(429, {}, {"errors": ["too many"]})), "429"),
    (Fault(edit=status(472)), "only replicates"),
    (Fault(edit=status(473)), "473"),
    (Fault(edit=status(500)), "500"),
    (Fault(edit=status(502)), "502"),
    (Fault(edit=status(503)), "sealed"),
    (Fault(edit=garbage()), "HTTP"),
    (Fault(edit=raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000)), ""),
    (Fault(cut=0), ""),
    (Fault(cut=0, end="reset"), ""),
    (Fault(cut=0, end="hang"), "in time"),
    (Fault(asks=False, cut=0, end="hang"), "in time"),
    (Fault(cut=-9), ""),
    (Fault(drip=0.5), "time"),
]
WRONG = [  # what nobody else would say in another way
    (Fault(edit=status(403, {}, {"errors": ["permission denied"]})), 5, "permission denied"),
    (Fault(edit=status(404, {}, {"errors": []})), 6, "there is no secret at cluster-kv/app"),
    (Fault(edit=status(429, {"Retry-After": "30"}, {"errors": ["too many"]})), 4, "429: too many"),
    (Fault(edit=oversized(8_000_000)), 2, "larger than"),
    (Fault(edit=content(b"")), 1, "holds no data"),
    (Fault(edit=deep(10000)), 2, "no JSON of OpenBao"),
    (Fault(edit=twice("data", [])), 2, "no JSON of OpenBao"),
    (Fault(edit=fields(data=5)), 2, "no JSON of OpenBao"),
    (Fault(edit=fields(data=None)), 1, "holds no data"),
    (Fault(edit=fields(data__data=5)), 1, "holds no data"),
    (Fault(edit=fields(data__data={})), 2, "no fields"),
    (Fault(edit=fields(lease_duration=-1)), 2, "no JSON of OpenBao"),
    (Fault(edit=fields(lease_duration=1 << 70)), 2, "no JSON of OpenBao"),
]


def current(host: Machine, proxies: list[Proxy]) -> tuple[Proxy, Proxy]:
    """The one that the pair's store asks first, and the other."""
    for each in proxies:
        each.calm()
    assert WORD in fetch(host, TWO).stdout
    asked = [each for each in proxies if each.requests]
    return asked[-1], next(each for each in proxies if each is not asked[-1])


def test_what_one_server_does_another_one_makes_good(host: Machine, proxies: list[Proxy]) -> None:
    """Whatever becomes of a request at the one that is asked first."""
    for fault, _ in BROKEN:
        first, _ = current(host, proxies)
        first.next(fault, path=SECRET)
        said = fetch(host, TWO)
        print("pair", fault, said.stdout.strip(), said.stderr.strip())
        assert WORD in said.stdout, (fault, said.stderr)


def test_a_connection_that_stalls_is_left(host: Machine, proxies: list[Proxy]) -> None:
    """Before TLS, or in the middle of it."""
    for greeting in (Greeting(end="hang"), Greeting(HALF_HELLO, "hang"), Greeting(end="reset")):
        first, _ = current(host, proxies)
        first.greet(greeting, times=50)
        first.next(Fault(asks=False, cut=0, end="reset"))  # the connection that is kept
        said = fetch(host, TWO)
        assert WORD in said.stdout, (greeting, said.stderr)


def test_a_server_alone_ends_in_an_error_that_says_what_it_is(host: Machine, proxies: list[Proxy]) -> None:
    """In the time of a request, and the next one is good again."""
    wrong = []
    for fault, text in BROKEN:
        proxies[0].calm()
        host.wait_for(lambda: WORD in fetch(host, ONE).stdout, 30, "an answer")
        proxies[0].next(fault, path=SECRET, times=1000)
        began = time.monotonic()
        said = fetch(host, ONE)
        took = time.monotonic() - began
        print(f"{took:.1f} s exit {said.returncode}: {said.stdout.strip()} {said.stderr.strip()}")
        if said.returncode not in (2, 3, 4) or text not in said.stderr or proxies[0].address not in said.stderr or took > 20:
            wrong.append((fault, said.returncode, said.stderr))
    for fault, code, text in WRONG:
        proxies[0].calm()
        host.wait_for(lambda: WORD in fetch(host, ONE).stdout, 30, "an answer")
        proxies[0].next(fault, path=SECRET, times=1000)
        said = fetch(host, ONE)
        print(f"exit {said.returncode}: {said.stdout.strip()} {said.stderr.strip()}")
        if said.returncode != code or text not in said.stderr:
            wrong.append((fault, said.returncode, said.stderr))
    proxies[0].calm()
    assert not wrong


def test_a_secret_may_hold_anything(host: Machine, proxies: list[Proxy]) -> None:
    """Lists, and bytes that end a string in C."""
    proxies[0].next(Fault(edit=fields(data__data__word=[1])), path=SECRET)
    assert fetch(host, ONE).stdout.strip() == "[1]"
    proxies[0].next(Fault(edit=fields(data__data__word="a\0b")), path=SECRET)
    assert fetch(host, ONE).stdout.strip() == "a\0b"


def test_five_failures_rest_a_server_and_one_probe_finds_it(host: Machine, proxies: list[Proxy]) -> None:
    """While it fails it is asked seldom, and never with a token; when it is good again, that is found by itself."""
    one = proxies[0]
    one.calm()
    one.next(Fault(edit=status(500)), times=100000)
    host.wait_for(lambda: "answers a probe" in fetch(host, ONE).stderr, 60, "a breaker that is open")
    one.requests.clear()
    for _ in range(5):
        assert fetch(host, ONE).returncode == 3
    assert all(request.path.startswith("/v1/sys/health") for request in one.requests), one.requests
    assert not any(name.lower() == "x-vault-token" for request in one.requests for name, _ in request.headers)
    one.calm()
    host.wait_for(lambda: WORD in fetch(host, ONE).stdout, 60, "a probe")


@pytest.fixture(scope="module")
def three_hosts(host: Machine, three: OpenBao) -> Machine:
    """The same host with a store of three nodes."""
    engines.kv(three, "cluster-kv")
    three.write("cluster-kv/data/app", data={"word": WORD})
    store(host, "three", [f"https://{address}:{PORT}" for address in three.addresses], token_for(three, "cluster-kv"),
          "RequestTimeoutSec=25s")
    define(host, "three-word", "cluster-kv/app", more="Store=three")
    host.wait_for(lambda: WORD in fetch(host, "three-word").stdout, 30, "a secret of three")
    return host


def failures(host: Machine, seconds: float) -> list[str]:
    """What was said to those who asked and did not get it, for so long."""
    end = time.monotonic() + seconds
    said = []
    while time.monotonic() < end:
        result = fetch(host, "three-word")
        if WORD not in result.stdout:
            said.append(result.stderr)
    return said


def test_a_leader_that_dies_is_not_missed(three_hosts: Machine, three: OpenBao) -> None:
    """Nobody who asks meanwhile is refused."""
    for _ in range(2):
        leader = three.active()
        three.kill(leader)
        assert failures(three_hosts, 15) == []
        assert three.active() != leader
        three.launch(leader)
        three.wait_for_standby(leader)


def test_a_sealed_node_is_passed_by(three_hosts: Machine, three: OpenBao) -> None:
    """Another one has become the leader, and it is asked."""
    leader = three.active()
    three.seal()
    assert failures(three_hosts, 10) == []
    three.restart(leader)
    three.wait_for_standby(leader)


def test_certificates_roll_without_a_restart(three_hosts: Machine, three: OpenBao) -> None:
    """Each node shows another one, which nobody has to be told."""
    for node, address in zip(three.nodes, three.addresses):
        three.roll(node, three.servers.authority.certificate(f"{node}.test", address))
    assert failures(three_hosts, 3) == []


def test_a_name_that_moves_is_followed(host: Machine, proxies: list[Proxy], openbao: OpenBao) -> None:
    """It leads to nobody first, and then to a server: no restart."""
    one = proxies[0]
    hosts = host.read("/etc/hosts")
    host.write("/etc/hosts", f"{hosts}\n10.77.0.99 {NAME}\n")
    store(host, "named", [f"https://{NAME}:{one.port}"], token_for(openbao, "cluster-kv"), "RequestTimeoutSec=2s")
    define(host, "named-word", "cluster-kv/app", more="Store=named")
    host.wait_for(lambda: f"https://{NAME}" in fetch(host, "named-word").stderr, 30, "an error")
    host.write("/etc/hosts", f"{hosts}\n{one.address} {NAME}\n")
    host.wait_for(lambda: WORD in fetch(host, "named-word").stdout, 120, "the server behind the name")
