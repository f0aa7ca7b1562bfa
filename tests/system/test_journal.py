# SPDX-License-Identifier: Apache-2.0
"""The journal tells the whole story of a unit's credentials, and units start whatever has become of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from machine import Machine
from package import TOP
from service import add, define, drop_in, keep, restart, service

UNIT = "orders.service"
STARTS = 8
PASSWORD = "several long words"
LOG_IN = "pamtester -I rhost=far.example sshd ana authenticate acct_mgmt"

# MESSAGE_ID and title of every event, as the table has them.
EVENTS = dict(re.findall(r'^EVENT\(\d+, \w+, "[\w-]+", "(\w{32})",[^"]*"\w+",\s+"([^"]+)"', (TOP / "helper/log/events.def").read_text(), re.M))


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with a unit that starts with a secret, and one that may not."""
    keep(own_machine, "orders", password="hard to guess")
    define(own_machine, "orders-db", "kv/orders", UNIT)
    service(own_machine, UNIT)
    add(own_machine, UNIT, "orders-db")
    service(own_machine, "billing.service", more="LoadCredentialEncrypted=orders-db.password:/run/keybearer/encrypted.sock\n")
    own_machine.run("keybearer user add ana --password-stdin", input=f"{PASSWORD}\n")
    own_machine.run("keybearer rule add doors who=ana service=sshd")
    return own_machine


def records(host: Machine, *matches: str) -> list[dict[str, Any]]:
    """What the journal has of our log, by sequence."""
    entries = [entry for entry in host.journal("", *matches) if "KEYBEARER_SEQ" in entry]
    return sorted(entries, key=lambda entry: int(entry["KEYBEARER_SEQ"]))


def complete(host: Machine) -> bool:
    """Whether the journal has every record that the log has now, from the first on."""
    last = json.loads(host.run("keybearer audit show --json --last=1").stdout)["sequence"]
    found = {int(entry["KEYBEARER_SEQ"]) for entry in records(host)}
    return found >= set(range(1, last + 1))


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
    assert {entry["MESSAGE_ID"] for entry in records(host)} <= set(EVENTS)
    explained = host.run("journalctl --no-pager -x -u billing.service").stdout
    assert "A credential was refused" in explained and "add the unit to [Allow]" in explained


def test_every_event_has_its_entry_in_the_catalog(host: Machine) -> None:
    """Each row of the table, with its title and a text, and no entry that is no event of ours."""
    assert len(EVENTS) == len(re.findall(r"^EVENT\(", (TOP / "helper/log/events.def").read_text(), re.M))
    listed = re.findall(r"^(\w{32}) Keybearer: (.*)$", host.run("journalctl --no-pager --list-catalog").stdout, re.M)
    assert dict(listed) == EVENTS and len(listed) == len(EVENTS)
    shown = host.run(["journalctl", "--no-pager", "--dump-catalog", *EVENTS]).stdout
    entries = re.split(r"^-- (\w{32})\n", shown, flags=re.M)[1:]
    assert set(entries[::2]) == set(EVENTS)
    for number, entry in zip(entries[::2], entries[1::2], strict=True):
        head, _, text = entry.strip().partition("\n\n")
        assert f"Subject: {EVENTS[number]}" in head and "Defined-By: Keybearer" in head and len(text) > 20, entry


# Who, what, how it ended and why: fields of the last entry of each of these events. A pattern must fit the whole; None: not there.
ONE_REQUEST = {"REQUEST": "[0-9a-f]{16}"}
FIELDS: dict[str, dict[str, str | None]] = {
    "login-authenticated": {"SUBJECT": "ana", "OBJECT": "sshd", "OUTCOME": "permitted", "REASON": None, "REMOTE_HOST": "far.example"},
    "account-permitted": {"SUBJECT": "ana", "OBJECT": "sshd", "OUTCOME": "permitted", "REASON": None, "RULE": "doors"},
    "login-refused": {"SUBJECT": "ana", "OBJECT": "sshd", "OUTCOME": "refused", "REASON": "bad-secret"},
    "account-refused": {"SUBJECT": "ana", "OBJECT": "cron", "OUTCOME": "refused", "REASON": "wrong-service"},
    "grant-issued": {"SUBJECT": UNIT, "OBJECT": "orders-db", "OUTCOME": "permitted", "REASON": None, "INVOCATION": "[0-9a-f]{32}"},
    "grant-refused": {"SUBJECT": "billing.service", "OBJECT": "orders-db", "OUTCOME": "refused", "REASON": "denied"},
    "grant-revoked": {"SUBJECT": UNIT, "OBJECT": "orders-db", "OUTCOME": "done", "REASON": None, "GRANT": "[0-9]+"},
    "admin-done": {"SUBJECT": "root", "OBJECT": "kv/orders", "ACTION": "secret put", "OUTCOME": "done", "REASON": None},
}


def test_an_entry_says_who_what_how_it_ended_and_why(host: Machine) -> None:
    """And by which request: of a login, of one that is refused, of a unit's grant, of an administrator."""
    host.run(LOG_IN, input=f"{PASSWORD}\n")
    host.run(LOG_IN, input="wrong\n", check=False)
    host.run("pamtester cron ana acct_mgmt", check=False)
    restart(host, UNIT)
    restart(host, "billing.service", check=False)
    keep(host, "orders", password="hard to guess")
    host.run(["systemctl", "stop", UNIT])
    for event, fields in FIELDS.items():
        entry = host.wait_for(lambda event=event: records(host, f"KEYBEARER_EVENT={event}"), what=event)[-1]  # type: ignore[misc]
        for name, pattern in (ONE_REQUEST | fields).items():
            value = entry.get(f"KEYBEARER_{name}")
            assert value is None if pattern is None else value and re.fullmatch(pattern, value), (event, name, value)
    (asked,) = records(host, "KEYBEARER_EVENT=admin-asked", f"KEYBEARER_REQUEST={entry['KEYBEARER_REQUEST']}")
    assert asked["KEYBEARER_OBJECT"] == "kv/orders"


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


def limit(host: Machine) -> None:
    """journald takes a handful in half an hour, as somebody wrote in a drop-in; the package says that there is no limit."""
    drop_in(host, "keybearerd.service", {"LogRateLimitIntervalSec": "30min", "LogRateLimitBurst": "1"})
    host.run("systemctl restart keybearerd.service")


def lift(host: Machine) -> None:
    assert not complete(host), "the limit was never met"
    host.run("rm /etc/systemd/system/keybearerd.service.d/zz-test.conf && systemctl daemon-reload && systemctl restart keybearerd.service")


def complete_soon(host: Machine) -> bool:
    """Waits until the journal has caught up."""
    return host.wait_for(lambda: complete(host), 60, "every record in the journal")


def starts(host: Machine) -> float:
    """Seconds that some starts take, and a login."""
    began = time.monotonic()
    host.run(f"for i in $(seq {STARTS}); do systemctl restart {UNIT}; done")
    host.run(LOG_IN, input=f"{PASSWORD}\n")
    return time.monotonic() - began


HARDSHIP = ((freeze, thaw), (take_away, bring_back), (kill, nothing), (limit, lift))


@pytest.mark.parametrize("hardship, cure", HARDSHIP, ids=[before.__name__ for before, _ in HARDSHIP])
def test_nobody_waits_for_the_journal_and_it_gets_everything(
    host: Machine, hardship: Callable[[Machine], None], cure: Callable[[Machine], None]
) -> None:
    """Units start and people log in as fast as before; afterwards the journal has every record, and the log had them all along."""
    before = starts(host)
    hardship(host)
    try:
        took = starts(host)
        issued = host.run(f"keybearer audit show event=grant-issued unit={UNIT} --last={STARTS} --json").stdout.splitlines()
    finally:
        cure(host)
    assert took < 5 + 5 * before
    assert len({json.loads(line)["invocation"] for line in issued}) == STARTS
    last = host.run(["systemctl", "show", "--property=InvocationID", "--value", UNIT]).stdout.strip()
    assert json.loads(issued[-1])["invocation"] == last
    assert complete_soon(host)
    host.run("keybearer audit verify")
