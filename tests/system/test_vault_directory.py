# SPDX-License-Identifier: Apache-2.0
"""The signed directory: made by an administrator, kept by a real OpenBao, in force on a host; and nothing else is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from machine import Machine, Run
from network import Network
from openbao import PORT, OpenBao
from proxy import Proxy

pytestmark = pytest.mark.servers

AT = "people-kv"
HEAD = f"{AT}/data/keybearer/directory/head"
SERVER = """\
[Store]
Type=vault
[Server]
Address=https://{address}:{port}
CaFile=/etc/keybearer/bao-ca.pem
[Directory]
Mount=people-kv
"""
HOST = "[Login]\nMethod=approle\nMount=people-approle\nRoleIdFile={0}.role\nSecretIdFile={0}.secret\n"
ADMIN = "[Login]\nMethod=token\nTokenFile=/root/admin.token\n"
PEOPLE = """\
[Directory]
Cluster=test

[Person ana]
FullName=Ana Example
Shell=/bin/sh
Password=no
[Person ben]
[Group dba]
Members=ana ben
[Rule doors]
Who=@dba
Service=sshd cron
"""
SSH = "ssh -o StrictHostKeyChecking=no -o ConnectTimeout=10 -o BatchMode=yes -i /root/id"
PUBLISH = "keybearer directory publish --settings=/root/admin.conf --key=/root/sign"


@pytest.fixture(scope="module")
def bao(openbao: OpenBao) -> OpenBao:
    """The server, with a place for a directory that hosts may read."""
    engines.kv(openbao, AT)
    openbao.policy("people-host", {f"{AT}/data/keybearer/directory/*": ["read"]})
    directory = {f"{AT}/data/keybearer/directory/*": ["create", "read", "update"]}
    openbao.policy("people-admin", directory)
    return openbao


@pytest.fixture(scope="module")
def proxy(network: Network, bao: OpenBao) -> Iterator[Proxy]:
    """What the host goes through: it counts."""
    with Proxy(network, bao.servers.authority, bao.addresses[0], PORT) as it:
        yield it


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], bao: OpenBao, proxy: Proxy) -> Iterator[Machine]:
    """A host whose directory is that of the cluster; the administrator works on it, too, with a token of their own."""
    role, secret = engines.approle(bao, "people-approle", "host", ["people-host"])
    token = bao.write("auth/token/create", policies=["people-admin"])["client_token"]
    with run.machine(*installed, plug=network.plug("10.77.0.7")) as it:
        it.copy_in(bao.servers.authority.file, "/etc/keybearer/bao-ca.pem")
        text = SERVER.format(address=proxy.address, port=proxy.port) + HOST.format("/etc/keybearer/people")
        for name, content in {"stores/people.conf": text, "people.role": role, "people.secret": secret}.items():
            it.write(f"/etc/keybearer/{name}", content, 0o640, "root:keybearer-vault")
        it.write("/root/admin.conf", SERVER.format(address=bao.addresses[0], port=PORT) + ADMIN, 0o600)
        it.write("/root/admin.token", token, 0o600)
        it.write("/etc/keybearer/keybearer.conf", "[Directory]\nStore=people\nRefreshSec=2s\n")
        it.run("keybearer directory key /root/sign && install -m 0644 /root/sign.pub /etc/keybearer/directory.pub")
        it.run("systemctl enable -q --now keybearer-store-vault@people.socket && systemctl restart keybearerd")
        yield it


def publish(host: Machine, text: str) -> str:
    """As an administrator does; what it said."""
    host.write("/root/people", text)
    return host.run(f"{PUBLISH} /root/people").stdout


def uid(host: Machine, name: str) -> int:
    """Of somebody, as every program sees it; 0: there is nobody of that name."""
    said = host.run(["getent", "passwd", name], check=False).stdout
    return int(said.split(":")[2]) if said else 0


def refused(host: Machine, why: str) -> None:
    """Waits until the host says that it does not take what is there; what it had stays, and doctor and log say so."""
    host.wait_for(lambda: why in host.run("keybearer audit show event=directory-refused").stdout, 30, why)
    assert uid(host, "ana") and not uid(host, "eva")
    doctor = host.run("keybearer doctor", check=False)
    assert doctor.returncode != 0 and why in " ".join(doctor.stdout.split())  # it breaks lines


def test_who_is_published_is_there_and_comes_in_by_key(host: Machine) -> None:
    """People, groups and rules, without a password or a token of anybody."""
    assert host.run("keybearer directory check -", input=PEOPLE).stdout.startswith("well formed: people 2, groups 1")
    assert publish(host, PEOPLE).endswith(", 4 changes\n")
    host.wait_for(lambda: uid(host, "ana"), 30, "ana to be there")
    assert host.run("id -nG ana").stdout.split() == ["ana", "dba"]
    host.run("ssh-keygen -q -t ed25519 -N '' -f /root/id && install -d -o ana -g ana -m 0700 ~ana ~ana/.ssh")
    host.run("install -o ana -g ana -m 0600 /root/id.pub ~ana/.ssh/authorized_keys")
    assert host.run(f"{SSH} ana@localhost id -un").stdout == "ana\n"
    shown = host.run("keybearer directory show --settings=/root/admin.conf").stdout
    assert "[Person ana]\nId=65536\nFullName=Ana Example\n" in shown and "[Rule doors]\nWho=@dba\n" in shown


def test_a_change_is_live_and_an_id_is_never_used_again(host: Machine) -> None:
    """Who is disabled comes in no more; who is gone leaves an id behind that nobody gets."""
    ben = uid(host, "ben")
    text = PEOPLE.replace("[Person ben]", "[Person bob]").replace("ana ben", "ana bob").replace("Password=no", "Disabled=yes")
    host.write("/root/people", text)
    changes = host.run("keybearer directory diff --settings=/root/admin.conf /root/people --json").stdout
    assert {(c["change"], c["kind"], c["name"]) for c in json.loads(changes)} == {
        ("changed", "person", "ana"), ("removed", "person", "ben"), ("added", "person", "bob"), ("changed", "group", "dba"),
        ("added", "tombstone", str(ben))}
    publish(host, text)
    host.wait_for(lambda: uid(host, "bob"), 30, "bob to be there")
    assert not uid(host, "ben") and uid(host, "bob") != ben
    assert host.run(f"{SSH} ana@localhost true", check=False).returncode != 0
    publish(host, PEOPLE)
    host.wait_for(lambda: uid(host, "ben"), 30, "ben to be back")
    assert uid(host, "ben") not in (ben, 0) and host.run(f"{SSH} ana@localhost true", check=False).returncode == 0


def test_while_nothing_changes_a_refresh_is_one_request(host: Machine, proxy: Proxy) -> None:
    """For the head, and nothing else."""
    before, began = len(proxy.requests), time.monotonic()
    time.sleep(20)
    asked = [request.path for request in proxy.requests[before:] if "/data/" in request.path]
    assert set(asked) == {f"/v1/{HEAD}"}
    assert 2 <= len(asked) <= (time.monotonic() - began) / 2 + 2


def test_what_is_wrong_is_not_taken_and_the_last_good_one_stays(host: Machine, bao: OpenBao) -> None:
    """A replay, another's signature, a shard that is torn, and one that is gone; also over a restart."""
    old = bao.read(HEAD)["data"]
    publish(host, PEOPLE.replace("[Rule doors]", "[Person cat]\n[Rule doors]"))
    host.wait_for(lambda: uid(host, "cat"), 30, "cat to be there")
    good = bao.read(HEAD)["data"]
    bao.write(HEAD, data=old)
    refused(host, "older than")
    host.run("systemctl restart keybearerd")
    assert uid(host, "cat")
    bao.write(HEAD, data=good)
    host.run("cp /root/sign /root/sign.good && cp /root/sign.pub /root/sign.pub.good && rm /root/sign /root/sign.pub")
    host.run("keybearer directory key /root/sign")
    publish(host, PEOPLE.replace("[Rule doors]", "[Person eva]\n[Rule doors]"))
    refused(host, "signature is wrong")
    host.run("mv /root/sign.good /root/sign && mv /root/sign.pub.good /root/sign.pub")
    # the same, signed well: torn and gone before the host reads it
    host.run("systemctl stop keybearerd")
    shards = set(bao.names(f"{AT}/metadata/keybearer/directory/shards"))
    publish(host, PEOPLE.replace("[Rule doors]", "[Person eva]\n[Person pam]\n[Rule doors]"))
    host.run("keybearer directory show --settings=/root/admin.conf >/root/full")
    (new,) = set(bao.names(f"{AT}/metadata/keybearer/directory/shards")) - shards
    shard = f"{AT}/data/keybearer/directory/shards/{new}"
    bao.write(shard, data={"shard": bao.read(shard)["data"]["shard"][:40]})
    host.run("systemctl start keybearerd")
    refused(host, "is not the shard that its name says")
    bao.call("DELETE", shard)
    refused(host, "is missing at")
    again = host.run(f"{PUBLISH} /root/full", check=False)
    assert again.returncode == 6 and "is missing at" in again.stderr
    host.run(f"{PUBLISH} --anew /root/full")
    host.wait_for(lambda: uid(host, "eva"), 30, "eva to be there")
    assert host.run(["grep", "-c", "Tombstone", "/root/full"]).stdout == host.run(
        "keybearer directory show --settings=/root/admin.conf | grep -c Tombstone").stdout


def test_ten_thousand_people_and_groups_are_there_in_time(host: Machine, bao: OpenBao, proxy: Proxy) -> None:
    """On a host that has nothing of them yet; and one more person costs a shard or two."""
    people = "".join(f"[Person p{n}]\n" for n in range(10000))
    groups = "".join(f"[Group g{n}]\nMembers=p{n} p{(n * 7) % 10000}\n" for n in range(10000))
    crowd = PEOPLE + people + groups
    publish(host, crowd)
    host.wait_for(lambda: uid(host, "p9999"), 60, "them to be there")
    host.run("systemctl stop keybearerd && rm -rf /var/lib/keybearer/directory/* /var/lib/keybearer/nss/*")
    host.run("systemctl stop keybearer-store-vault@people.service")
    before, began = len(proxy.requests), time.monotonic()
    host.run("systemctl start keybearerd")
    host.wait_for(lambda: uid(host, "p9999") and "p9999" in host.run("getent group g9999").stdout, 60, "them to be there again")
    assert time.monotonic() - began < 30
    cost = len([1 for request in proxy.requests[before:] if "/shards/" in request.path])
    before = len(proxy.requests)
    publish(host, crowd + "[Person zoe]\n")
    host.wait_for(lambda: uid(host, "zoe"), 60, "one more")
    assert len([1 for request in proxy.requests[before:] if "/shards/" in request.path]) <= 3 < cost
