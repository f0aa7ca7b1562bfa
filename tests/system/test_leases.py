# SPDX-License-Identifier: Apache-2.0
"""No lease leaks, whatever dies: what the server lists is what `keybearer grant list` says."""

from __future__ import annotations

import hmac
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import engines
import enrolled
import pytest
from machine import Machine, Run
from network import Network
from openbao import OpenBao
from postgres import Postgres
from service import add, define, grants, service

pytestmark = pytest.mark.servers

LONG = bool(os.environ.get("KEYBEARER_TEST_LONG"))
SEED = int(os.environ.get("KEYBEARER_TEST_SEED", random.randrange(2**32)))
BROKER = "keybearerd.service"
ADDRESS = "10.77.0.31"
UNITS = [f"leak-{number}.service" for number in range(6)]
PREFIXES = ("leak-db/creds/app", "leak-pki/issue/web")
POLICY = {"leak-db/creds/*": ["read"], "leak-pki/issue/*": ["update"], **enrolled.OWN}
TTL = 30  # seconds of a lease that nobody renews
LATE = 5  # seconds for which the two may differ
PATIENCE = 7  # seconds that the store waits for an answer, or a little less

# Ends as it is told to, and is not started again unless a step does it.
UNIT = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart=/bin/sleep infinity
"""


@pytest.fixture(scope="module")
def bao(openbao: OpenBao, postgres: Postgres) -> OpenBao:
    """The server, with two engines whose secrets are leased."""
    engines.database(openbao, "leak-db", postgres)
    engines.database_role(openbao, "leak-db", "app", ttl=f"{TTL}s", most="24h")
    engines.pki(openbao, "leak-pki", "web", ttl=f"{TTL}s", leased=True)
    openbao.policy("leak", POLICY)
    return openbao


@pytest.fixture(scope="module")
def plug(network: Network) -> Path:
    """The host's place in the network."""
    return network.plug(ADDRESS)


@pytest.fixture(scope="module")
def host(run: Run, plug: Path, installed: tuple[Path, ...], bao: OpenBao) -> Iterator[Machine]:
    """A host with units that have a login of a database, or a leased certificate, or both."""
    with run.machine(*installed, plug=plug) as it:
        enrolled.approle(it, bao, "leak-approle", ["leak"], token_ttl="2h")
        define(it, "db", "leak-db/creds/app", "leak-*.service", "Store=prod\nField.user=username\nField.pass=password")
        define(it, "tls", "leak-pki/issue/web", "leak-*.service", "Store=prod\nParam.common_name=leak.test")
        for number, unit in enumerate(UNITS):
            service(it, unit, UNIT)
            add(it, unit, *(["db"], ["tls"], ["db", "tls"])[number % 3])
        it.wait_for(lambda: it.run("test -s /var/lib/keybearer/keep/prod", check=False).returncode == 0, 20, "a kept token")
        time.sleep(6)  # the greeting after it
        yield it


class Ledger:
    """What the server has given to this host, and what the host says that it holds."""

    def __init__(self, host: Machine, bao: OpenBao) -> None:
        self.host, self.bao = host, bao
        identity = (host.root / "var/lib/keybearer/log/identity").read_bytes()
        self._key = identity[16:]
        self._began = int(time.time()) - 300

    def name(self, lease: str, held: set[str]) -> str:
        """The fingerprint by which the host knows a lease. In it is the number of the token, the second of its login."""
        for number in range(self._began, int(time.time()) + 2):
            text = hmac.digest(self._key, f"{lease}#token/{number}".encode(), "sha256").hex()[:32]
            if text in held:
                return text
        return ""

    def differences(self) -> tuple[set[str], set[str], int]:
        """Leases of the server that the host does not list, and fingerprints that the server has no lease for.

        And how many there are of the first in any case: while a new lease is offered, the list has one of the two.
        """
        rows = grants(self.host, "leak-")
        held = {row["lease"] for row in rows}
        given = {lease: self.name(lease, held) for prefix in PREFIXES for lease in self.bao.leases(prefix)}
        lost = {lease for lease, name in given.items() if not name}
        return lost, held - set(given.values()), sum(row["state"] == "offered" for row in rows)

    def born(self, lease: str) -> float:
        """When the server made it; now, when it is gone."""
        answer = self.bao.ask("POST", "sys/leases/lookup", {"lease_id": lease})
        if answer.status != 200:
            return time.time()
        whole, _, part = answer.body["data"]["issue_time"].rstrip("Z").partition(".")
        return float(time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(f"0.{part[:6] or 0}"))


class Chaos:
    """Steps that are drawn: starts and ends of units, deaths of programs, outages, and the host going down."""

    def __init__(self, host: Machine, network: Network, plug: Path, ledger: Ledger) -> None:
        self.host, self.network, self.plug, self.ledger = host, network, plug, ledger
        self.random = random.Random(SEED)
        self.cut = False
        self.cut_at = self.mended = 0.0
        self.deaths: list[tuple[float, float]] = []  # from when to when nobody knows who had heard what
        self.excused: set[str] = set()
        self.steps: list[tuple[Callable[[], None], int]] = [
            (self.start, 30), (self.stop, 18), (self.again, 12), (self.crash, 8), (self.outage, 6), (self.pause, 12),
            (lambda: self.die(BROKER), 7), (lambda: self.die(f"{enrolled.PROGRAM}.service"), 7)]

    def run(self) -> None:
        """One of them."""
        todo, weights = zip(*self.steps)
        self.random.choices(todo, weights)[0]()

    def note(self, *words: object) -> None:
        """What a failure is to be understood with."""
        print(f"{time.time():.3f}", *words, flush=True)

    def systemctl(self, *words: str) -> None:
        """Does something to one, two or three units."""
        units = self.random.sample(UNITS, self.random.randint(1, 3))
        self.note(*words, *units)
        self.host.run(["systemctl", *words, *units], check=False)

    def start(self) -> None:
        self.systemctl("start", "--no-block")

    def stop(self) -> None:
        self.systemctl("stop", "--no-block")

    def again(self) -> None:
        self.systemctl("restart", "--no-block")

    def crash(self) -> None:
        """The processes of units end as by a fault of their own."""
        self.systemctl("kill", "--signal=KILL")

    def pause(self) -> None:
        time.sleep(self.random.uniform(0, 0.5))

    def outage(self) -> None:
        """The server is away, until it is there again a few steps later."""
        (self.network.mend if self.cut else self.network.cut)(self.plug)
        self.cut = not self.cut
        if self.cut:
            self.cut_at = time.time()
        else:
            self.mended = time.time()
            if self.mended > self.cut_at + PATIENCE:  # who asked did not wait; the server still got the question
                self.deaths.append((self.cut_at - 1, self.mended + 2))
        self.note("cut" if self.cut else "mended")

    def die(self, program: str) -> None:
        """A program of ours, at any moment."""
        self.note("kill", program)
        kill = ["systemctl", "kill", "--signal=KILL", program]
        self.amid(1 if program == BROKER else 4, lambda: self.host.run(kill, check=False))

    def amid(self, seconds: float, death: Callable[[], object]) -> None:
        """What was made that long before, or was on its way when the server went away, nobody else may know of.

        The broker forgets what it has not written down yet, the store also what it was about to take back.
        """
        began = time.time() - seconds
        if self.cut or time.time() < self.mended + 5:
            began = min(began, self.cut_at - 1)
        death()
        self.deaths.append((began, time.time()))

    def down(self, cut: bool) -> None:
        """The host reboots, or loses its power."""
        self.note("power cut" if cut else "reboot")
        if not cut:
            self.host.reboot()
            return
        self.host.run("sync")
        self.amid(4, self.host.kill)
        self.host.start()

    def settle(self) -> None:
        """Everything is there again: within seconds both say the same, but for what a death may have swallowed."""
        if self.cut:
            self.outage()
        for program in (BROKER, f"{enrolled.PROGRAM}.socket"):
            self.host.run(["systemctl", "start", program])
        self.host.wait_for(lambda: self.host.run("systemctl list-jobs").stdout == "No jobs running.\n", 120, "units to be done")
        self.host.wait_for(lambda: enrolled.status(self.host).get("state") == "open", 60, "the store's login")
        nothing = "keybearer_grants_revoking 0\n"  # what failed while the store was away is tried again later and later
        self.host.wait_for(lambda: nothing in self.host.run("keybearer metrics").stdout, 60, "what is to be revoked")
        began = time.monotonic()
        since: dict[str, float] = {}  # what differs: when that was seen first
        while True:
            asked = time.monotonic()
            lost, unknown, offered = self.ledger.differences()
            lost -= self.excused
            if len(lost) <= offered and not unknown:
                break
            now = time.monotonic()
            since = {what: since.get(what, asked) for what in lost | unknown}
            patience = LATE + 10 * (now - asked)  # a slow host is slow in all
            overdue = {what for what, first in since.items() if now - first > patience}
            self.excused |= {lease for lease in overdue & lost if self.swallowed(lease)}
            overdue -= self.excused
            if len(overdue & lost) > offered or overdue & unknown:
                self.note("held by nobody:", *(f"{lease} of {self.ledger.born(lease):.3f}" for lease in overdue & lost))
                pytest.fail(f"{overdue} after {patience} s\n{self.host.run('journalctl --no-pager -o short-unix -n 300').stdout}")
            time.sleep(0.2)
        self.note(f"agreed after {time.monotonic() - began:.1f} s; {len(self.deaths)} deaths, {len(self.excused)} excused")

    def swallowed(self, lease: str) -> bool:
        """Whether it was made while something died that was the only one to know of it."""
        born = self.ledger.born(lease)
        return any(began < born < ended + 1 for began, ended in self.deaths)


def test_no_lease_leaks(host: Machine, network: Network, plug: Path, bao: OpenBao) -> None:
    """300 steps, or an hour of them; the rest ends with its lease, and the host has one token all the time."""
    print(f"KEYBEARER_TEST_SEED={SEED}")
    chaos = Chaos(host, network, plug, Ledger(host, bao))
    token = enrolled.status(host)["token accessor"]
    end = time.monotonic() + 3600
    number = 0
    while time.monotonic() < end if LONG else number < 300:
        number += 1
        chaos.run()
        if number % 100 == 50:
            chaos.down(cut=number % 200 == 150)
        if number % 20 == 0:
            chaos.settle()
    host.run(["systemctl", "stop", *UNITS])
    chaos.settle()
    assert {accessor for accessor, it in bao.tokens().items() if it["path"] == "auth/leak-approle/login"} == {token}
    host.wait_for(lambda: not any(bao.leases(prefix) for prefix in PREFIXES), TTL + 30, "the end of what nobody heard of")
    print(f"{number} steps, {len(chaos.deaths)} deaths, {len(chaos.excused)} swallowed")


def test_what_cannot_live_on_is_replaced_before_it_ends(host: Machine, bao: OpenBao) -> None:
    """A lease that shrinks towards its limit, one that cannot be renewed, and one whose token ends long before it."""
    engines.database_role(bao, "leak-db", "brief", ttl="8s", most="20s")
    bao.write("leak-pki/roles/brief", allowed_domains=["leak.test"], allow_bare_domains=True, key_type="ec", max_ttl="14s",
              generate_lease=True)
    engines.database_role(bao, "leak-db", "lasting")
    enrolled.approle(host, bao, "leak-mortal", ["leak"], "mortal", token_ttl="24s", token_max_ttl="24s")
    rotation = "Overlap=1s"
    define(host, "shrinks", "leak-db/creds/brief", "brief.service", "Store=prod", rotation)
    define(host, "ends", "leak-pki/issue/brief", "brief.service", "Store=prod\nParam.common_name=leak.test", rotation)
    define(host, "mortal", "leak-db/creds/lasting", "brief.service", "Store=mortal", rotation)
    service(host, "brief.service", UNIT)
    add(host, "brief.service", "shrinks", "ends", "mortal")
    host.run("systemctl start brief.service")
    seen: dict[str, set[str]] = {"shrinks": set(), "ends": set(), "mortal": set()}
    end = time.monotonic() + 30
    while time.monotonic() < end:
        rows = grants(host, "brief.service")
        now = time.time() * 1e6
        assert sorted(row["credential"] for row in rows) == ["ends", "mortal", "shrinks"]
        for row in rows:
            seen[row["credential"]].add(row["lease"])
            assert row["expires"] > now, f"{row}\n{host.run('journalctl --no-pager -o short-unix -n 120').stdout}"
        assert all(row["expires"] < now + 25e6 for row in rows if row["credential"] == "mortal"), rows
        time.sleep(0.5)
    assert all(len(leases) >= 2 for leases in seen.values()), seen
    host.run("systemctl stop brief.service")
    host.wait_for(lambda: not grants(host, "brief.service"), 20, "the end of its grants")
    prefixes = ("leak-db/creds/brief", "leak-db/creds/lasting", "leak-pki/issue/brief")
    host.wait_for(lambda: not any(bao.leases(prefix) for prefix in prefixes), 20, "the end of its leases")
