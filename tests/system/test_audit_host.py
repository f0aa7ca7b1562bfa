# SPDX-License-Identifier: Apache-2.0
"""The log on a host against somebody who is root there, and for somebody who watches it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from forger import Forger
from machine import Machine
from package import INSTALL
from service import keep

LOG = "/var/lib/keybearer/log"


@dataclass
class Victim:
    """A log of two anchors that left the host, as it was when somebody became root."""

    host: Machine
    anchors: list[str]
    data: bytes
    kept: list[int]  # sequence numbers of the two

    @property
    def early(self) -> int:
        """A record before the first anchor."""
        return self.kept[0] - 1

    @property
    def late(self) -> int:
        """A record between the two, with another behind it."""
        return self.kept[1] - 2

    def means(self) -> dict[str, str]:
        """What an auditor may have, as arguments of `audit verify`."""
        key, (first, second) = "--first-key=/root/first-key", self.anchors
        return {"nothing": "", "the key": key, "one anchor": first, "two anchors": f"{first} {second}", "all": f"{key} {first} {second}"}

    def attack(self, forge: Attack | None, old_key: bool = False) -> None:
        """Puts the log there as somebody left it."""
        forger = Forger.of(self.data)
        if forge:
            forge(forger, self)
        self.host.run(f"cp -a /root/good/. {LOG}" + (f" && cp -a /root/key-then {LOG}/key" if old_key else ""))
        self.host.write(f"{LOG}/{'1':0>20}.kblog", forger.data(), 0o600)

    def verify(self) -> dict[str, tuple[int, bool]]:
        """Up to where verify says that it proves, and whether it found anything, with each of the means."""
        script = "".join(f"keybearer audit verify {words}; echo @ $?\n" for words in self.means().values())
        answers = re.split(r"@ (\d)\n", self.host.run(script).stdout)
        found = {}
        for name, text, status in zip(self.means(), answers[::2], answers[1::2], strict=False):
            bound = re.search(r"^Proven: records 1 to (\d+) are complete and unaltered, by (?:an anchor that was kept elsewhere|the first key)\.$", text, re.M)
            assert bound or "\nProven: nothing" in text, text
            if bound:
                assert f"\nNot proven: anything after record {bound[1]}. Whoever had root since" in text, text
            assert status in "07" and ("Checksums and chain are whole." in text) == (status == "0"), text
            found[name] = (int(bound[1]) if bound else 0, status == "7")
        assert len(found) == len(self.means())
        return found


Attack = Callable[[Forger, Victim], None]


def change_and_mend(log: Forger, victim: Victim) -> None:
    log.change(victim.early)
    log.mend(victim.early)


def remove_and_mend(log: Forger, victim: Victim) -> None:
    log.remove(victim.late)
    log.mend(victim.late)


def change_what_no_anchor_covers(log: Forger, victim: Victim) -> None:
    log.change(victim.kept[1] + 1)
    log.mend(victim.kept[1] + 1)


# What root did; whether an old copy of the key was put back; and with each of the means, up to where it is proven: nowhere (0),
# before a record, or before an anchor. With ! where something was found.
ATTACKS: tuple[tuple[str, Attack | None, bool, str], ...] = (
    ("nothing", None, False, "0 second first second second"),
    ("another byte", lambda log, v: log.change(v.early), False, "0! early! early! early! early!"),
    ("a record removed", lambda log, v: log.remove(v.late), False, "0! late! first! late! late!"),
    ("two records swapped", lambda log, v: log.swap(v.early - 1), False, "0! swap! swap! swap! swap!"),
    ("the end cut off", lambda log, v: log.cut(v.late), False, "0! first! first! first! first!"),
    ("the end cut off, and the old key", lambda log, v: log.cut(v.late), True, "0 first first first! first!"),
    ("another byte, and all made anew", change_and_mend, False, "0 0! 0! 0! 0!"),
    ("a record removed, and all made anew", remove_and_mend, False, "0 first! first first! first!"),
    ("what no anchor covers yet", change_what_no_anchor_covers, False, "0 second first second second"),
)


@pytest.fixture
def victim(bare_machine: Machine) -> Victim:
    """A host whose log was busy before, between and after two anchors; its broker is stopped, and its first key in /root."""
    bare_machine.run(INSTALL, timeout=120)
    key = re.search(r"kb-first-key:\S+", bare_machine.run("keybearer setup", timeout=120).stdout)
    assert key
    bare_machine.write("/root/first-key", f"{key[0]}\n")
    anchors = []
    for name in "ab":
        keep(bare_machine, name, password="hard to guess")
        anchors.append(bare_machine.run("keybearer audit anchor").stdout.strip())
        bare_machine.run(f"[ -e /root/key-then ] || cp -a {LOG}/key /root/key-then")
    keep(bare_machine, "c", password="hard to guess")
    bare_machine.run(f"systemctl stop keybearerd.service && cp -a {LOG} /root/good")
    bare_machine.copy_out(f"{LOG}/{'1':0>20}.kblog", bare_machine.folder / "log")
    data = (bare_machine.folder / "log").read_bytes()
    return Victim(bare_machine, anchors, data, [int(anchor.split(":")[4]) for anchor in anchors])


def test_verify_finds_what_root_did_and_says_up_to_where(victim: Victim) -> None:
    """The attacker has the log, the disk and the source code. What he can do is found up to the last anchor that
    left the host, or that the first key can check; and the bound that is told is just that."""
    log = Forger.of(victim.data)
    assert log.anchors() == victim.kept and len(log.records) > victim.kept[1] + 1
    bounds = {
        "0": 0,
        "early": victim.early - 1,
        "swap": victim.early - 2,
        "late": victim.late - 1,
        "first": victim.kept[0] - 1,
        "second": victim.kept[1] - 1,
    }
    for what, forge, old_key, expected in ATTACKS:
        victim.attack(forge, old_key)
        answers = [(bounds[word.rstrip("!")], word.endswith("!")) for word in expected.split()]
        assert victim.verify() == dict(zip(victim.means(), answers, strict=True)), what
    a_broker_that_goes_on_hides_nothing(victim)


def a_broker_that_goes_on_hides_nothing(victim: Victim) -> None:
    """It sees damage when it starts, and nothing where all was made anew; what it writes then makes neither proven."""
    host = victim.host
    victim.attack(lambda log, v: log.change(v.early))
    host.run("systemctl start keybearerd.service")
    host.wait_for(lambda: "The log is damaged in" in host.messages("", "KEYBEARER_EVENT=log-damaged", "--priority=crit"), what="a loud journal")
    keep(host, "d", password="hard to guess")
    assert victim.verify()["all"] == (victim.early - 1, True)
    host.run("systemctl stop keybearerd.service")
    host.run(f"rm {LOG}/*.kblog")
    victim.attack(change_and_mend)
    host.run("systemctl start keybearerd.service")
    keep(host, "e", password="hard to guess")
    assert victim.verify() == {"nothing": (0, False), **dict.fromkeys(list(victim.means())[1:], (0, True))}


@contextlib.contextmanager
def following(host: Machine, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`keybearer audit follow` with an output that is read here."""
    command = ["keybearer", "audit", "follow", *words]
    with host.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def lines_until(process: subprocess.Popen[str], words: str, timeout: float = 30) -> list[str]:
    """What it printed, up to a line with these words."""
    assert process.stdout
    found: list[str] = []
    timer = threading.Timer(timeout, lambda: os.killpg(process.pid, signal.SIGKILL))
    timer.start()
    try:
        for line in process.stdout:
            found.append(line)
            if words in line:
                return found
    finally:
        timer.cancel()
    raise AssertionError(f"no {words!r} within {timeout} s in {found[-5:]}")


def files_of_the_log(host: Machine) -> int:
    return int(host.run(f"ls {LOG}/*.kblog | wc -l").stdout)


def test_follow_shows_each_record_once_over_restarts_and_new_files(own_machine: Machine) -> None:
    """From the last ten on, as they come, while the broker is killed and the log begins new files; then its reader goes."""
    host = own_machine
    host.write("/etc/keybearer/keybearer.conf.d/small.conf", "[Log]\nMaxFileSize=64K\n")
    with following(host, "--json") as process:
        keep(host, "first", password="hard to guess")
        seen = lines_until(process, '"message":"root: secret put kv/first"')
        host.run("systemctl kill --signal=KILL keybearerd.service")
        host.wait_for(lambda: host.run("keybearer status", check=False).returncode == 0, 30, "the broker is back")
        files = files_of_the_log(host)
        while files_of_the_log(host) < files + 2:
            host.run(f"for i in $(seq 20); do keybearer secret get kv/{'long/' * 80}$i none; done", check=False)
        keep(host, "last", password="hard to guess")
        seen += lines_until(process, '"message":"root: secret put kv/last"')
        numbers = [json.loads(line)["sequence"] for line in seen]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 100
        assert sum('"event":"checkpoint"' in line for line in seen) >= 2
        assert '"event":"log-started"' in "".join(seen)
        assert process.poll() is None
        assert process.stdout
        process.stdout.close()
        keep(host, "unseen", password="hard to guess")
        assert host.wait_for(lambda: process.poll() is not None, what="the end of who writes to nobody")
    host.run("rm /etc/keybearer/keybearer.conf.d/small.conf")
