# SPDX-License-Identifier: Apache-2.0
"""Credentials for a login: there when the shell is, private, renewed while somebody is logged in, revoked after."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from machine import Machine
from service import grants, keep, show
from test_login import BY_PASSWORD, PASSWORD

USER = "65536"
FOLDER = f"/run/keybearer/users/{USER}"
CURRENT = f"{FOLDER}/current"
CA = "/root/ca.pem"
CRL = "/var/lib/keybearer/pki/local.people.crl"
STORE = "keybearer-store-local.socket keybearer-store-local.service"
CERTIFICATE = "Param.common_name=ana.example.org\nParam.ttl={ttl}"


class Session:
    """A person at the far end of ssh, who types commands until they log out."""

    def __init__(self, host: Machine, user: str = "ana") -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.ssh = host.popen(f"{BY_PASSWORD.format(password=PASSWORD)} {user}@localhost exec sh", **pipes)
        self.folder = self.types("echo $KEYBEARER_CREDENTIALS")

    def types(self, command: str) -> str:
        """What a command says, errors included."""
        assert self.ssh.stdin and self.ssh.stdout
        self.ssh.stdin.write(f"{{ {command}; }} 2>&1; echo; echo end of it\n")
        self.ssh.stdin.flush()
        said = ""
        for line in self.ssh.stdout:
            if line == "end of it\n":
                return said.strip()
            said += line
        raise AssertionError(f"the session ended: {said}")

    def leave(self) -> None:
        """Logs out, and waits until sshd is through with it."""
        assert self.ssh.stdin
        self.ssh.stdin.close()
        self.ssh.wait(30)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self.ssh.poll() is None:
            self.leave()


def define(host: Machine, name: str, path: str, allow: str = "User=ana", more: str = "", rotation: str = "") -> None:
    """Writes a credential's file."""
    text = f"[Credential]\nPath={path}\n{more}\n[Allow]\n{allow}\n[Rotation]\n{rotation}\n"
    host.write(f"/etc/keybearer/credentials.d/{name}.conf", text)
    host.run("systemctl reload keybearerd.service")


def set_linger(host: Machine, text: str) -> None:
    host.write("/etc/keybearer/keybearer.conf.d/linger.conf", f"[Login]\nLinger={text}\n")
    host.run("systemctl reload keybearerd.service")


def sessions(host: Machine, user: str = "ana") -> list[dict[str, Any]]:
    """Who is logged in through a door that credentials are for."""
    found: list[dict[str, Any]] = json.loads(host.run("keybearer session list --json").stdout)
    return [session for session in found if session["user"] == user and session["service"] == "sshd"]


def certificate(host: Machine) -> str:
    """Keeps the certificate that ana has now in /root; returns its serial number."""
    host.run(f"cp {CURRENT}/cert.certificate /root/was.pem")
    return host.run("openssl x509 -noout -serial -in /root/was.pem").stdout.strip()


def verdict(host: Machine) -> str:
    """What openssl says about the certificate that was kept, with the list of revoked ones."""
    result = host.run(f"openssl verify -crl_check -CAfile {CA} -CRLfile {CRL} /root/was.pem", check=False)
    if result.returncode == 0:
        return "OK"
    return "revoked" if "certificate revoked" in result.stderr else result.stderr


def is_over(host: Machine) -> bool:
    """Whether ana holds nothing any more, and nothing is left of it."""
    return not grants(host, "ana") and host.run(["test", "-e", FOLDER], check=False).returncode != 0


@pytest.fixture(scope="module")
def built(own_machine: Machine) -> Machine:
    """A machine with ana and bea, a kept secret and a CA for ana."""
    for user in ("ana", "bea"):
        own_machine.run(f"keybearer user add {user} --password-stdin", input=f"{PASSWORD}\n")
    own_machine.run("install -d -m 700 -o ana -g ana ~ana ~ana/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/key")
    own_machine.run("install -m 600 -o ana -g ana /root/key.pub ~ana/.ssh/authorized_keys")
    own_machine.run("keybearer rule add doors who='ana bea' service='sshd login su su-l sudo cron'")
    own_machine.run("keybearer ca create people common-name='Test CA'")
    own_machine.run("keybearer ca role-set person ca=people domains=example.org subdomains=yes client=yes ttl=1h")
    own_machine.run(f"keybearer ca show people | sed -n '/BEGIN/,/END/s/^certificate: //;/BEGIN/,/END/p' >{CA}")
    keep(own_machine, "db", username="ana_db", password="hard to guess")
    return own_machine


@pytest.fixture
def host(built: Machine) -> Iterator[Machine]:
    """The same with two credentials, a short linger, and nobody logged in."""
    built.run("rm -rf /etc/keybearer/credentials.d/*")
    define(built, "db", "kv/db")
    define(built, "cert", "pki/issue/person", more=CERTIFICATE.format(ttl="1h"))
    set_linger(built, "1s")
    yield built
    built.wait_for(lambda: is_over(built), 30, "the end of everything")


def test_it_is_there_when_the_shell_is_and_nobody_elses(host: Machine) -> None:
    """Both credentials, of one grant each, in files for ana alone, who cannot write to them; bea cannot even see their names."""
    with Session(host) as ana, Session(host, "bea") as bea:
        assert ana.folder == CURRENT and bea.folder == ""
        assert ana.types(f"cd {CURRENT}; cat db.username db.password") == "ana_dbhard to guess"
        assert json.loads(ana.types(f"cat {CURRENT}/db")) == {"username": "ana_db", "password": "hard to guess"}
        assert "BEGIN CERTIFICATE" in ana.types(f"cat {CURRENT}/cert.certificate")
        files = ana.types(f"stat -c '%a %U %G' {CURRENT}/*").splitlines()
        assert len(files) >= 6 and set(files) == {"440 root ana"}
        assert "not permitted" in ana.types(f"chmod 600 {CURRENT}/db")
        assert "denied" in ana.types(f"touch {CURRENT}/mine") and "denied" in ana.types(f"rm -f {CURRENT}/db")
        for path in (f"{CURRENT}/", f"{CURRENT}/db.password", "/run/keybearer/users/"):
            assert "denied" in bea.types(f"ls {path}") and "denied" in bea.types(f"cat {path}")
        assert "denied" in host.run(f"su bea -c 'cat {CURRENT}/db'", check=False).stderr
        assert {grant["credential"] for grant in grants(host, "ana")} == {"db", "cert"}
        assert {grant["instance"] for grant in grants(host, "ana")} == {USER}
        assert len(sessions(host)) == 1


def test_the_last_one_out_has_it_revoked(host: Machine) -> None:
    """Two sessions share one folder; after the second and the linger all is gone, in the store too."""
    with Session(host) as first, Session(host) as second:
        serial = first.types(f"openssl x509 -noout -serial -in {CURRENT}/cert.certificate")
        assert certificate(host) == serial
        first.leave()
        host.wait_for(lambda: len(sessions(host)) == 1, what="the end of one session")
        time.sleep(1.5)
        assert second.types(f"openssl x509 -noout -serial -in {CURRENT}/cert.certificate") == serial
        assert verdict(host) == "OK"
    host.wait_for(lambda: is_over(host), 20, "the end of it")
    host.wait_for(lambda: verdict(host) == "revoked", 20, f"{serial} in the list of revoked ones")
    audit = host.run("keybearer audit show | tail -n 40").stdout
    assert "db of ana was revoked" in audit and "cert of ana was revoked" in audit


def test_a_login_within_the_linger_takes_up_what_is_there(host: Machine) -> None:
    """Who comes back soon has the same certificate, and nothing new was made."""
    set_linger(host, "1h")
    with Session(host):
        serial = certificate(host)
        issued = [grant["id"] for grant in grants(host, "ana")]
    host.wait_for(lambda: not sessions(host), what="the end of the session")
    with Session(host) as again:
        assert again.folder == CURRENT
        assert certificate(host) == serial
        assert [grant["id"] for grant in grants(host, "ana")] == issued
        set_linger(host, "1s")


def kill_leader(host: Machine, ana: Session) -> None:
    """sshd's process for ana is killed, and cannot say that it ends."""
    host.run(["kill", "-KILL", str(sessions(host)[0]["leader"])])


def end_session(host: Machine, ana: Session) -> None:
    """Root ends the session, and means now."""
    set_linger(host, "1h")
    host.run(["keybearer", "session", "end", sessions(host)[0]["handle"]])
    host.wait_for(lambda: is_over(host), what="the end of it without linger")


def disable(host: Machine, ana: Session) -> None:
    """ana may do nothing any more, whoever is logged in."""
    host.run("keybearer user disable ana")
    host.wait_for(lambda: is_over(host), what="the end of it")
    host.run("keybearer user enable ana")


def remove_files(host: Machine, ana: Session) -> None:
    """Nobody may have them any more, also who has them."""
    host.run("rm /etc/keybearer/credentials.d/* && systemctl reload keybearerd.service")


def leave_without_broker(host: Machine, ana: Session) -> None:
    """The broker dies, and the session ends before there is another one."""
    leader = str(sessions(host)[0]["leader"])
    host.run("systemctl mask --runtime keybearerd.service && systemctl kill --signal=KILL keybearerd.service")
    host.wait_for(lambda: show(host, "keybearerd.service", "MainPID") == {"MainPID": "0"})
    host.run(["kill", "-KILL", leader])
    host.run("systemctl unmask --runtime keybearerd.service && systemctl reset-failed keybearerd.service")
    host.run("systemctl start keybearerd.service")


def leave_without_store(host: Machine, ana: Session) -> None:
    """The store hears of it when it comes back."""
    host.run(f"systemctl mask --runtime --now {STORE}")
    ana.leave()
    host.wait_for(lambda: host.run(["test", "-e", FOLDER], check=False).returncode != 0, 20, "the end of the folder")
    assert verdict(host) == "OK"
    host.run(f"systemctl unmask --runtime {STORE} && systemctl start keybearer-store-local.socket")


ENDS = (kill_leader, end_session, disable, remove_files, leave_without_broker, leave_without_store)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
def test_however_it_ends_it_is_revoked(host: Machine, end: Callable[[Machine, Session], None]) -> None:
    """The folder goes, and the certificate is in the list of revoked ones soon after."""
    with Session(host) as ana:
        serial = certificate(host)
        assert verdict(host) == "OK"
        end(host, ana)
        host.wait_for(lambda: is_over(host), 30, "the end of it")
        host.wait_for(lambda: verdict(host) == "revoked", 30, f"{serial} in the list of revoked ones")


def kill_broker(host: Machine) -> None:
    """Returns when there is another one."""
    before = show(host, "keybearerd.service", "MainPID")
    host.run("systemctl kill --signal=KILL keybearerd.service")
    host.wait_for(lambda: show(host, "keybearerd.service", "MainPID") not in (before, {"MainPID": "0"}))


def test_a_broker_that_is_killed_meanwhile_is_not_noticed(host: Machine) -> None:
    """The session is still counted, the folder is the same, and the end is seen by the next process."""
    with Session(host) as ana:
        serial = certificate(host)
        before = sessions(host)
        for _ in range(2):
            kill_broker(host)
            assert sessions(host) == before
            assert ana.types(f"cat {CURRENT}/db.password") == "hard to guess"
            assert certificate(host) == serial
        with Session(host) as second:
            assert second.folder == CURRENT and certificate(host) == serial
            assert len(grants(host, "ana")) == 2
        assert verdict(host) == "OK"
    host.wait_for(lambda: verdict(host) == "revoked", 20, f"{serial} in the list of revoked ones")


def test_it_is_renewed_while_somebody_is_there(host: Machine) -> None:
    """A certificate is replaced in time; it and its key always belong together; the old one is revoked."""
    define(host, "cert", "pki/issue/person", more=CERTIFICATE.format(ttl="30s"), rotation="RenewAt=0.2\nOverlap=2s")
    look = (f"cd {CURRENT}; openssl x509 -noout -pubkey -in cert.certificate; openssl pkey -pubout -in cert.private_key;"
            " openssl x509 -noout -serial -in cert.certificate")
    with Session(host) as ana:
        serial = certificate(host)
        seen: set[str] = set()
        end = time.monotonic() + 40
        while len(seen) < 3 and time.monotonic() < end:
            said = ana.types(look).splitlines()
            half = len(said) // 2
            assert said[:half] == said[half:-1], "a certificate and a key that do not belong together"
            seen.add(said[-1])
        assert len(seen) == 3 and serial in seen
        host.wait_for(lambda: verdict(host) == "revoked", 10, f"{serial} in the list of revoked ones")
        assert ana.types(f"cat {CURRENT}/db.password") == "hard to guess"
        words = host.messages("", "SYSLOG_IDENTIFIER=keybearer")
        assert "A new cert was offered to ana" in words and "ana uses its new cert" in words


def test_services_decide(host: Machine) -> None:
    """sudo, su, cron and the person's own systemd are not given it, and hold nothing; one that is named is."""
    say = "echo [$KEYBEARER_CREDENTIALS]"
    with Session(host) as ana:
        assert host.run(f"su - ana -c '{say}'").stdout.strip() == "[]"
        assert host.run(f"su ana -c '{say}'").stdout.strip() == "[]"
        assert host.run(f"sudo -u ana sh -c '{say}'").stdout.strip() == "[]"
        assert host.systemd_run(say, PAMName="cron", User="ana").stdout.strip() == "[]"
        assert ana.types("systemctl --user show-environment | grep -c KEYBEARER") == "0"
        other = host.popen(["systemd-run", "--quiet", "--wait", "--property=PAMName=cron", "--property=User=ana", "sleep", "60"])
        host.wait_for(lambda: '"cron"' in host.run("keybearer session list --json").stdout, what="a job of cron")
    host.wait_for(lambda: is_over(host), 20, "the end of it, with a job of cron still there")
    other.kill()
    other.wait()
    define(host, "db", "kv/db", "User=ana\nServices=su-l")
    assert host.run(f"su - ana -c '{say}; cat $KEYBEARER_CREDENTIALS/db.username'").stdout == f"[{CURRENT}]\nana_db"
    with Session(host):
        assert [grant["credential"] for grant in grants(host, "ana") if grant["state"] == "issued"][-1] == "cert"


def test_the_console_is_a_login_too(host: Machine) -> None:
    """A login on a terminal finds the same, and its end is the end."""
    said = host.dialogue("exec login ana", ("assword", PASSWORD), (r"[$#] $", "cat $KEYBEARER_CREDENTIALS/db.username; exit"))
    assert "ana_db" in said.stdout
    host.wait_for(lambda: is_over(host), 20, "the end of it")


def test_a_new_version_of_a_kept_secret_comes_by_itself(host: Machine) -> None:
    """Within CheckSec= it is in the folder of whoever is logged in, user and password of one version."""
    define(host, "db", "kv/db", rotation="CheckSec=1s\nOverlap=1s")
    with Session(host) as ana:
        keep(host, "db", username="ana_next", password="harder to guess")
        try:
            look = f"cd {CURRENT}; cat db.username; echo; cat db.password"
            host.wait_for(lambda: "ana_next" in ana.types(look), 20, "the new version")
            assert ana.types(look) == "ana_next\nharder to guess"
        finally:
            keep(host, "db", username="ana_db", password="hard to guess")


def test_groups_decide(host: Machine) -> None:
    """Who is in a group that is named has it, from the next login on; who is taken out has it no longer."""
    define(host, "db", "kv/db", "Group=dba")
    host.run("keybearer group add dba")
    with Session(host) as ana:
        assert ana.types(f"ls {CURRENT}").find("db") < 0
        host.run("keybearer group member-add dba member=ana")
        with Session(host):
            assert ana.types(f"cat {CURRENT}/db.username") == "ana_db"
            host.run("keybearer group member-remove dba member=ana")
            host.wait_for(lambda: "db" not in ana.types(f"ls {CURRENT}").split(), what="the end of db")
            assert "cert.certificate" in ana.types(f"ls {CURRENT}")


def test_a_store_that_is_away_does_not_stand_in_the_door(host: Machine) -> None:
    """By key, since no password can be checked: in within seconds; what may wait comes later, the rest is refused."""
    define(host, "db", "kv/db", more="OnUnavailable=fail")
    by_key = "ssh -o StrictHostKeyChecking=no -i /root/key ana@localhost"
    look = "cat $KEYBEARER_CREDENTIALS/cert.certificate 2>/dev/null"
    host.run(f"systemctl mask --runtime --now {STORE}")
    try:
        command = f"timeout 60 {by_key} 'echo $KEYBEARER_CREDENTIALS; until {look}; do sleep 0.2; done'"
        began = time.monotonic()
        with host.popen(command, stdout=subprocess.PIPE, text=True) as late:
            assert late.stdout
            assert late.stdout.readline() == f"{CURRENT}\n"
            took = time.monotonic() - began
            host.run(f"systemctl unmask --runtime {STORE} && systemctl start keybearer-store-local.socket")
            assert "BEGIN CERTIFICATE" in late.communicate(timeout=90)[0]
    finally:
        host.run(f"systemctl unmask --runtime {STORE} && systemctl start keybearer-store-local.socket")
    assert took < 15, "the login waits three seconds for the store"
    assert "ana was not given db: unreachable" in host.messages("", "SYSLOG_IDENTIFIER=keybearer")


@pytest.mark.parametrize("cut", [False, True], ids=["reboot", "power-cut"])
def test_nothing_lives_after_the_host_went_down(host: Machine, cut: bool) -> None:
    """After a reboot, and after a power cut, the certificate is revoked, and nobody is logged in."""
    set_linger(host, "1h")
    ana = Session(host)
    serial = certificate(host)
    if cut:
        host.run("sync")
        host.kill()
        host.start()
    else:
        host.reboot()
    ana.ssh.wait(30)
    host.wait_for(lambda: is_over(host), 30, "the end of it")
    host.wait_for(lambda: verdict(host) == "revoked", 30, f"{serial} in the list of revoked ones")
    assert not sessions(host)
