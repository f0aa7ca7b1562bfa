# SPDX-License-Identifier: Apache-2.0
"""Machines are what the other tests take them for."""

from __future__ import annotations

import subprocess

import pytest
from machine import CommandError, Machine, MachineError


def test_commands_return_what_they_said(machine: Machine) -> None:
    """Exit code, both outputs and input pass through, as root and as somebody else."""
    result = machine.run("cat; echo no >&2; exit 3", input="yes", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (3, "yes", "no\n")
    assert machine.run(["id", "-un"], user="nobody").stdout == "nobody\n"
    with pytest.raises(CommandError):
        machine.run("false")
    with pytest.raises(subprocess.TimeoutExpired):
        machine.run("sleep 60", timeout=0.5)


def test_commands_are_in_no_unit(machine: Machine) -> None:
    """A command of the test is never taken for a unit, one of systemd_run is."""
    assert machine.run("cat /proc/self/cgroup").stdout.splitlines()[-1] == "0::/outside"
    inside = machine.systemd_run("cat /proc/self/cgroup", unit="some.service").stdout
    assert inside.splitlines()[-1] == "0::/system.slice/some.service"


def test_a_terminal_asks_and_is_answered(own_machine: Machine) -> None:
    """su, login and passwd can be talked to, each on a terminal that they may hang up."""
    own_machine.run("useradd -m lea && echo 'lea:a long word' | chpasswd")
    su = own_machine.dialogue("su lea -c 'id -un'", ("assword:", "a long word"), user="nobody")
    assert su.returncode == 0 and su.stdout.endswith("lea\n")
    login = own_machine.dialogue("exec login lea", ("assword:", "a long word"), (r"\$ $", "loginctl; exit"))
    assert "pts/" in login.stdout
    new = "correct horse 7 battery"
    own_machine.dialogue("passwd", ("urrent", "a long word"), ("ew pass", new), ("etype", new), user="lea")
    with pytest.raises(MachineError):
        own_machine.dialogue("id", ("assword:", "never asked for"))


def test_journal_comes_as_fields(machine: Machine) -> None:
    """What a unit says is found under its name, with the fields that journald adds."""
    machine.run("systemd-run --quiet --wait --collect --unit=speaker.service echo a word")
    (entry,) = [e for e in machine.journal("speaker.service") if e.get("MESSAGE") == "a word"]
    assert entry["_SYSTEMD_UNIT"] == "speaker.service"


def test_disk_outlives_a_reboot_and_a_power_cut(fresh_machine: Machine) -> None:
    """What was written is there again; /run is not."""
    fresh_machine.write("/var/lib/kept", "1")
    fresh_machine.write("/run/lost", "1")
    fresh_machine.reboot()
    assert fresh_machine.run("ls /var/lib/kept /run/lost", check=False).stdout == "/var/lib/kept\n"
    fresh_machine.kill()
    fresh_machine.start()
    assert fresh_machine.read("/var/lib/kept") == "1"
