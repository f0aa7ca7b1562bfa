# SPDX-License-Identifier: Apache-2.0
"""A second store beside the local one: what is seen of it, what waits for it, and that the local one does not notice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from machine import Machine
from package import INSTALL
from service import add, define, drop_in, fails_without_credentials, keep, restart, seen, service, show, status

CONF = "/etc/keybearer/stores/prod.conf"
UNIT = "keybearer-store-vault@prod"
SOCKET = "/run/keybearer/stores/prod.sock"

# Nobody listens there.
NOBODY = """\
[Store]
Type=vault
[Server]
Address=https://127.0.0.1:9
[Login]
Method=token
TokenFile=/etc/keybearer/prod.token
"""
NOT_LOGGED_IN = "https://127.0.0.1:9: Failed to connect"


def write(machine: Machine, text: str, owner: str = "root:keybearer-vault", mode: int = 0o640) -> None:
    """The store's file, as the page says it has to be; or not."""
    machine.write(CONF, text, mode)
    machine.run(["chown", owner, CONF])


def fact(machine: Machine, store: str) -> str:
    """What the broker says of a store."""
    facts = json.loads(machine.run("keybearer status --json").stdout)
    return str(facts.get(f"store.{store}", ""))


def says(machine: Machine, what: str) -> Callable[[], bool]:
    """That the broker says this of the second store."""
    return lambda: what in fact(machine, "prod")


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with a unit that has its secret from the local store, and a second store that is switched on."""
    keep(own_machine, "near", value="from here")
    define(own_machine, "near", "kv/near", "near.service")
    service(own_machine, "near.service")
    add(own_machine, "near.service", "near")
    restart(own_machine, "near.service")
    write(own_machine, NOBODY)
    own_machine.write("/etc/keybearer/prod.token", "hvs.none\n", 0o640)
    own_machine.run("chgrp keybearer-vault /etc/keybearer/prod.token")
    assert "the settings of 1 store are well formed" in own_machine.run("keybearer config check").stdout
    own_machine.run(f"systemctl enable -q --now {UNIT}.socket && systemctl reload keybearerd")
    own_machine.wait_for(says(own_machine, NOT_LOGGED_IN), 30, "a broker that has asked it")
    return own_machine


def test_it_is_off_until_somebody_switches_it_on(machine: Machine) -> None:
    """The package starts no instance, and a socket without its file is not made."""
    assert machine.run("systemctl list-units --all --plain --no-legend 'keybearer-store-vault*'").stdout == ""
    machine.run(f"systemctl start {UNIT}.socket")
    assert not machine.active(f"{UNIT}.socket")
    assert machine.run(["test", "-e", SOCKET], check=False).returncode == 1
    assert fact(machine, "prod") == "" and fact(machine, "local") == "up"


def test_whoever_looks_sees_why_it_gives_nothing_out(host: Machine) -> None:
    """status, metrics, doctor, the journal, systemd and the store itself say the same; the log has it."""
    told = host.run("keybearer status").stdout
    assert re.search(r"^store +local: open$", told, re.M)
    assert re.search(f"the store prod gives nothing out: .*{NOT_LOGGED_IN}", told)
    figures = host.run("keybearer metrics").stdout
    assert 'keybearer_store_up{store="local"} 1\n' in figures and 'keybearer_store_up{store="prod"} 0\n' in figures
    rows = json.loads(host.run("keybearer doctor --json", check=False).stdout)
    (found,) = (row for row in rows if not row["well"])
    assert found["check"] == "other stores answer" and NOT_LOGGED_IN in found["cause"]
    assert found["cure"] == "keybearer store status --store=prod"
    assert NOT_LOGGED_IN in host.run(found["cure"]).stdout
    (shown,) = json.loads(host.run("keybearer store status --store=prod --json").stdout)
    assert shown["state"] == "not logged in" and "https://127.0.0.1:9" in shown
    assert NOT_LOGGED_IN in show(host, f"{UNIT}.service", "StatusText")["StatusText"]
    (event,) = [e for e in host.journal("", "KEYBEARER_EVENT=store-down") if e["KEYBEARER_STORE"] == "prod"]
    assert NOT_LOGGED_IN in event["MESSAGE"] and event["KEYBEARER_REASON"] == "unreachable"


def test_it_runs_as_its_own_user_with_a_socket_for_root(host: Machine) -> None:
    """No capability, its own folder, and nobody but root may ask it."""
    pid = show(host, f"{UNIT}.service", "MainPID")["MainPID"]
    of_process = host.read(f"/proc/{pid}/status")
    assert re.search(r"^CapBnd:\s+0+$", of_process, re.M) and re.search(r"^NoNewPrivs:\s+1$", of_process, re.M)
    assert host.run(["stat", "-c", "%F %a %U:%G", SOCKET]).stdout == "socket 600 root:root\n"
    assert host.run("stat -c '%a %U:%G' /var/lib/keybearer-store-prod").stdout == "700 keybearer-vault:keybearer-vault\n"
    assert host.run(["ps", "-o", "user:20=,args=", "-p", pid]).stdout.split() == [
        "keybearer-vault", "/usr/libexec/keybearer/keybearer-store-vault", "prod"]


@pytest.mark.parametrize("on_unavailable", ["fail", "wait"])
def test_a_unit_is_refused_or_waits_as_its_credential_says(host: Machine, on_unavailable: str) -> None:
    """With the reason in its own status; a wait ends after WaitSec=. The local store's units start meanwhile."""
    name = f"far-{on_unavailable}"
    unit = f"{name}.service"
    define(host, name, "kv/far", unit, f"Store=prod\nOnUnavailable={on_unavailable}\nWaitSec=4s")
    service(host, unit)
    add(host, unit, f"{name}.value")  # its fields cannot be asked for
    drop_in(host, unit, {"Restart": "no"})
    host.run(["systemctl", "start", "--no-block", unit])
    if on_unavailable == "wait":
        host.wait_for(lambda: show(host, unit, "ActiveState")["ActiveState"] == "activating", what="a unit that waits")
    restart(host, "near.service")
    assert seen(host, "near.service") == {"near.value": "from here"}
    host.wait_for(lambda: show(host, unit, "ActiveState")["ActiveState"] == "failed", 60, "a unit that was refused")
    assert fails_without_credentials(host, unit)
    assert NOT_LOGGED_IN in status(host, unit)
    host.run(["rm", f"/etc/keybearer/credentials.d/{name}.conf"])


# What an administrator does wrong, and what is said about it.
MISTAKES = {
    "unknown key": (NOBODY + "Colour=red\n", "root:keybearer-vault", 0o640, ":8: unknown key Colour= in [Login]"),
    "another method's key": (NOBODY + "JwtFile=/j\n", "root:keybearer-vault", 0o640, ":8: JwtFile= does not belong"),
    "plain http": (NOBODY.replace("https://127.0.0.1", "http://bao"), "root:keybearer-vault", 0o640, ":4: Address="),
    "for everybody": (NOBODY, "root:keybearer-vault", 0o644, "has to be for root and the group keybearer-vault alone"),
    "for root alone": (NOBODY, "root:root", 0o600, "cannot be opened: Permission denied; chgrp keybearer-vault "),
    "another owner": (NOBODY, "keybearer-vault:keybearer-vault", 0o640, "who could change it"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_its_file_is_named_and_mended_without_a_restart(host: Machine, mistake: str) -> None:
    """By the broker's status and by `config check`, with file and line; the local store goes on."""
    text, owner, mode, expected = MISTAKES[mistake]
    try:
        write(host, text, owner, mode)
        host.run(["systemctl", "restart", f"{UNIT}.service"])
        host.wait_for(says(host, f"{CONF}"), 30, "a broker that has heard of it")
        assert expected in fact(host, "prod")
        check = host.run("keybearer config check", check=False)
        assert check.returncode == 2 and CONF in check.stderr
        assert fact(host, "local") == "up"
    finally:
        write(host, NOBODY)
    host.wait_for(says(host, NOT_LOGGED_IN), 30, "a store that has read its file again")
    assert "well formed" in host.run("keybearer config check").stdout


def test_it_comes_back_after_a_reboot_and_an_upgrade_gives_it_the_new_program(host: Machine) -> None:
    """Enabled, it is there at boot; the package's new version runs at once, behind the socket that was there."""
    host.reboot()
    host.wait_for(says(host, NOT_LOGGED_IN), 30, "a broker that has asked it again")
    pid, which = show(host, f"{UNIT}.service", "MainPID"), host.run(["stat", "-c", "%i", SOCKET]).stdout
    host.run(f"{INSTALL} --reinstall", timeout=120)
    assert show(host, f"{UNIT}.service", "MainPID") != pid
    assert host.active(f"{UNIT}.service") and host.run(["stat", "-c", "%i", SOCKET]).stdout == which


def test_it_goes_with_its_file_and_with_the_package(host: Machine) -> None:
    """Switched off as the page says, nothing of it is to be seen; and a purge finds one that is on."""
    host.run(f"systemctl disable -q --now {UNIT}.socket; systemctl stop {UNIT}.service; mv {CONF} /root; systemctl restart keybearerd")
    host.wait_for(lambda: fact(host, "local") == "up", what="a broker that is up")
    assert fact(host, "prod") == ""
    assert "WRONG" not in host.run("keybearer doctor").stdout
    host.run(f"mv /root/prod.conf {CONF}; systemctl enable -q --now {UNIT}.socket && systemctl reload keybearerd")
    host.wait_for(says(host, NOT_LOGGED_IN), 30, "a broker that has asked it again")
    host.run("apt-get purge -qy keybearer", timeout=120)
    assert host.run("systemctl list-units --all --plain --no-legend 'keybearer*'").stdout == ""
    assert host.run("pgrep -a keybearer; ls -d /var/lib/keybearer-store-*; find /etc/systemd -name 'keybearer-store*'",
                    check=False).stdout == ""
