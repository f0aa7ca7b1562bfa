# SPDX-License-Identifier: Apache-2.0
"""People of the directory come in, through the real programs and the PAM stack that Debian makes of our profile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from machine import Machine

PASSWORD = "several long words"
SSH = "ssh -o StrictHostKeyChecking=no -o ConnectTimeout=10"
BY_PASSWORD = f"sshpass -p '{{password}}' {SSH} -o PreferredAuthentications=password,keyboard-interactive"


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with ana, whom rules let in, and bea, whom none does."""
    for user in ("ana", "bea"):
        own_machine.run(f"keybearer user add {user} --password-stdin", input=f"{PASSWORD}\n")
    own_machine.run("keybearer rule add doors who=ana service='sshd su su-l cron sudo login'")
    own_machine.run("useradd --create-home lea && echo 'lea:a long word' | chpasswd")
    return own_machine


@pytest.fixture(autouse=True)
def counters(host: Machine) -> Iterator[None]:
    """Each test begins with a broker that runs and nobody locked out."""
    yield
    host.run("rm -f /var/lib/keybearer/keep/login.lockout; systemctl restart keybearerd.service")


def ssh(host: Machine, user: str, password: str = PASSWORD) -> bool:
    """Whether a person gets in by password."""
    login = f"{BY_PASSWORD.format(password=password)} {user}@localhost id -un"
    result = host.run(login, check=False)
    return result.returncode == 0 and result.stdout.strip().endswith(user)


def account(host: Machine, service: str, user: str) -> str:
    """What pam_acct_mgmt() says, as a cron job or a login by key would hear it."""
    result = host.run(["pamtester", service, user, "acct_mgmt"], check=False)
    return (result.stdout + result.stderr).strip()


def test_names_are_there_at_once(host: Machine) -> None:
    """getent and id find a person as soon as the command that made them is through."""
    assert host.run("getent passwd ana").stdout.startswith("ana:*:65536:65536:")
    assert "65536(ana)" in host.run("id ana").stdout


def test_password_lets_in_whom_a_rule_permits(host: Machine) -> None:
    """ana gets in, with a wrong password she does not; bea has the right one and no rule; lea is the host's own."""
    assert ssh(host, "ana")
    assert not ssh(host, "ana", "something else")
    assert not ssh(host, "bea")
    assert ssh(host, "lea", "a long word")
    assert host.run("systemctl list-units --failed --no-legend user@*").stdout == ""  # systemd-user came along


def test_account_is_asked_without_a_password(host: Machine) -> None:
    """Cron and keys pass the rules too; who is disabled is out at once."""
    assert "account management done" in account(host, "cron", "ana")
    assert "Permission denied" in account(host, "cron", "bea")
    assert "account management done" in account(host, "cron", "root")
    host.run("keybearer user disable ana")
    assert "Permission denied" in account(host, "cron", "ana")
    assert not ssh(host, "ana")
    host.run("keybearer user enable ana")
    assert "account management done" in account(host, "cron", "ana")


def test_a_dead_or_frozen_broker_lets_nobody_of_ours_in(host: Machine) -> None:
    """ana is refused, in time; root and lea do not notice, with every socket gone too."""
    host.run("systemctl kill --signal=STOP keybearerd.service")
    begin = time.monotonic()
    assert "Authentication service cannot retrieve" in account(host, "cron", "ana")
    assert time.monotonic() - begin < 8
    assert "account management done" in account(host, "cron", "root")
    assert ssh(host, "lea", "a long word")
    host.run("systemctl kill --signal=CONT keybearerd.service")
    sockets = [f"keybearer-{name}.socket" for name in ("root", "auth", "encrypted", "plain")]
    host.run(f"systemctl stop {' '.join(sockets)} keybearerd.service")
    assert "Authentication service cannot retrieve" in account(host, "cron", "ana")
    assert "account management done" in account(host, "cron", "root")
    assert ssh(host, "lea", "a long word")
    host.run(f"systemctl start {' '.join(sockets)} keybearerd.service")
    assert ssh(host, "ana")


def test_a_lost_name_file_lets_only_the_hosts_own_people_in(host: Machine) -> None:
    """Nobody can tell then who is ours, so whoever is not in /etc/passwd stays outside."""
    host.run("mv /var/lib/keybearer/nss /var/lib/keybearer/nss.aside")
    try:
        assert "account management done" not in account(host, "cron", "ana")
        assert "account management done" in account(host, "cron", "lea")
        assert ssh(host, "lea", "a long word")
    finally:
        host.run("mv /var/lib/keybearer/nss.aside /var/lib/keybearer/nss")


def test_guessing_locks_out_over_a_restart(host: Machine) -> None:
    """Ten wrong passwords lock out that service for that host; another service still asks."""
    for _ in range(10):
        host.run("pamtester -I rhost=far.example sshd ana authenticate", input="wrong\n", check=False)
    right = "pamtester -I rhost=far.example sshd ana authenticate"
    assert host.run(right, input=f"{PASSWORD}\n", check=False).returncode != 0
    host.run("systemctl restart keybearerd.service")
    assert host.run(right, input=f"{PASSWORD}\n", check=False).returncode != 0
    assert ssh(host, "ana")


def test_recovery_code_opens_once_while_the_store_is_dead(host: Machine) -> None:
    """A named person comes in with a code; the code is void, and the journal is loud."""
    codes = [word for word in host.run("keybearer recovery 3").stdout.split() if word.count("-") == 4]
    host.run("systemctl mask --now keybearer-store-local.socket keybearer-store-local.service")
    try:
        again = "pamtester sshd ana authenticate acct_mgmt"
        typed = f"whatever\n{codes[0]}\n"
        assert host.run(again, input=typed, check=False).returncode == 0
        assert host.run(again, input=typed, check=False).returncode != 0
        loud = "journalctl --no-pager --priority=alert --output=cat"
        host.wait_for(lambda: "ana came in with a recovery code" in host.run(loud).stdout, what="a loud journal")
    finally:
        host.run("systemctl unmask keybearer-store-local.socket keybearer-store-local.service")
        host.run("systemctl start keybearer-store-local.socket")


def test_password_is_changed_in_the_store(host: Machine) -> None:
    """passwd(1), run by the person: the old one is asked for, and the new one counts."""
    new = "quite another sentence"
    host.dialogue("passwd", ("urrent", PASSWORD), ("New", new), ("Retype", new), user="ana")
    assert ssh(host, "ana", new)
    host.run("keybearer user passwd ana --password-stdin", input=f"{PASSWORD}\n")
    assert ssh(host, "ana")


def test_sessions_are_counted_in_and_out(host: Machine) -> None:
    """A session is listed while it lasts, and gone when its leader was killed."""
    login = host.popen(f"{BY_PASSWORD.format(password=PASSWORD)} ana@localhost sleep 60")
    try:
        host.wait_for(lambda: "ana" in host.run("keybearer session list").stdout, what="session of ana")
        host.run("pkill -KILL -f 'sshd.*ana'", check=False)
        host.wait_for(lambda: "ana" not in host.run("keybearer session list").stdout, what="end of the session")
    finally:
        login.kill()
        login.wait()
