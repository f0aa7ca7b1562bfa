# SPDX-License-Identifier: Apache-2.0
"""The journal tells the whole story of a unit's credentials, and units start whatever has become of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from machine import Machine
from service import add, define, keep, restart, service

UNIT = "orders.service"
STARTS = 5


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with a unit that starts with a secret, and one that may not."""
    keep(own_machine, "orders", password="hard to guess")
    define(own_machine, "orders-db", "kv/orders", UNIT)
    service(own_machine, UNIT)
    add(own_machine, UNIT, "orders-db")
    service(own_machine, "billing.service", more="LoadCredentialEncrypted=orders-db.password:/run/keybearer/encrypted.sock\n")
    return own_machine


def records(host: Machine, *matches: str) -> list[dict[str, Any]]:
    """What the journal has of our log, by sequence."""
    entries = [entry for entry in host.journal("", *matches) if "KEYBEARER_SEQ" in entry]
    return sorted(entries, key=lambda entry: int(entry["KEYBEARER_SEQ"]))


def complete(host: Machine) -> bool:
    """Whether no record is missing in the journal, from the first to the last it has."""
    found = {int(entry["KEYBEARER_SEQ"]) for entry in records(host)}
    return found == set(range(1, max(found, default=0) + 1))


@pytest.mark.core
def test_every_record_has_its_number_and_its_explanation(host: Machine) -> None:
    """MESSAGE_ID, what it is about and how it ended are fields; journalctl -x explains each."""
    restart(host, UNIT)
    restart(host, "billing.service", check=False)
    given = host.wait_for(lambda: records(host, "MESSAGE_ID=9c42eb93ad704134a822de747b5e482a"))[-1]
    assert given["MESSAGE"].startswith("orders.service was given orders-db") and given["PRIORITY"] == "6"
    assert given["OBJECT_SYSTEMD_UNIT"] == UNIT
    refused = host.wait_for(lambda: records(host, "MESSAGE_ID=af437f56958a4590b748b05343fddbee"))[-1]
    assert refused["OBJECT_SYSTEMD_UNIT"] == "billing.service" and refused["PRIORITY"] == "4"
    known = host.run("journalctl --list-catalog").stdout
    assert all(entry["MESSAGE_ID"] in known for entry in records(host))
    explained = host.run("journalctl --no-pager -x -u billing.service").stdout
    assert "A credential was refused" in explained and "add the unit to [Allow]" in explained


def test_a_units_own_journal_has_its_credentials(host: Machine) -> None:
    """journalctl -u shows issue and revocation beside what systemd and the unit say."""
    restart(host, UNIT)
    host.run(["systemctl", "stop", UNIT])
    host.wait_for(lambda: "orders-db of orders.service was revoked" in host.messages(UNIT))
    assert "orders.service was given orders-db" in host.messages(UNIT)
    assert "hard to guess" not in host.run("journalctl --no-pager -o export -a").stdout


def freeze(host: Machine) -> None:
    host.run("systemctl kill --signal=STOP systemd-journald.service")


def thaw(host: Machine) -> None:
    host.run("systemctl kill --signal=CONT systemd-journald.service")


def take_away(host: Machine) -> None:
    """No journald, and no socket that would start it."""
    host.run("systemctl mask --runtime systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket")
    host.run("systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service")
    host.run("rm -f /run/systemd/journal/socket")


def bring_back(host: Machine) -> None:
    host.run("systemctl unmask --runtime systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket")
    host.run("systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service")


def kill(host: Machine) -> None:
    host.run("systemctl kill --signal=KILL systemd-journald.service")


def nothing(host: Machine) -> None:
    """systemd has started it again already."""


HARDSHIP = ((freeze, thaw), (take_away, bring_back), (kill, nothing))


@pytest.mark.parametrize("hardship, cure", HARDSHIP, ids=[before.__name__ for before, _ in HARDSHIP])
def test_units_start_whatever_the_journal_does(
    host: Machine, hardship: Callable[[Machine], None], cure: Callable[[Machine], None]
) -> None:
    """Nobody waits for journald, and afterwards it has every record."""
    hardship(host)
    try:
        began = time.monotonic()
        for _ in range(STARTS):
            restart(host, UNIT)
        took = time.monotonic() - began
    finally:
        cure(host)
    assert took < 10
    last = host.run(["systemctl", "show", "--property=InvocationID", "--value", UNIT]).stdout.strip()
    host.wait_for(lambda: any(last in str(entry) for entry in records(host)), 30, "the last start in the journal")
    host.wait_for(lambda: complete(host), 30, "every record in the journal")
