# SPDX-License-Identifier: Apache-2.0
"""`keybearer setup --store=` leads a bare host from an enrolment token to a service that has its secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from authority import Authority
from machine import Machine, Result, Run
from network import Network
from openbao import Namespace, OpenBao
from package import INSTALL, TOP, copy_packages
from service import add, define, restart, seen, service

pytestmark = pytest.mark.servers

POLICIES = Path(__file__).resolve().parents[2] / "conf/policies"
NAME = "bare-1"
CA = "/root/bao-ca.pem"
OTHER_CA = "/root/other-ca.pem"


@pytest.fixture(scope="module")
def bao(openbao: OpenBao) -> OpenBao:
    """A namespace with our policies, a secret, and a role for the host, as the page of the store says."""
    it = Namespace(openbao, "enrolment")
    engines.kv(it, "kv")
    it.write("kv/data/orders", data={"word": "open"})
    it.write("sys/policies/acl/keybearer-host", policy=(POLICIES / "host.hcl").read_text())
    it.policy("orders", {"kv/data/orders": ["read"]})
    accessor = engines.method(it, "approle", "approle")
    it.write(f"auth/approle/role/{NAME}", role_id=NAME, token_policies=["keybearer-host", "orders"])
    entity = it.write("identity/entity", name=NAME)["id"]
    it.write("identity/entity-alias", name=NAME, canonical_id=entity, mount_accessor=accessor)
    return it


def enrolment(bao: OpenBao) -> str:
    """A token as an administrator makes it."""
    body = {"metadata": json.dumps({"host": NAME})}
    answer = bao.call("POST", f"auth/approle/role/{NAME}/secret-id", body, headers={"X-Vault-Wrap-TTL": "10m"})
    token: str = answer["wrap_info"]["token"]
    return token


@pytest.fixture(scope="module")
def host(run: Run, release: str, base: Path, network: Network, bao: OpenBao) -> Iterator[Machine]:
    """A host beside the servers that has our package and knows nothing of them but their authority."""
    with run.machine(base, plug=network.plug("10.77.0.91")) as it:
        copy_packages(it, release)
        it.run(INSTALL, timeout=120)
        it.copy_in(bao.servers.authority.file, CA)
        it.copy_in(Authority(run.folder / "another").file, OTHER_CA)
        yield it


def set_up(host: Machine, bao: OpenBao, token: str = "", address: str = "", ca: str = CA, more: str = "") -> Result:
    """As an administrator types it, with the token on stdin."""
    address = address or f"https://{bao.addresses[0]}"
    command = f"keybearer setup --store=vault --address={address} --ca={ca} --namespace=enrolment --role={NAME} {more}"
    return host.run(command, input=f"{token}\n" if token else "", check=False, timeout=120)


def test_what_is_wrong_is_said_with_its_cure(host: Machine, bao: OpenBao) -> None:
    """Each mistake on the way, and the next try goes on from there; no token is used up by them."""
    token = enrolment(bao)
    assert "--address=https://HOST:8200" in host.run("keybearer setup --store=vault", check=False).stderr
    assert "--store=vault" in host.run("keybearer setup --address=https://a", check=False).stderr
    assert "plain http" in set_up(host, bao, token, address="http://10.77.0.11:8200").stderr
    assert "/root/none.pem" in set_up(host, bao, token, ca="/root/none.pem").stderr
    assert "no certificate in PEM" in set_up(host, bao, token, ca="/etc/hostname").stderr
    assert "enrolment token" in set_up(host, bao).stderr
    assert "that is no token" in set_up(host, bao, "two words").stderr
    wrong = set_up(host, bao, token, address=f"https://{bao.addresses[0]}:8299")
    assert wrong.returncode != 0 and "8299" in wrong.stderr and "--address=" in wrong.stderr
    untrusted = set_up(host, bao, token, ca=OTHER_CA)
    assert untrusted.returncode != 0 and "certificate" in untrusted.stderr and "--ca=" in untrusted.stderr
    other = bao.call("POST", "auth/token/create", {}, headers={"X-Vault-Wrap-TTL": "300s"})["wrap_info"]["token"]
    foreign = set_up(host, bao, other)
    assert foreign.returncode != 0 and "was not made as one of Mount= and Role=" in foreign.stderr
    bao.call("POST", "sys/wrapping/unwrap", {"token": token})
    used = set_up(host, bao, token)
    assert used.returncode != 0 and "was used already" in used.stderr and "a new enrolment token" in used.stderr


def test_a_bare_host_gets_its_service_going(host: Machine, bao: OpenBao) -> None:
    """Token, setup, unit add: the service has the secret, and each token of the host says whose it is."""
    token = enrolment(bao)
    done = set_up(host, bao, token)
    assert done.returncode == 0, done.stderr
    assert "logged in at the servers of vault" in done.stdout
    define(host, "orders", "kv/orders", "orders.service", "Store=vault")
    service(host, "orders.service")
    add(host, "orders.service", "orders.word")
    restart(host, "orders.service")
    assert seen(host, "orders.service") == {"orders.word": "open"}
    (status,) = json.loads(host.run("keybearer store status --store=vault --json").stdout)
    told = bao.write("auth/token/lookup-accessor", accessor=status["token accessor"])
    assert told["meta"]["host"] == NAME and told["meta"]["role_name"] == NAME
    assert bao.read(f"identity/entity/id/{told['entity_id']}")["name"] == NAME
    assert token not in host.messages() and token not in host.run("cat /etc/keybearer/stores/vault.conf").stdout


def test_a_second_run_changes_nothing_and_says_so(host: Machine, bao: OpenBao) -> None:
    """With the same words, or none, and without a token."""
    before = host.run("find /etc/keybearer /etc/systemd/system -type f -printf '%p %T@\n' | sort").stdout
    for again in (set_up(host, bao), host.run("keybearer setup --store=vault")):
        assert again.returncode == 0 and again.stdout == "nothing to do: this host is set up\n"
    assert host.run("find /etc/keybearer /etc/systemd/system -type f -printf '%p %T@\n' | sort").stdout == before
    assert "says something else" in set_up(host, bao, address="https://other.example.org").stderr


def test_a_line_of_policy_that_is_missing_is_told(host: Machine, bao: OpenBao) -> None:
    """Right at the setup; and the one who may add it is told which."""
    bao.policy("orders", {"kv/data/others": ["read"]})
    try:
        lacks = host.run("keybearer setup --store=vault", check=False)
        assert lacks.returncode != 0 and "lack 1 line: `keybearer doctor` prints" in lacks.stderr
        line = 'path "kv/data/orders" { capabilities = ["read"] }'
        # the broker hears within some seconds that a store has logged in, and doctor asks those that it knows are up
        host.wait_for(lambda: line in host.run("keybearer doctor", check=False).stdout, 20, "the line of policy")
    finally:
        bao.policy("orders", {"kv/data/orders": ["read"]})


def code(title: str) -> str:
    """What the guide tells to type below a title."""
    section = re.search(rf"^## {title}\n(.*?)^## ", (TOP / "docs/CLUSTER.md").read_text(), re.M | re.S)
    assert section
    return "\n".join(["set -eu", "cd /root", *re.findall(r"^    (.*)$", section[1], re.M)])


def test_the_guide_works_as_it_stands(run: Run, release: str, base: Path, network: Network, openbao: OpenBao) -> None:
    """From a server that works to a service of one of ten hosts, and to a host that is let out."""
    servers = openbao.servers.machine
    openbao.roll(openbao.nodes[0], openbao.servers.authority.certificate("bao.example.org", openbao.addresses[0]))
    for policy in POLICIES.iterdir():
        servers.write(f"/usr/share/keybearer/policies/{policy.name}", policy.read_text())
    env = {"BAO_ADDR": f"https://{openbao.addresses[0]}:8200", "BAO_CACERT": "/etc/bao/ca.pem", "BAO_TOKEN": openbao.token}
    for title in ("At the cluster, once", "At the cluster, for each host"):
        servers.run(["sh", "-c", code(title)], env=env, timeout=120)
    with run.machine(base, plug=network.plug("10.77.0.92")) as it:
        copy_packages(it, release)
        it.run(f"hostname web-10; echo '{openbao.addresses[0]} bao.example.org' >>/etc/hosts")
        it.run(INSTALL, timeout=120)
        service(it, "orders.service")
        it.copy_in(openbao.servers.authority.file, CA)
        it.write("/root/web-10.token", servers.read("/root/web-10.token"), 0o600)
        it.run(["sh", "-c", code("On each host")], timeout=120)
        assert seen(it, "orders.service") == {"orders-db.username": "orders", "orders-db.password": "hard to guess"}
        servers.run(["sh", "-c", code("When a host goes")], env=env)
        assert it.run("keybearer credential fetch orders-db", check=False).returncode != 0
