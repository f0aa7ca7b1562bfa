# SPDX-License-Identifier: Apache-2.0
"""A service with a pool of connections to a PostgreSQL never holds a login that lets nobody in.

Its logins are leased for ten seconds and live no longer than twenty, so every one is replaced many times. The old one is
revoked once the service does not use it any more, however that is known.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import engines
import pytest
from conftest import LONG
from enrolled import OWN, approle
from machine import Machine, Run, tree
from network import Network
from openbao import OpenBao
from postgres import Postgres
from service import add, define, grants, restart, service, show
from test_grant_life import CA, CLIENTS, NGINX, SERVER, serial_on_the_wire
from test_rotation import READER

pytestmark = pytest.mark.servers

HERE = Path(__file__).resolve().parent
SECONDS = 120 if LONG else 40
PSQL = "/usr/lib/postgresql/17/bin/psql"
EXAMPLE = "/usr/share/doc/keybearer/examples/probe-postgresql"

POLICY = {
    "adoption-db/creds/*": ["read"],
    "adoption-db/static-creds/*": ["read"],
    "adoption-db/rotate-role/asked": ["update"],
    "adoption-kv/data/*": ["read"],
    "adoption-pki/issue/*": ["update"],
    **OWN,
}

POOL = """\
[Service]
Type={type}
User=daemon
ExecStart=/usr/bin/python3 /usr/local/lib/pool.py {address} {name} {drain}
StandardOutput=append:/run/{name}
"""
BY_HAND = "ExecReload=/bin/kill -HUP $MAINPID\n"


@dataclass(frozen=True)
class Way:
    """How it is known that a service uses its new login."""

    type: str  # of the unit
    more: str  # of the unit
    rotation: str
    drain: int  # how many seconds the pool's old sessions live after a reload
    least: int  # how long after the offer it is known at the earliest


WAYS = {
    "told": Way("notify-reload", "", "", 2, 0),
    "probed": Way("exec", BY_HAND, "Probe=/usr/local/bin/probe\n", 2, 2),
    "waited": Way("exec", BY_HAND, "Overlap=3s\n", 1, 3),
}


@pytest.fixture(scope="module")
def bao(openbao: OpenBao, postgres: Postgres) -> OpenBao:
    """The server, with logins of a database, certificates and kept secrets."""
    engines.database(openbao, "adoption-db", postgres)
    engines.pki(openbao, "adoption-pki", "web", "localhost", leased=True)
    engines.kv(openbao, "adoption-kv")
    engines.database_role(openbao, "adoption-db", "app", ttl="10s", most="20s")
    openbao.policy("adoption", POLICY)
    return openbao


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], bao: OpenBao) -> Iterator[Machine]:
    """A host with our package and with psql, whose second store is that server."""
    with run.machine(installed[0], tree("trixie", "servers"), plug=network.plug("10.77.0.46")) as it:
        it.copy_in(HERE / "pool.py", "/usr/local/lib/pool.py")
        approle(it, bao, "adoption-approle", ["adoption"])
        yield it


def start(host: Machine, address: str, name: str, way: Way) -> None:
    """Starts a pool with a credential of its own."""
    define(host, name, "adoption-db/creds/app", f"{name}.service", "Store=prod", "OnRotate=reload\n" + way.rotation)
    service(host, f"{name}.service", POOL.format(type=way.type, address=address, name=name, drain=way.drain), way.more)
    add(host, f"{name}.service", f"{name}.username", f"{name}.password")
    restart(host, f"{name}.service")


def happened(host: Machine, name: str) -> list[tuple[float, str]]:
    """When its credential was offered, adopted, revoked and let run out, in the broker's words."""
    words = "was offered to|uses its new|was revoked|expired"
    found = [(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, re.search(words, str(entry["MESSAGE"])))
             for entry in host.journal("", f"OBJECT_SYSTEMD_UNIT={name}.service")]
    return [(at, word[0]) for at, word in found if word]


def assert_one_after_the_other(host: Machine, name: str, way: Way) -> None:
    """Each old login was revoked, and only when the new one was adopted, as it is known in this way."""
    steps = happened(host, name)
    words = [word for _, word in steps]
    assert "expired" not in words and words.count("uses its new") >= 2, steps
    for n, (at, word) in enumerate(steps):
        if word == "was revoked":
            assert words[n - 1] == "uses its new", steps
        if word == "uses its new":
            assert words[n - 1] == "was offered to" and at - steps[n - 1][0] >= way.least - 0.1, steps


def test_no_log_in_fails_while_logins_are_replaced(host: Machine, bao: OpenBao, postgres: Postgres) -> None:
    """One every 100 ms by each of three pools, and not one of their sessions loses its role before it is put away."""
    probe = host.read(EXAMPLE).replace("host=db.example.org", f"host={postgres.address}").replace("psql -q", f"{PSQL} -q")
    host.write("/usr/local/bin/probe", probe, 0o755)
    for name, way in WAYS.items():
        start(host, postgres.address, name, way)
    end, notes = time.monotonic() + SECONDS, set()
    while time.monotonic() < end:
        notes |= {(grant["credential"], grant["note"]) for grant in grants(host)}
        time.sleep(0.5)
    assert notes >= {(name, "old one still in use") for name in WAYS}
    for name, way in WAYS.items():
        tries = host.read(f"/run/{name}").splitlines()
        assert [line for line in tries if line.split()[1] != "OK"] == [], name
        assert len({line.split()[2] for line in tries}) >= 3, f"{name} had three logins, one after the other"
        assert_one_after_the_other(host, name, way)
        host.run(["systemctl", "stop", f"{name}.service"])
    host.wait_for(lambda: bao.leases("adoption-db/creds/app") == [], 10, "the end of all leases")
    assert postgres.roles("v-adoption-") == []


@pytest.mark.parametrize("overlap, fits", [("1min", False), ("3s", True)])
def test_an_overlap_that_a_lease_has_no_room_for_is_said_beforehand(host: Machine, bao: OpenBao, overlap: str, fits: bool) -> None:
    """The store is asked, and what it gave is taken back."""
    define(host, "tried", "adoption-db/creds/app", "tried.service", "Store=prod", f"OnRotate=reload\nOverlap={overlap}")
    said = host.run("keybearer credential check tried").stderr
    assert (f"Overlap={overlap} is more than its lease has room for" in said) is not fits and "could not" not in said
    host.wait_for(lambda: bao.leases("adoption-db/creds/app") == [], 10, "the end of the lease")


MOST_DEAD = {"plain": 0.04, "asked": 0.02}  # shares of tries, with room for a busy machine


@pytest.mark.parametrize("method", MOST_DEAD)
def test_a_password_that_the_server_changes_is_hardly_ever_a_dead_one(host: Machine, bao: OpenBao, postgres: Postgres,
                                                                      method: str) -> None:
    """Every ten seconds, by itself or when it is asked to: a service that reads it for each log-in has the new one."""
    engines.static_role(bao, "adoption-db", method, postgres, period="10s")
    more = "Store=prod\n" + ("Method=rotate\n" if method == "asked" else "")
    define(host, method, f"adoption-db/static-creds/{method}", f"{method}.service", more)
    service(host, f"{method}.service", POOL.format(type="exec", address=postgres.address, name=method, drain=""))
    add(host, f"{method}.service", f"{method}.username", f"{method}.password")
    restart(host, f"{method}.service")
    changes, swaps, began = set(), set(), time.time()
    while time.time() < began + SECONDS:
        changes.add(bao.read(f"adoption-db/static-creds/{method}")["last_vault_rotation"])
        swaps.add(float(host.run(f"stat -c %.6Y /run/keybearer/units/{method}.service/current").stdout))
        time.sleep(0.3)
    host.run(["systemctl", "stop", f"{method}.service"])
    tries = [line.split()[1] for line in host.read(f"/run/{method}").splitlines()]
    assert tries.count("FAILED") < MOST_DEAD[method] * len(tries), "others have a dead one for a tenth of the time"
    at = [datetime.fromisoformat(text).timestamp() for text in changes]
    dead = [min(swap for swap in swaps if swap >= change) - change for change in at if began < change < max(swaps)]
    print(f"{tries.count('FAILED')} of {len(tries)} failed, dead for {sum(dead) / SECONDS:.2%} of the time, {len(dead)} times: {sorted(dead)}")
    assert len(dead) >= 2 and median(dead) < 0.5


def revoked(bao: OpenBao) -> set[str]:
    """Serial numbers of certificates that the server made and revoked, as openssl writes them."""
    gone = [serial for serial in bao.names("adoption-pki/certs") if bao.read(f"adoption-pki/cert/{serial}")["revocation_time"]]
    return {serial.replace(":", "").upper() for serial in gone}


def test_a_certificate_is_replaced_under_its_clients(host: Machine, bao: OpenBao) -> None:
    """No connection fails, and each old one is revoked once the new one is on the wire."""
    host.write(CA, bao.read("adoption-pki/cert/ca")["certificate"])
    host.write("/root/web.conf.in", NGINX)
    more = "Store=prod\nParam.common_name=localhost\nParam.ttl=30s"
    define(host, "web-tls", "adoption-pki/issue/web", "web.service", more, "RenewAt=0.2\nOnRotate=reload\nOverlap=2s")
    service(host, "web.service", SERVER)
    add(host, "web.service", "web-tls")
    restart(host, "web.service")
    host.wait_for(lambda: serial_on_the_wire(host), what="the first certificate")
    seen: set[str] = set()
    end = time.monotonic() + 120
    with host.popen(CLIENTS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as clients:
        try:
            while len(seen & revoked(bao)) < 2 and time.monotonic() < end:
                gone, shown = revoked(bao), serial_on_the_wire(host).removeprefix("serial=")
                assert shown not in gone
                seen.add(shown)
        finally:
            host.run("touch /run/enough")
        assert clients.communicate(timeout=20)[0] == ""
    assert len(seen & revoked(bao)) >= 2
    host.run("systemctl stop web.service")


def test_a_kept_secret_that_changes_at_the_server_reaches_the_unit(host: Machine, bao: OpenBao) -> None:
    """Within CheckSec=, all of it at once, and the process stays."""
    bao.write("adoption-kv/data/told", data={"username": "u1", "password": "p1"})
    define(host, "orders-told", "adoption-kv/told", "orders-told.service", "Store=prod", "OnRotate=reload\nCheckSec=1s\nOverlap=1s")
    service(host, "orders-told.service", READER)
    add(host, "orders-told.service", "orders-told.username", "orders-told.password")
    restart(host, "orders-told.service")
    host.wait_for(lambda: host.read("/tmp/read") == "p1u1", what="the first version")
    pid = show(host, "orders-told.service", "MainPID")
    bao.write("adoption-kv/data/told", data={"username": "u2", "password": "p2"})
    host.wait_for(lambda: host.read("/tmp/read") == "p1u1p2u2", 20, "the second version in the running service")
    assert show(host, "orders-told.service", "MainPID") == pid
    host.run("systemctl stop orders-told.service")
