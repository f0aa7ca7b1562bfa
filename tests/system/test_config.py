# SPDX-License-Identifier: Apache-2.0
"""A configuration that is changed under a broker that runs."""

from __future__ import annotations

from typing import Any

from machine import Machine

CONFIG = "/etc/keybearer/keybearer.conf"
FOLDER = "/etc/keybearer/credentials.d"
OBSERVE, ENFORCE = "[Login]\nMode=observe\n", "[Login]\nMode=enforce\n"

# What is there of a file while somebody writes it, or a disk is full; the line that is named, and words of the reason.
UNFINISHED = "the last line has no end"
HALVES = (
    *((ENFORCE[:size], 1 if size < 8 else 2, UNFINISHED) for size in (1, 4, 7, 9, 12, 13, 15, 20)),
    ("[Login]\nMode=enf\n", 2, "Mode"),
    ("[Login]\nMode=enforce\nLinger=\n", 3, "Linger"),
    ("[Login]\nMode=enforce\n[Lo\n", 3, ""),
)


def events(machine: Machine, event: str) -> list[dict[str, Any]]:
    return machine.journal("", f"KEYBEARER_EVENT={event}")


def reload(machine: Machine, event: str) -> dict[str, Any]:
    """Reloads the broker; returns the event that says what came of it."""
    before = len(events(machine, event))
    machine.run("systemctl reload keybearerd.service")
    return machine.wait_for(lambda: events(machine, event)[before:], 30, event)[-1]


def observes(machine: Machine) -> bool:
    """Whether the configuration of OBSERVE is in force."""
    return "keybearer_login_observing 1\n" in machine.run("keybearer metrics").stdout


def test_a_half_written_file_changes_nothing_and_is_named(machine: Machine) -> None:
    """The configuration before stays in force; the journal has file, line and reason. The mended file is taken."""
    pid = machine.run("systemctl show -P MainPID keybearerd.service").stdout
    try:
        machine.write(CONFIG, OBSERVE)
        reload(machine, "config-loaded")
        assert observes(machine)
        for half, line, word in HALVES:
            machine.write(CONFIG, half)
            entry = reload(machine, "config-refused")
            assert (entry["KEYBEARER_FILE"], entry["KEYBEARER_LINE"]) == (CONFIG, str(line)), (half, entry)
            assert word in entry["KEYBEARER_DETAIL"] and entry["PRIORITY"] == "3", (half, entry)
            assert entry["MESSAGE"] == f"The configuration was refused: {CONFIG}:{line}: {entry['KEYBEARER_DETAIL']}"
            assert observes(machine), half
        check = machine.run("keybearer config check", check=False)
        assert check.returncode != 0 and f"{CONFIG}:{HALVES[-1][1]}: " in check.stdout + check.stderr
        machine.write(CONFIG, ENFORCE)
        reload(machine, "config-loaded")
        assert not observes(machine)
        machine.write(CONFIG, OBSERVE)
        machine.write(f"{FOLDER}/half.conf", "[Credential]\nPath=kv/orders\n[Al\n")
        entry = reload(machine, "config-refused")
        assert (entry["KEYBEARER_FILE"], entry["KEYBEARER_LINE"]) == (f"{FOLDER}/half.conf", "3")
        assert not observes(machine)  # all or nothing
    finally:
        machine.run(["rm", "-f", f"{FOLDER}/half.conf", CONFIG])
        reload(machine, "config-loaded")
    assert machine.run("systemctl show -P MainPID keybearerd.service").stdout == pid
