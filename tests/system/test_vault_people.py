# SPDX-License-Identifier: Apache-2.0
"""People come in with passwords that a real OpenBao checks: by userpass, by LDAP, and with a code as second factor."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from enrolled import enroll
from machine import Machine, Run
from network import Network
from openbao import OpenBao
from slapd import Slapd

pytestmark = pytest.mark.servers

PEOPLE = "[People]\nMethod={method}\nMount={mount}\n"
STORES = {"words": ("userpass", "vp-words"), "staff": ("ldap", "vp-ldap"), "away": ("ldap", "vp-away"), "codes": ("userpass", "vp-codes")}
WORDS = "several long words"
LIMIT = 5  # wrong passwords in a row, and OpenBao locks
SSH = "ssh -o StrictHostKeyChecking=no -o ConnectTimeout=10 -o NumberOfPasswordPrompts=1"
OWN = {
    "auth/vp-words/users/{{identity.entity.aliases.%s.name}}/password": ["update"],
    "vp-kv/data/{{identity.entity.aliases.%s.name}}": ["read"],
}


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], openbao: OpenBao, slapd: Slapd) -> Iterator[Machine]:
    """A host whose people are in its local store, and their passwords in the cluster."""
    openbao.policy("vp-host", {"auth/token/revoke-accessor": ["update"]})
    role, secret = engines.approle(openbao, "vp-hosts", "host", ["vp-host", "default"])
    engines.kv(openbao, "vp-kv")
    openbao.write("vp-kv/data/bea", data={"word": "hers alone"})
    people = {name: WORDS for name in ("bea", "cid", "dan")}
    accessor = engines.userpass(openbao, "vp-words", people, ["vp-own-password"])
    openbao.policy("vp-own-password", {path % accessor: may for path, may in OWN.items()})
    slapd.people({"uma": WORDS}, "vp-staff")
    engines.ldap(openbao, "vp-ldap", slapd, {"vp-staff": ["default"]})
    engines.method(openbao, "ldap", "vp-away")
    openbao.write("auth/vp-away/config", url="ldap://127.0.0.1:1", userdn="ou=people,dc=test", userattr="uid")
    with run.machine(*installed, plug=network.plug("10.77.0.6")) as it:
        for name, (method, mount) in STORES.items():
            enroll(it, openbao, "vp-hosts", role, secret, name, PEOPLE.format(method=method, mount=mount))
        it.write("/etc/keybearer/keybearer.conf.d/people.conf", "[Login]\nLockoutAttempts=0\n")
        it.run("systemctl reload keybearerd")
        for name, store in {"bea": "words", "cid": "words/userpass", "dan": "words", "uma": "staff", "vic": "away", "meg": "codes"}.items():
            it.run(f"keybearer user add {name} auth={store} --no-password")
        it.run("keybearer rule add doors who='bea cid dan uma vic' service='sshd su login' factor=password")
        it.run("keybearer rule add codes who=meg service=sshd factor='password otp'")
        it.write("/etc/ssh/sshd_config.d/people.conf", "KbdInteractiveAuthentication yes\nPerSourcePenalties no\n")
        it.run("systemctl restart ssh")
        yield it


def ssh(host: Machine, user: str, words: str = WORDS) -> bool:
    """Whether somebody gets in by password."""
    way = "-o PreferredAuthentications=password"
    result = host.run(["sshpass", "-p", words, *f"{SSH} {way} {user}@localhost id -un".split()], check=False)
    return result.returncode == 0 and result.stdout.strip() == user


def tokens(openbao: OpenBao, mount: str) -> set[str]:
    """Accessors of the live tokens that came from there."""
    return {accessor for accessor, is_ in openbao.tokens().items() if is_["path"].startswith(f"auth/{mount}/")}


def stay(host: Machine, user: str) -> subprocess.Popen[str]:
    """Somebody who logs in and stays."""
    words = ["sshpass", "-p", WORDS, *f"{SSH} -o PreferredAuthentications=password {user}@localhost".split(), "exec sleep 1000"]
    it = host.popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    host.wait_for(lambda: user in host.run("keybearer session list").stdout, 30, "a session")
    return it


def leave(host: Machine, it: subprocess.Popen[str], user: str) -> None:
    """Ends all that they have running here."""
    host.run(["pkill", "-KILL", "-u", user], check=False)
    it.wait(30)
    host.wait_for(lambda: user not in host.run("keybearer session list").stdout, 30, "the end of the session")


def test_a_password_of_userpass_lets_in(host: Machine) -> None:
    """And a wrong one does not; nobody can read either of them anywhere."""
    assert ssh(host, "bea")
    assert not ssh(host, "bea", "words that are wrong")
    assert ssh(host, "cid")
    assert WORDS not in host.messages() and "words that are wrong" not in host.messages()


def test_a_token_lives_as_long_as_somebody_is_there(host: Machine, openbao: OpenBao) -> None:
    """One, whoever comes beside; it outlives the store and the broker, and is revoked after the last logout."""
    host.wait_for(lambda: tokens(openbao, "vp-words") == set(), 120, "the tokens of before to go")
    inside = stay(host, "bea")
    assert len(tokens(openbao, "vp-words")) == 1
    held = tokens(openbao, "vp-words")
    assert ssh(host, "bea")
    host.wait_for(lambda: tokens(openbao, "vp-words") == held, 20, "the token of the second login to go")
    host.run("systemctl kill -s KILL keybearerd keybearer-store-vault@words.service")
    host.wait_for(lambda: host.run("keybearer session list", check=False).returncode == 0, 60, "the broker")
    time.sleep(10)  # greetings
    assert tokens(openbao, "vp-words") == held
    leave(host, inside, "bea")
    host.wait_for(lambda: tokens(openbao, "vp-words") == set(), 80, "the token to go")


def test_a_secret_is_fetched_as_the_person(host: Machine, openbao: OpenBao) -> None:
    """Whose it is finds it, and who else may by the file does not: the server decides."""
    text = "[Credential]\nStore=words\nPath=vp-kv/bea\nAs=person\nFormat=json\n[Allow]\nUser=bea cid\n"
    host.write("/etc/keybearer/credentials.d/own.conf", text)
    host.run("systemctl reload keybearerd.service")

    def finds(user: str) -> str:
        login = f"{SSH} -o PreferredAuthentications=password {user}@localhost"
        show = 'cat "$KEYBEARER_CREDENTIALS"/* 2>/dev/null; true'
        return host.run(["sshpass", "-p", WORDS, *login.split(), show], check=False).stdout

    assert "hers alone" in finds("bea") and "hers alone" not in finds("cid")
    host.wait_for(lambda: "permission denied" in host.messages("keybearerd.service"), 20, "the reason")
    tried = host.run("keybearer credential fetch own", check=False)
    assert tried.returncode != 0 and "hers alone" not in tried.stdout


def test_a_wrong_password_counts_once_and_a_lock_is_told(host: Machine) -> None:
    """One less than the limit, and the right one is good; at the limit it is not, and the journal says why."""
    for _ in range(LIMIT - 1):
        assert not ssh(host, "dan", "words that are wrong")
    assert ssh(host, "dan")
    for _ in range(LIMIT):
        assert not ssh(host, "dan", "words that are wrong")
    assert not ssh(host, "dan")
    host.wait_for(lambda: "locked after too many wrong ones" in host.messages(), 20, "the reason")


def test_a_password_of_a_directory_service_lets_in(host: Machine, openbao: OpenBao) -> None:
    """A wrong and an empty one do not; nor does anything while the directory service is away."""
    assert ssh(host, "uma")
    assert not ssh(host, "uma", "words that are wrong") and not ssh(host, "uma", "")
    assert not ssh(host, "vic")
    host.wait_for(lambda: 'unreachable: user="vic"' in host.messages(), 20, "the reason")


def test_a_code_is_asked_for_after_the_password(host: Machine, openbao: OpenBao) -> None:
    """Two prompts; the rule's second factor is shown. A wrong code, or the same one again, does not lead in."""
    accessor = engines.userpass(openbao, "vp-codes", {"meg": WORDS}, ["default"])
    _, generator = engines.second_factor(openbao, accessor, "meg")
    login = f"{SSH} -o PreferredAuthentications=keyboard-interactive meg@localhost id -un"

    def says(code: str) -> str:
        return host.dialogue(login, ("Password: ", WORDS), ("One-time code: ", code)).stdout.split()[-1]

    good = engines.passcode(generator, time.time())
    assert says("000000") != "meg"
    assert says(good) == "meg"
    assert says(good) != "meg"
    assert not ssh(host, "meg")  # whom nobody asks for a code
    assert good not in host.messages()


def test_people_change_their_password_at_the_server(host: Machine, openbao: OpenBao) -> None:
    """With their own token, as their policy lets them; who has a directory service's does not here."""
    other = "quite other words"
    wrong = host.dialogue("passwd", ("Current password: ", "words that are wrong"), user="cid")
    assert wrong.returncode != 0
    changed = host.dialogue("passwd", ("Current password: ", WORDS), ("New password: ", other), ("Retype new password: ", other), user="cid")
    assert changed.returncode == 0, changed
    assert ssh(host, "cid", other) and not ssh(host, "cid")
    assert host.dialogue("passwd", ("Current password: ", WORDS), user="uma").returncode != 0
    host.wait_for(lambda: "changed there" in host.messages(), 20, "the reason")
