# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the middle of a login: it fails closed or is complete, no guess is free, and the next one works."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from crash import BROKER, STORE, Program, crashing
from machine import Machine
from service import grants, keep

PASSWORD = "several long words"
PHASES = ("authenticate", "acct_mgmt", "open_session", "close_session")
LIMIT = 3  # guesses until somebody is locked out

# What pamtester says of a phase that succeeded, and the record without which it must not.
DONE = {
    "successfully authenticated": "login-authenticated",
    "account management done": "account-permitted",
    "opened a session": "session-opened",
}

# Only our module, so that nothing else pauses, or lets anybody in.
STACK = """\
auth required pam_keybearer.so nodelay
account required pam_keybearer.so
session required pam_keybearer.so
"""

FETCHING = ("fetched", "fetch-asked", "committing", "committed", "fetch-answering", "fetch-answered")

# The points of a login in their order, and how far it gets when somebody dies there. An attempt that was under way is
# forgotten by the next broker, so what was shown counts for nothing; a session is the next broker's too.
LOGIN: list[tuple[Program, str, int]] = [
    *((BROKER, point, 0) for point in ("authenticate-asked", "authenticate-answering", "authenticate-answered")),
    (BROKER, "proceed-asked", 0),
    *((STORE, f"store_authenticate-{point}", 0) for point in ("asked", "answering")),
    (STORE, "password-checked", 0),
    (STORE, "store_authenticate-answered", 4),
    *((BROKER, point, 0) for point in ("login-checked", "login-recorded", "proceed-answering")),
    *((BROKER, point, 1) for point in ("proceed-answered", "account-asked", "account-recorded", "account-answering")),
    (BROKER, "account-answered", 4),
    *((BROKER, point, 2) for point in ("open_session-asked", "session-counted", "session-recorded", "fetched", "session-ready")),
    *((STORE, point, 4) for point in FETCHING[1:]),
    (BROKER, "open_session-answering", 2),
    (BROKER, "open_session-answered", 4),
    *((BROKER, f"close_session-{point}", 4) for point in ("asked", "answering", "answered")),
]

# Those of a guess that is wrong.
GUESS = [(program, point) for program, point, _ in LOGIN if point.startswith(("proceed", "store_auth", "password", "login-checked"))]
GUESS.append((BROKER, "guess-counted"))


@dataclass
class Login:
    """What the module said of a login."""

    code: int
    said: str
    done: list[str] = field(default_factory=list)  # the records of its phases that succeeded

    def __post_init__(self) -> None:
        self.done = [record for words, record in DONE.items() if words in self.said]


@pytest.fixture(scope="module")
def host(own_machine: Machine, release: str) -> Machine:
    """A machine with ana, who gets two credentials when she comes in through a door of our module alone."""
    crashing(own_machine, release)
    own_machine.write("/etc/pam.d/crash", STACK)
    own_machine.write("/etc/keybearer/keybearer.conf.d/crash.conf", f"[Login]\nLinger=1s\nLockoutAttempts={LIMIT}\n")
    own_machine.run("keybearer user add ana --password-stdin", input=f"{PASSWORD}\n")
    own_machine.run("keybearer rule add doors who=ana service=crash factor=password")
    own_machine.run("keybearer ca create people && keybearer ca role-set person ca=people domains=localhost client=yes")
    keep(own_machine, "ana", password="hard to guess")
    for name, path, more in (("db", "kv/ana", ""), ("tls", "pki/issue/person", "Param.common_name=localhost\n")):
        text = f"[Credential]\nPath={path}\n{more}[Allow]\nUser=ana\nServices=crash\n"
        own_machine.write(f"/etc/keybearer/credentials.d/{name}.conf", text)
    own_machine.run("systemctl restart keybearerd.service")
    return own_machine


def login(host: Machine, remote_host: str, password: str = PASSWORD, phases: tuple[str, ...] = PHASES) -> Login:
    """ana comes in and goes."""
    command = ["pamtester", "-I", f"rhost={remote_host}", "crash", "ana", *phases]
    result = host.run(command, input=f"{password}\n", check=False)
    return Login(result.returncode, result.stdout + result.stderr)


def records(host: Machine, remote_host: str) -> set[str]:
    """The events of the log about who came from there."""
    shown = map(json.loads, host.run("keybearer audit show --json").stdout.splitlines())
    return {record["event"] for record in shown if record.get("remote_host") == remote_host}


def sessions(host: Machine) -> list[dict[str, Any]]:
    """Who is in."""
    found: list[dict[str, Any]] = json.loads(host.run("keybearer session list --json").stdout)
    return found


@pytest.mark.parametrize(("program", "point", "phases"), LOGIN, ids=str)
def test_a_login_fails_closed_or_is_complete(host: Machine, program: Program, point: str, phases: int) -> None:
    """No phase succeeds without its record, and none after one that did not; the next login is as good as any."""
    if point in FETCHING:  # what the login before had is still there for a second
        host.wait_for(lambda: not grants(host, "ana"), 30, "the end of its grants")
    program.arm(host, point)
    first = login(host, point)
    assert program.died(host), f"nobody came to {point}: {first.said}"
    assert (first.code == 0) == (phases == len(PHASES)), first.said
    assert len(first.done) == min(phases, len(DONE)), first.said
    again = login(host, f"{point}.again")
    assert again.code == 0 and len(again.done) == len(DONE), again.said
    assert set(first.done) <= records(host, point)
    assert set(again.done) <= records(host, f"{point}.again")


def test_nothing_is_left_of_logins_that_died(host: Machine) -> None:
    """No session, no grant, no folder; of the certificates only that is not revoked which nobody had the key of."""
    host.wait_for(lambda: not sessions(host), 30, "the end of the sessions")
    host.wait_for(lambda: not grants(host, "ana"), 30, "the end of the grants")
    assert host.run("ls /run/keybearer/users").stdout == ""
    rows = json.loads(host.run("keybearer ca certificates people --json").stdout)
    assert len([row for row in rows if not row["revoked"]]) <= 1


@pytest.mark.parametrize(("program", "point"), GUESS, ids=str)
def test_a_crash_gives_no_free_guess(host: Machine, program: Program, point: str) -> None:
    """Nobody hears "wrong" more often than the limit says, whoever died meanwhile."""
    far = f"guess.{point}"
    program.arm(host, point)
    said = [login(host, far, "a guess", ("authenticate",)).said]
    assert program.died(host), f"nobody came to {point}: {said}"
    while "maximum number of retries" not in said[-1]:
        said.append(login(host, far, "a guess", ("authenticate",)).said)
        assert len(said) < 3 * LIMIT, said
    assert len([text for text in said if "Authentication failure" in text]) <= LIMIT, said
    assert login(host, far).code != 0  # nor is the right one any use now
    assert login(host, f"{far}.other").code == 0
