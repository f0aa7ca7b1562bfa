# SPDX-License-Identifier: Apache-2.0
"""What a container cannot show: a clock that is set, a host that slept, memory that may not reach the swap."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from machine import Machine
from service import add, define, grants, keep, restart, service
from test_journal import complete, records
from virtual import VirtualMachine

pytestmark = pytest.mark.own_kernel

UNIT = "web.service"
CA = "/root/ca.pem"
CRL = "/var/lib/keybearer/pki/local.hosts.crl"
CERTIFICATE = f"/run/keybearer/units/{UNIT}/current/web-tls.certificate"
SERVER = "[Service]\nExecStart=/usr/bin/sleep infinity\nExecReload=/usr/bin/true\n[Install]\nWantedBy=multi-user.target\n"
PASSWORD = "several long words"
HOUR = timedelta(hours=1)

SWAP = "/var/swap"
# Uses all memory that is free, and more, so that whatever can be swapped is: there is no other room.
PRESSURE = """
free = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemAvailable"))) // 1024
memory = [b"x" * 1024 * 1024 for _ in range(free + 150)]
"""
# Has a word in its memory, as a program does that does not care. Words come backwards, so that no command line has them.
CARELESS = """
import sys, time
word = sys.stdin.readline().strip()[::-1] * 200
words = [word + str(n) for n in range(2000)]
print("ready", flush=True)
time.sleep(100000)
"""
# How often a word stands in what is read from stdin, or in the memory of a process.
COUNT = """
import os, sys
word, pid = sys.argv[1][::-1].encode(), sys.argv[2]
count = 0
while not pid and (block := sys.stdin.buffer.read(1 << 20)):
    count += block.count(word)
for line in open(f"/proc/{pid}/maps") if pid else ():
    begin, end = (int(n, 16) for n in line.split()[0].split("-"))
    if line.split()[1].startswith("rw"):
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            count += os.pread(memory.fileno(), end - begin, begin).count(word)
print(count)
"""


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with a CA, a service that has a certificate of it, and ana."""
    own_machine.run("keybearer ca create hosts common-name='Test CA'")
    own_machine.run("keybearer ca role-set web ca=hosts domains=localhost server=yes ttl=1h")
    own_machine.run(f"keybearer ca show hosts | sed -n '/BEGIN/,/END/s/^certificate: //;/BEGIN/,/END/p' >{CA}")
    certify(own_machine, "30min")
    service(own_machine, UNIT, SERVER)
    add(own_machine, UNIT, "web-tls")
    own_machine.run(f"systemctl enable --now {UNIT}")
    own_machine.run("keybearer user add ana --password-stdin", input=f"{PASSWORD}\n")
    own_machine.run("keybearer rule add doors who=ana service=door")
    own_machine.write("/etc/pam.d/door", "auth required pam_keybearer.so\naccount required pam_keybearer.so\n")
    return own_machine


def certify(host: Machine, ttl: str, rotation: str = "") -> None:
    """Says how long the service's certificates live."""
    more = f"Param.common_name=localhost\nParam.ttl={ttl}"
    define(host, "web-tls", "pki/issue/web", UNIT, more, f"OnRotate=reload\nOverlap=3s\n{rotation}")


def serial(host: Machine) -> str:
    """The certificate that the service reads now."""
    return host.run(["openssl", "x509", "-noout", "-serial", "-in", CERTIFICATE], check=False).stdout.strip()


def good(host: Machine) -> bool:
    """Whether somebody who has the host's time takes the service's certificate."""
    check = ["-crl_check", "-CAfile", CA, "-CRLfile", CRL, CERTIFICATE]
    return host.run(["openssl", "verify", *check], check=False).returncode == 0


def now(host: Machine) -> datetime:
    """What its clock says."""
    return datetime.fromtimestamp(float(host.run("date +%s.%N").stdout), timezone.utc)


def move_clock(host: Machine, by: timedelta) -> None:
    """Sets the clock, as somebody does who sees that it is wrong."""
    host.run(["date", "--set", f"@{(now(host) + by).timestamp():.3f}"])


def lets_in(host: Machine, password: str = PASSWORD) -> bool:
    """Whether ana comes in."""
    door = ["pamtester", "door", "ana", "authenticate", "acct_mgmt"]
    return host.run(door, input=f"{password}\n", check=False).returncode == 0


def log_is_whole(host: Machine) -> bool:
    """Whether the chain holds and the journal has every record."""
    host.run("keybearer audit verify")
    host.wait_for(lambda: complete(host), 60, "every record in the journal")
    return True


@pytest.mark.brief
@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["ahead", "back"])
def test_a_clock_that_is_set_leaves_services_with_certificates_that_are_good(host: Machine, by: timedelta) -> None:
    """An hour is more than the certificate has, and before it began: there is a new one, and one only."""
    restart(host, UNIT)
    host.wait_for(lambda: good(host), 20, "a certificate that is good")
    first = serial(host)
    move_clock(host, by)
    assert not good(host)
    host.wait_for(lambda: good(host), 60, "a new certificate that is good")
    assert serial(host) != first
    host.wait_for(lambda: [g["state"] for g in grants(host, UNIT)] == ["adopted"], 30, "the end of the old one")
    assert lets_in(host)
    words = host.wait_for(lambda: records(host, "KEYBEARER_EVENT=clock-set"))[-1]["MESSAGE"]
    assert words.endswith(" s ahead" if by > timedelta() else " s back")
    assert log_is_whole(host)


def test_renewal_goes_on_after_the_clock_was_set_back(host: Machine) -> None:
    """It is the time that passes that counts, and not the time of day."""
    certify(host, "3min", "RenewAt=0.1")
    restart(host, UNIT)
    move_clock(host, -HOUR)
    move_clock(host, HOUR)
    for _ in range(3):
        before = serial(host)
        host.wait_for(lambda before=before: serial(host) not in ("", before), 60, "one more certificate")  # type: ignore[misc]
    certify(host, "30min")


def test_a_lockout_lasts_as_long_as_it_says_when_the_clock_is_set_back(host: Machine) -> None:
    """Not an hour longer."""
    host.write("/etc/keybearer/keybearer.conf.d/lockout.conf", "[Login]\nLockoutAttempts=3\nLockoutSec=45s\n")
    host.run("systemctl reload keybearerd.service")
    for _ in range(3):
        assert not lets_in(host, "a wrong one")
    assert not lets_in(host)
    move_clock(host, -HOUR)
    host.wait_for(lambda: lets_in(host), 45, "the end of a lockout")
    move_clock(host, HOUR)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["ahead", "back"])
def test_a_host_whose_clock_is_wrong_at_boot_comes_up(host: Machine, ahead: timedelta) -> None:
    """Its store opens, its services start, people come in; and when the clock is put right, certificates are new."""
    assert isinstance(host, VirtualMachine)
    first = serial(host)
    host.stop()
    host.ahead = ahead
    host.start()
    host.ahead = timedelta()
    host.wait_for(lambda: serial(host) not in ("", first), 60, "a certificate")
    host.wait_for(lambda: len(grants(host, UNIT)) == 1, 60, "the end of the grant from before")
    assert lets_in(host)
    move_clock(host, -ahead)
    host.wait_for(lambda: good(host), 60, "a certificate that is good")
    assert lets_in(host)
    assert log_is_whole(host)


def count(host: Machine, word: str, pid: str = "") -> int:
    """How often a word stands in the swap as it is on disk, or in the memory of a process."""
    read = f'dd if={SWAP} bs=1M iflag=direct status=none | python3 -c "$0" "$@"'
    return int(host.run(["sh", "-c", read, COUNT, word[::-1], pid], timeout=120).stdout)


def status_of(host: Machine, unit: str) -> dict[str, str]:
    """What the kernel says about a unit's main process."""
    pid = host.run(["systemctl", "show", "-P", "MainPID", unit]).stdout.strip()
    lines = host.read(f"/proc/{pid}/status").splitlines()
    return {"Pid": pid, **dict(line.split(":\t", 1) for line in lines if ":\t" in line)}


@pytest.mark.brief
def test_swap_never_holds_a_secret(host: Machine) -> None:
    """Broker and store lock their memory; a careless program beside them is swapped, word by word."""
    secret, other = "Xq7rTz0pLm4vKwYd", "Bn3hGf8sJc5aRe2u"
    keep(host, "orders", password=secret)
    define(host, "orders-db", "kv/orders", "orders.service", "OnUnavailable=stale")
    service(host, "orders.service", SERVER)
    add(host, "orders.service", "orders-db")
    host.run("systemctl start orders.service")
    for unit in ("keybearerd.service", "keybearer-store-local.service"):  # so that only the lock is left
        host.run(["systemctl", "set-property", "--runtime", unit, "MemorySwapMax=infinity"])
    host.run(f"dd if=/dev/zero of={SWAP} bs=1M count=300 && chmod 600 {SWAP} && mkswap {SWAP} && swapon {SWAP}", timeout=180)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    careless = host.popen(["python3", "-c", CARELESS], **pipes)  # ends with the machine
    assert careless.stdin and careless.stdout
    careless.stdin.write(f"{other[::-1]}\n")
    careless.stdin.flush()
    assert careless.stdout.readline() == "ready\n"
    host.run(["python3", "-c", PRESSURE], timeout=180)
    locked = {unit: status_of(host, unit) for unit in ("keybearerd.service", "keybearer-store-local.service")}
    assert count(host, other) > 0, "nothing was swapped: this shows nothing"
    assert count(host, secret, locked["keybearerd.service"]["Pid"]) > 0, "the broker does not hold it: this shows nothing"
    assert count(host, secret) == 0
    for unit, status in locked.items():
        assert int(status["VmLck"].split()[0]) > 1000, (unit, status["VmLck"])
        assert status["VmSwap"].split()[0] == "0", (unit, status["VmSwap"])
