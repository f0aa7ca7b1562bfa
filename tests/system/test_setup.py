# SPDX-License-Identifier: Apache-2.0
"""What setup printed opens what it is for, and a host that cannot write its log lets nobody of ours in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from disk import Disk
from machine import Machine
from package import INSTALL
from service import add, define, drop_in, fails_without_credentials, keep, restart, seen, service, status

STORE = "keybearer-store-local.socket keybearer-store-local.service"
LOG = "/var/lib/keybearer/log"
READ_ONLY = 'Status: "The log cannot be written: Read-only file system"'
PASSWORD = "several long words"


def let_ana_in(host: Machine) -> None:
    """A person of ours whom a rule lets in, and a local one."""
    host.run("keybearer user add ana --password-stdin", input=f"{PASSWORD}\n")
    host.run("keybearer rule add doors who=ana service=sshd")
    host.run("useradd --create-home lea && echo 'lea:a long word' | chpasswd")


def enters(host: Machine, user: str, *typed: str) -> bool:
    """Whether sshd's stack lets a person in who types this."""
    command = f"pamtester sshd {user} authenticate acct_mgmt"
    return host.run(command, input="".join(f"{line}\n" for line in typed), check=False).returncode == 0


@pytest.fixture
def printed(bare_machine: Machine) -> Iterator[str]:
    """What the first setup of a host printed."""
    bare_machine.run(INSTALL, timeout=120)
    yield bare_machine.run("keybearer setup", timeout=120).stdout


def test_the_stores_code_opens_the_store(bare_machine: Machine, printed: str) -> None:
    """A sealed store gives nothing out, and opens with the code that was printed."""
    keep(bare_machine, "orders", password="hard to guess")
    bare_machine.run("keybearer seal seal")
    assert bare_machine.run("keybearer secret get kv/orders password", check=False).returncode != 0
    code = re.search(r"recovery code of the store:\n +(\S+)\n", printed)
    assert code
    bare_machine.run("keybearer seal unseal --password-stdin", input=f"{code[1]}\n")
    assert bare_machine.run("keybearer secret get kv/orders password").stdout == "hard to guess"


def test_a_one_time_code_lets_in_while_the_store_is_dead(bare_machine: Machine, printed: str) -> None:
    """Each of the codes on paper works once."""
    let_ana_in(bare_machine)
    codes = re.findall(r"^ +((?:[0-9A-Z]{5}-){4}[0-9A-Z]{5})$", printed, re.MULTILINE)
    bare_machine.run(f"systemctl mask -q --now {STORE}")
    assert not enters(bare_machine, "ana", PASSWORD, "no code at all")
    assert [enters(bare_machine, "ana", PASSWORD, code) for code in (*codes, codes[0])] == [True] * 8 + [False]


def expect_ana_and_orders(host: Machine) -> None:
    """A person who may log in, and a service that starts with a credential."""
    let_ana_in(host)
    keep(host, "orders", password="hard to guess")
    define(host, "orders-db", "kv/orders", "orders.service")
    service(host, "orders.service")
    add(host, "orders.service", "orders-db")


def test_without_a_record_nobody_comes_in(fresh_machine: Machine) -> None:
    """With the log's disk full a unit does not start and says why, ours stay out, local people come in."""
    host = fresh_machine
    expect_ana_and_orders(host)
    host.run(
        f"systemctl stop keybearerd; mkdir /mnt/disk && mount -t tmpfs -o size=4m,mode=0700 tmpfs /mnt/disk && cp -a {LOG}/. /mnt/disk"
        f" && mount --bind /mnt/disk {LOG}; systemctl start keybearerd; cat /dev/zero >{LOG}/ballast; "
        "for i in $(seq 40); do timeout 2 keybearer audit anchor || break; done",
        check=False,
    )
    assert not enters(host, "ana", PASSWORD)
    assert "the log cannot be written: No space left on device" in host.run("journalctl --no-pager -t pamtester").stdout
    assert enters(host, "lea", "a long word")
    host.write("/etc/systemd/system/orders.service.d/once.conf", "[Service]\nRestart=no\n")
    host.run("systemctl daemon-reload")
    assert restart(host, "orders.service", check=False).returncode != 0
    assert fails_without_credentials(host, "orders.service")
    status = "systemctl status --no-pager -l orders.service"
    host.wait_for(lambda: "not given orders-db: no-record" in host.run(status, check=False).stdout, what="the reason")
    host.run(f"rm {LOG}/ballast")
    host.wait_for(lambda: enters(host, "ana", PASSWORD), what="a login with room on the disk")
    restart(host, "orders.service")
    assert seen(host, "orders.service")["orders-db.password"] == "hard to guess"
    told = "journalctl --no-pager -o cat -u orders.service -g 'not given orders-db: no-record'"
    host.wait_for(lambda: len(host.run(told).stdout.splitlines()) == 2, what="its record")
    assert ["; this was at 20" in line for line in host.run(told).stdout.splitlines()] == [False, True]


def test_a_disk_of_the_log_that_goes_read_only_lets_nobody_in(fresh_machine: Machine) -> None:
    """Under a broker that runs, as a disk does that fails: as with a full one, and nothing that was written is lost."""
    host = fresh_machine
    expect_ana_and_orders(host)
    drop_in(host, "orders.service", {"Restart": "no"})
    host.run("systemctl stop keybearerd.service")
    with Disk(host, LOG) as disk:
        host.run("systemctl start keybearerd.service")
        assert enters(host, "ana", PASSWORD)
        host.run("keybearer audit anchor >/root/anchor")
        written = host.run("keybearer audit show --json").stdout.splitlines()
        disk.fail()
        assert not enters(host, "ana", PASSWORD)
        assert enters(host, "lea", "a long word")
        assert restart(host, "orders.service", check=False).returncode != 0
        assert fails_without_credentials(host, "orders.service")
        host.wait_for(lambda: "no-record" in status(host, "orders.service"), what="the reason in the unit's status")
        refused = host.run("keybearer secret get kv/orders password", check=False)
        assert refused.returncode == 3 and "the log cannot be written: Read-only file system" in refused.stderr
        assert "keybearer_log_failing 1\n" in host.run("keybearer metrics").stdout
        host.run("keybearer audit verify $(cat /root/anchor)")  # what is there can be read
        host.run("systemctl stop keybearerd.service")
        disk.mend()
        host.run(f"mount -o remount,ro {LOG}")
        host.run("systemctl start keybearerd.service")  # one that starts there does the same, and says why
        host.wait_for(lambda: READ_ONLY in status(host, "keybearerd.service"), what="the reason in the broker's status")
        assert not enters(host, "ana", PASSWORD)
        assert enters(host, "lea", "a long word")
        assert restart(host, "orders.service", check=False).returncode != 0
        assert fails_without_credentials(host, "orders.service")
        host.wait_for(lambda: "no-record" in status(host, "orders.service"), what="the reason in the unit's status")
        (found,) = (row for row in json.loads(host.run("keybearer doctor --json", check=False).stdout) if not row["well"])
        assert found["check"] == "the log is written" and "Read-only file system" in found["cause"]
        host.run(found["cure"])
        assert READ_ONLY not in status(host, "keybearerd.service")
        assert host.run("keybearer audit show --json").stdout.splitlines()[: len(written)] == written
        assert enters(host, "ana", PASSWORD)
        restart(host, "orders.service")
        assert seen(host, "orders.service")["orders-db.password"] == "hard to guess"
        host.run("keybearer audit verify $(cat /root/anchor)")
        host.run("systemctl stop keybearerd.service")
