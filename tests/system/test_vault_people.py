# SPDX-License-Identifier: Apache-2.0
"""People come in with passwords that a real OpenBao checks: by userpass, by LDAP, and with a code as second factor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from machine import Machine, Run
from network import Network
from openbao import PORT, OpenBao
from slapd import Slapd

pytestmark = pytest.mark.servers

STORE = """\
[Store]
Type=vault
[Server]
Address=https://{address}:{port}
CaFile=/etc/keybearer/bao-ca.pem
[Login]
Method=approle
Mount=vp-hosts
RoleIdFile=/etc/keybearer/bao.role
SecretIdFile=/etc/keybearer/bao.secret
[People]
Method={method}
Mount={mount}
"""
STORES = {"words": ("userpass", "vp-words"), "staff": ("ldap", "vp-ldap"), "away": ("ldap", "vp-away"), "codes": ("userpass", "vp-codes")}
WORDS = "several long words"
LIMIT = 5  # wrong passwords in a row, and OpenBao locks
SSH = "ssh -o StrictHostKeyChecking=no -o ConnectTimeout=10 -o NumberOfPasswordPrompts=1"
OWN_PASSWORD = {"auth/vp-words/users/{{identity.entity.aliases.%s.name}}/password": ["update"]}


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], openbao: OpenBao, slapd: Slapd) -> Iterator[Machine]:
    """A host whose people are in its local store, and their passwords in the cluster."""
    role, secret = engines.approle(openbao, "vp-hosts", "host", ["default"])
    people = {name: WORDS for name in ("bea", "cid", "dan")}
    accessor = engines.userpass(openbao, "vp-words", people, ["vp-own-password"])
    openbao.policy("vp-own-password", {path % accessor: may for path, may in OWN_PASSWORD.items()})
    slapd.people({"uma": WORDS}, "vp-staff")
    engines.ldap(openbao, "vp-ldap", slapd, {"vp-staff": ["default"]})
    engines.method(openbao, "ldap", "vp-away")
    openbao.write("auth/vp-away/config", url="ldap://127.0.0.1:1", userdn="ou=people,dc=test", userattr="uid")
    with run.machine(*installed, plug=network.plug("10.77.0.6")) as it:
        it.copy_in(openbao.servers.authority.file, "/etc/keybearer/bao-ca.pem")
        files = {"bao.role": role, "bao.secret": secret}
        for name, (method, mount) in STORES.items():
            files[f"stores/{name}.conf"] = STORE.format(address=openbao.addresses[0], port=PORT, method=method, mount=mount)
        for name, text in files.items():
            it.write(f"/etc/keybearer/{name}", text, 0o640, "root:keybearer-vault")
        for name in STORES:
            it.run(f"systemctl enable -q --now keybearer-store-vault@{name}.socket")
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


def test_a_password_of_userpass_lets_in_and_leaves_no_token(host: Machine, openbao: OpenBao) -> None:
    """And a wrong one does not; nobody can read either of them anywhere."""
    assert ssh(host, "bea")
    assert not ssh(host, "bea", "words that are wrong")
    host.wait_for(lambda: tokens(openbao, "vp-words") == set(), 20, "the token to go")
    assert ssh(host, "cid")
    assert WORDS not in host.messages() and "words that are wrong" not in host.messages()


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
    host.wait_for(lambda: tokens(openbao, "vp-ldap") == set(), 20, "the token to go")
    assert not ssh(host, "vic")


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
    host.wait_for(lambda: tokens(openbao, "vp-codes") == set(), 20, "the token to go")
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
    host.wait_for(lambda: tokens(openbao, "vp-words") == set(), 20, "the tokens to go")
