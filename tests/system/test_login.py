# SPDX-License-Identifier: Apache-2.0
"""People of the directory come in, through the real programs and the PAM stack that Debian makes of our profile."""

from __future__ import annotations

import contextlib
import json
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


@contextlib.contextmanager
def up(host: Machine) -> Iterator[None]:
    """Nothing is the matter."""
    yield


@contextlib.contextmanager
def dead(host: Machine) -> Iterator[None]:
    """Every process of ours is dead, and no socket would start one."""
    units = " ".join(f"keybearer-{name}.socket" for name in ("root", "auth", "encrypted", "plain", "store-local"))
    units += " keybearerd.service keybearer-store-local.service"
    host.run(f"systemctl mask --runtime --quiet {units}; systemctl kill --signal=KILL '*keybearer*.service'; systemctl stop {units}")
    try:
        yield
    finally:
        host.run(f"systemctl unmask --runtime --quiet {units}; systemctl start {units}")


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
    """Ten wrong passwords lock out that person for that service from that host; other services and hosts still ask."""
    guess = "echo wrong | pamtester -I rhost=far.example sshd ana authenticate"
    for _ in range(2):  # each pauses, so some at once
        host.run(f"for i in 1 2 3 4 5; do {guess} & done; wait", check=False)
    right = "pamtester -I rhost=far.example sshd ana authenticate"
    assert host.run(right, input=f"{PASSWORD}\n", check=False).returncode != 0
    host.run("systemctl restart keybearerd.service")
    assert host.run(right, input=f"{PASSWORD}\n", check=False).returncode != 0
    assert "ana" in host.run("keybearer audit show reason=locked remote_host=far.example service=sshd").stdout
    for other in ("-I rhost=far.example login", "-I rhost=far.example sudo", "-I rhost=near.example sshd"):
        host.run(f"pamtester {other} ana authenticate acct_mgmt", input=f"{PASSWORD}\n")
    assert host.dialogue("su ana -c 'id -un'", ("assword", PASSWORD), user="games").stdout.split()[-1] == "ana"
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
        assert ssh(host, "ana", codes[1])  # in the place of the password: sshd asks once only
        assert not ssh(host, "ana", codes[1])
        loud = "journalctl --no-pager --priority=alert --output=cat"
        host.wait_for(lambda: "ana came in with a recovery code" in host.run(loud).stdout, what="a loud journal")
        assert "ana" in host.run("keybearer audit show event=break-glass-used").stdout
    finally:
        host.run("systemctl unmask keybearer-store-local.socket keybearer-store-local.service")
        host.run("systemctl start keybearer-store-local.socket")
    host.run("systemctl restart keybearerd")  # which forgets nothing
    (finding,) = [row for row in json.loads(host.run("keybearer doctor --json", check=False).stdout) if not row["well"]]
    assert finding["check"] == "nobody came in by a recovery code" and finding["cause"].startswith("2 of the codes")
    assert "ana" in host.run(finding["cure"]).stdout
    host.run("keybearer doctor")


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

    def sessions() -> str:  # that of systemd-user ends later
        return host.run("keybearer session list | grep ' sshd '", check=False).stdout

    try:
        host.wait_for(lambda: "ana" in sessions(), what="session of ana")
        host.run("pkill -KILL -f 'sshd.*ana'", check=False)
        host.wait_for(lambda: "ana" not in sessions(), what="end of the session")
    finally:
        login.kill()
        login.wait()


def test_home_folder_is_made_at_the_first_session(host: Machine) -> None:
    """For ours, from the skeleton and for nobody else's eyes; an account of the host is left as it is."""
    host.run("rm -rf /home/ana; useradd --no-create-home ned && echo 'ned:a long word' | chpasswd")
    assert ssh(host, "ana") and ssh(host, "ned", "a long word")
    assert host.run("stat -c '%a %U %G' /home/ana; ls -A /home/ana").stdout.split()[:3] == ["700", "ana", "ana"]
    assert host.run("diff -r /etc/skel /home/ana", check=False).returncode == 0
    assert host.run("test -e /home/ned", check=False).returncode != 0


def test_sudo_for_a_group_that_a_rule_allows(host: Machine) -> None:
    """Who is taken out of the group has lost both the rule and what sudoers gives to it."""
    host.run("keybearer user add gus --password-stdin", input=f"{PASSWORD}\n")
    host.run("keybearer group add operators && keybearer group member-add operators member=gus")
    host.run("keybearer rule add operators who=@operators service=sudo")
    host.write("/etc/sudoers.d/operators", "Defaults lecture=never, passwd_tries=1\n%operators ALL=(ALL) ALL\n", 0o440)

    def sudo() -> str:
        return host.run(["sudo", "-S", "-k", "id", "-un"], user="gus", input=f"{PASSWORD}\n", check=False).stdout.strip()

    assert sudo() == "root"
    host.run("keybearer group member-remove operators member=gus")
    assert sudo() == ""
    assert not ssh(host, "gus")  # the rule is for sudo only


def test_a_weak_password_is_refused_by_the_store(host: Machine) -> None:
    """Also where no other module of the host looks at passwords; and the old one stays."""
    host.run("pam-auth-update --disable pwquality")
    try:
        said = host.dialogue("passwd; true", ("urrent", PASSWORD), ("New", "aaaaaaaa"), ("Retype", "aaaaaaaa"), user="ana").stdout
        assert "updated successfully" not in said and "assword" in said
        said = host.dialogue("passwd; true", ("urrent", "not this one"), user="ana").stdout
        assert "updated successfully" not in said
    finally:
        host.run("pam-auth-update --enable pwquality")
    assert ssh(host, "ana")


def test_passwd_of_the_hosts_own_people_is_as_before(host: Machine) -> None:
    """With the broker up and with everything of ours dead; the password of ours is not changed then."""
    words = ["a long word", "Two-quite-other-things", "And-a-third-one-here"]
    for state, old, new in zip((up, dead), words, words[1:], strict=False):
        with state(host):
            host.dialogue("passwd", ("urrent", old), ("New", new), ("Retype", new), user="lea")
            assert ssh(host, "lea", new)
    with dead(host):
        said = host.dialogue("passwd; true", ("urrent", PASSWORD), user="ana").stdout
        assert "updated successfully" not in said
    host.run("echo 'lea:a long word' | chpasswd")
    assert ssh(host, "ana")


def test_observe_decides_and_lets_pass(host: Machine) -> None:
    """bea has no rule: she comes in, log and journal say that she would not, and doctor is not content."""
    folder = "/etc/keybearer/keybearer.conf.d"
    host.write(f"{folder}/observe.conf", "[Login]\nMode=observe\n")
    host.run("systemctl reload keybearerd")
    try:
        assert ssh(host, "bea")
        assert not ssh(host, "bea", "something else")  # a password is checked all the same
        assert "bea" in host.run("keybearer audit show event=account-would-refuse").stdout
        host.wait_for(lambda: "bea would not be let into" in host.messages(), what="the journal")
        assert "Mode=observe" in host.run("keybearer doctor", check=False).stdout
    finally:
        host.run(f"rm {folder}/observe.conf; systemctl reload keybearerd")
    assert not ssh(host, "bea")


# Another source that answers for names: systemd's drop-in records (nss-systemd(8)).
ELSEWHERE = {"ana": 70000, "eve": 70001, "ian": 61000}


@pytest.fixture
def elsewhere(host: Machine) -> Iterator[None]:
    """ana with another id, eve with an id of our range, ian with one outside of it."""
    host.run("cp /etc/nsswitch.conf /root/nsswitch.conf; grep -q '^passwd:.*systemd' /etc/nsswitch.conf || sed -i '/^passwd:/s/$/ systemd/' /etc/nsswitch.conf")
    for name, uid in ELSEWHERE.items():
        host.write(f"/etc/userdb/{name}.user", f'{{"userName":"{name}","uid":{uid},"gid":{uid}}}\n')
        host.run(f"ln -sf {name}.user /etc/userdb/{uid}.user")
    yield
    host.run("cp /root/nsswitch.conf /etc/nsswitch.conf; rm -r /etc/userdb")


def test_another_source_lets_nobody_of_ours_in(host: Machine, elsewhere: None) -> None:
    """Whoever is ours by name or by id stays ours, and out, whatever else resolves them."""
    out, unknown = ("cannot retrieve", "Permission denied"), ("done", "User not known")
    cases = (
        ("the name file is lost", "mv /var/lib/keybearer/nss /var/lib/keybearer/nss.aside", {"ana": out, "eve": out, "ian": out}),
        ("our line is gone", "sed -i '/^passwd:/s/ keybearer//' /etc/nsswitch.conf", {"ana": out, "eve": out, "ian": unknown}),
        ("all is well", "true", {"ana": unknown, "eve": out, "ian": unknown}),
    )
    for what, script, expected in cases:
        for state in (up, dead):
            host.run(script)
            with state(host):
                for user, words in expected.items():
                    words = out if state is dead and user == "ana" else words
                    said = account(host, "cron", user)
                    assert any(word in said for word in words), f"{what}, {state.__name__}, {user}: {said}"
                assert "done" in account(host, "cron", "lea")
            host.run("cp /root/nsswitch.conf /etc/nsswitch.conf; mv /var/lib/keybearer/nss.aside /var/lib/keybearer/nss", check=False)


def test_what_was_shown_counts_on_every_way_through_sshd(host: Machine) -> None:
    """sshd checks passwords itself or, asked by PAM, in a child of its own: both ways the rule's factor was shown."""
    host.run("keybearer user add kim --password-stdin && keybearer rule add shown who=kim factor=password service=sshd", input=f"{PASSWORD}\n")
    host.run("rm -f /root/key && ssh-keygen -q -t ed25519 -N '' -f /root/key && cp /root/key.pub /etc/ssh/keys")
    key = f"{SSH} -i /root/key -o PreferredAuthentications=publickey kim@localhost id -un"
    try:
        for way in ("PasswordAuthentication yes\nKbdInteractiveAuthentication no", "PasswordAuthentication no\nKbdInteractiveAuthentication yes"):
            host.write("/etc/ssh/sshd_config.d/ways.conf", f"AuthorizedKeysFile /etc/ssh/keys\n{way}\n")
            host.run("systemctl restart ssh")
            assert ssh(host, "kim"), way
            assert not ssh(host, "kim", "something else"), way
            assert host.run(key, check=False).returncode != 0, way
    finally:
        host.run("rm /etc/ssh/sshd_config.d/ways.conf; systemctl restart ssh")
    assert "factor-missing" in host.run("keybearer audit show user=kim event=account-refused").stdout


def test_a_password_that_has_to_be_changed(host: Machine) -> None:
    """Jobs run, the console asks for a new one, and then it is as before."""
    new = "quite another sentence"
    host.run("keybearer user set ana change-password=yes")
    assert "account management done" in account(host, "cron", "ana")
    assert not ssh(host, "ana")  # a command without a terminal: nobody could type
    said = host.dialogue("exec login ana", ("assword", PASSWORD), ("urrent", PASSWORD), ("New", new), ("Retype", new),
                         (r"[$#] $", "echo I am $(id -un); exit"), timeout=60).stdout
    assert "I am ana" in said
    assert ssh(host, "ana", new)
    host.run("keybearer user passwd ana --password-stdin", input=f"{PASSWORD}\n")


def test_a_screen_lock_asks_for_its_own_person_only(host: Machine) -> None:
    """What runs as the person may check that person's password, and nobody else's."""
    own = host.run("pamtester sshd ana authenticate acct_mgmt", user="ana", input=f"{PASSWORD}\n", check=False)
    assert own.returncode == 0, own.stderr
    assert host.run("pamtester sshd ana authenticate", user="ana", input="wrong\n", check=False).returncode != 0
    assert host.run("pamtester sshd ana authenticate", user="bea", input=f"{PASSWORD}\n", check=False).returncode != 0
