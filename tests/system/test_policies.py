# SPDX-License-Identifier: Apache-2.0
"""The policies that we ship let a host, a person and an administrator do what each has to, and nothing more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import engines
import pytest
from machine import Machine, Run
from network import Network
from openbao import PORT, Namespace, OpenBao

pytestmark = pytest.mark.servers

FOLDER = Path(__file__).resolve().parents[2] / "conf/policies"
NAMES = {"host": "web-1", "person": "ana", "admin": "root-1"}
BLOCK = re.compile(r'^path "(?P<path>[^"]+)" \{(?P<body>[^\n]+|.*?^)\}\n', re.M | re.S)
CAPABILITIES = re.compile(r"capabilities\s*= (\[.*?\])")


@dataclass(frozen=True)
class Request:
    """One, by what it is for. Allowed is whatever is not answered with 403: that there is no such thing comes after."""

    who: str
    purpose: str
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def wrapped(ttl: str) -> dict[str, str]:
    return {"X-Vault-Wrap-TTL": ttl}


METADATA = {"metadata": json.dumps({"host": "web-1"})}
HEAD = "kv/data/keybearer/directory/head"
VALUE = {"data": {"a": "b"}}
LEASE = {"lease_id": "none"}

NEEDED = [
    Request("host", "looks whether its token lives", "GET", "auth/token/lookup-self"),
    Request("host", "renews its token", "POST", "auth/token/renew-self", {}),
    Request("host", "asks which line is missing", "POST", "sys/capabilities-self", {"paths": ["kv/data/x"]}),
    Request("host", "renews a lease", "POST", "sys/leases/renew", LEASE),
    Request("host", "takes a lease back", "POST", "sys/leases/revoke", LEASE),
    Request("host", "reads the directory", "GET", HEAD),
    Request("host", "reads a secret of its own", "GET", "kv/data/hosts/web-1/tls"),
    Request("person", "logs out", "POST", "auth/token/revoke-self", {}),
    Request("person", "changes the password", "POST", "auth/userpass/users/ana/password", {"password": "other words"}),
    Request("person", "reads a secret of her own", "GET", "kv/data/people/ana/mail"),
    Request("admin", "reads who a host is", "GET", "auth/approle/role/web-1/role-id"),
    Request("admin", "makes an enrolment token", "POST", "auth/approle/role/web-1/secret-id", METADATA, wrapped("10m")),
    Request("admin", "lets a host out", "POST", "identity/entity/name/web-1", {"disabled": True}),
    Request("admin", "looks whose a token is", "POST", "auth/token/lookup-accessor", {"accessor": "none"}),
    Request("admin", "ends a token", "POST", "auth/token/revoke-accessor", {"accessor": "none"}),
    Request("admin", "reads the directory", "GET", HEAD),
    Request("admin", "publishes a directory", "POST", HEAD, VALUE),
    Request("admin", "publishes the first directory", "POST", "kv/data/keybearer/directory/new", VALUE),
]

FORBIDDEN = [
    Request("host", "reads a secret of another host", "GET", "kv/data/hosts/web-2/tls"),
    Request("host", "reads a person's secret", "GET", "kv/data/people/ana/mail"),
    Request("host", "writes its own secret", "POST", "kv/data/hosts/web-1/tls", VALUE),
    Request("host", "removes its own secret", "DELETE", "kv/data/hosts/web-1/tls"),
    Request("host", "looks which hosts have secrets", "LIST", "kv/metadata/hosts"),
    Request("host", "writes the directory", "POST", HEAD, VALUE),
    Request("host", "makes a token", "POST", "auth/token/create", {}),
    Request("host", "looks up another one's token", "POST", "auth/token/lookup-accessor", {"accessor": "none"}),
    Request("host", "ends another one's token", "POST", "auth/token/revoke-accessor", {"accessor": "none"}),
    Request("host", "makes a SecretID for itself", "POST", "auth/approle/role/web-1/secret-id", METADATA, wrapped("10m")),
    Request("host", "looks for leases of others", "LIST", "sys/leases/lookup/database/creds"),
    Request("host", "looks at a lease", "POST", "sys/leases/lookup", LEASE),
    Request("host", "ends all leases of a database", "POST", "sys/leases/revoke-prefix/database/creds", {}),
    Request("host", "reads its policy", "GET", "sys/policies/acl/keybearer-host"),
    Request("host", "writes its policy", "POST", "sys/policies/acl/keybearer-host", {"policy": ""}),
    Request("host", "reads who is known", "GET", "identity/entity/name/web-1"),
    Request("person", "reads another person's secret", "GET", "kv/data/people/bea/mail"),
    Request("person", "writes her own secret", "POST", "kv/data/people/ana/mail", VALUE),
    Request("person", "reads a host's secret", "GET", "kv/data/hosts/web-1/tls"),
    Request("person", "changes another person's password", "POST", "auth/userpass/users/bea/password", {"password": "mine"}),
    Request("person", "gives herself policies", "POST", "auth/userpass/users/ana", {"token_policies": "keybearer-admin"}),
    Request("person", "prolongs a login", "POST", "auth/token/renew-self", {}),
    Request("person", "makes a token", "POST", "auth/token/create", {}),
    Request("admin", "sees a SecretID", "POST", "auth/approle/role/web-1/secret-id", METADATA),
    Request("admin", "wraps one for a day", "POST", "auth/approle/role/web-1/secret-id", METADATA, wrapped("24h")),
    Request("admin", "lets a host in that is not named", "POST", "auth/approle/role/web-1/secret-id", {}, wrapped("10m")),
    Request("admin", "chooses a SecretID", "POST", "auth/approle/role/web-1/custom-secret-id", {"secret_id": "mine"}),
    Request("admin", "writes a role", "POST", "auth/approle/role/web-1", {"token_policies": "keybearer-admin"}),
    Request("admin", "reads a host's secret", "GET", "kv/data/hosts/web-1/tls"),
    Request("admin", "reads a person's secret", "GET", "kv/data/people/ana/mail"),
    Request("admin", "removes the directory", "DELETE", "kv/metadata/keybearer/directory/head"),
    Request("admin", "removes a version of it", "DELETE", HEAD),
    Request("admin", "makes a token", "POST", "auth/token/create", {}),
    Request("admin", "writes a policy", "POST", "sys/policies/acl/keybearer-admin", {"policy": ""}),
    Request("admin", "gives itself policies", "POST", "identity/entity/name/root-1", {"policies": "root"}),
    Request("admin", "calls a host another name", "POST", "identity/entity", {"name": "web-1", "disabled": True}),
    Request("admin", "reads who is known", "GET", "identity/entity/name/web-1"),
]


STORE = """\
[Store]
Type=vault
[Server]
Address=https://{address}:{port}
Namespace=policies
CaFile=/etc/keybearer/bao-ca.pem
[Login]
Method=approle
RoleIdFile=/etc/keybearer/bao.role
SecretIdFile=/etc/keybearer/bao.secret
[Directory]
Mount=kv
"""

CREDENTIALS = {"own": "kv/hosts/web-1/tls", "orders": "kv/orders", "web": "pki/issue/web", "code": "totp/code/web"}


class Cluster:
    """A namespace with our policies, and a login for each that has one of them, as an entity that is called so."""

    def __init__(self, bao: OpenBao) -> None:
        self.bao = Namespace(bao, "policies")
        engines.kv(self.bao, "kv")
        self.bao.write(HEAD, **VALUE)
        engines.userpass(self.bao, "userpass", {"ana": "several words", "bea": "several others"}, [])
        accessor = engines.method(self.bao, "approle", "approle")
        self.logins = {who: self._login(who, accessor) for who in NAMES}

    def _login(self, who: str, accessor: str) -> dict[str, str]:
        name = NAMES[who]
        self.write(who, policy(who))
        self.bao.write(f"auth/approle/role/{name}", token_policies=[f"keybearer-{who}"], token_no_default_policy=True)
        role_id = self.bao.read(f"auth/approle/role/{name}/role-id")["role_id"]
        entity = self.bao.write("identity/entity", name=name)["id"]
        self.bao.write("identity/entity-alias", name=role_id, canonical_id=entity, mount_accessor=accessor)
        return {"role_id": role_id, "secret_id": engines.secret_id(self.bao, "approle", name, host=name)}

    def write(self, who: str, text: str) -> None:
        """Gives the policy of one of them another text."""
        self.bao.write(f"sys/policies/acl/keybearer-{who}", policy=text)

    def allows(self, request: Request) -> bool:
        """With a token of its own: one of the requests ends it."""
        token = self.bao.write("auth/approle/login", **self.logins[request.who])["client_token"]
        answer = self.bao.ask(request.method, request.path, request.body, token=token, headers=request.headers)
        self._undo(request)
        return answer.status != 403

    def _undo(self, request: Request) -> None:
        """Of those that leave something, whatever came of it."""
        if request.path.endswith("directory/new"):
            self.bao.call("DELETE", request.path.replace("/data/", "/metadata/"))
        if request.path.startswith("identity/entity/name/"):
            self.bao.write(request.path, disabled=False)


def policy(who: str) -> str:
    return (FOLDER / f"{who}.hcl").read_text()


def without_each_capability(text: str) -> Iterator[tuple[str, str]]:
    """What is missing, and the policy without it."""
    for block in BLOCK.finditer(text):
        found = CAPABILITIES.search(block["body"])
        assert found
        names = json.loads(found[1])
        for name in names:
            rest = block[0].replace(found[1], json.dumps([other for other in names if other != name])) if names[1:] else ""
            yield f"{name} of {block['path']}", text.replace(block[0], rest)


@pytest.fixture(scope="module")
def cluster(openbao: OpenBao) -> Cluster:
    return Cluster(openbao)


def test_each_may_do_what_it_has_to(cluster: Cluster) -> None:
    """With nothing but its policy."""
    assert [request for request in NEEDED if not cluster.allows(request)] == []


def test_nobody_may_do_more(cluster: Cluster) -> None:
    """Least of all what would give them more."""
    assert [request for request in FORBIDDEN if cluster.allows(request)] == []


@pytest.mark.parametrize("who", NAMES)
def test_every_capability_is_needed(cluster: Cluster, who: str) -> None:
    """Without it there is something that cannot be done; and each thing to do needs one of them."""
    requests = {request.purpose: request for request in NEEDED if request.who == who}
    broken: dict[str, list[str]] = {}
    try:
        for missing, text in without_each_capability(policy(who)):
            cluster.write(who, text)
            broken[missing] = [purpose for purpose, request in requests.items() if not cluster.allows(request)]
    finally:
        cluster.write(who, policy(who))
    assert [missing for missing, purposes in broken.items() if not purposes] == []
    assert {purpose for purposes in broken.values() for purpose in purposes} == set(requests)


def test_every_token_of_a_host_says_whose_it_is(cluster: Cluster) -> None:
    """By the metadata of the SecretID that it came from; and an administrator can ask."""
    bao = cluster.bao
    made = bao.call("POST", "auth/approle/role/web-1/secret-id", METADATA, headers=wrapped("10m"))["wrap_info"]
    assert made["creation_path"] == "auth/approle/role/web-1/secret-id"
    secret = bao.call("POST", "sys/wrapping/unwrap", {"token": made["token"]})["data"]["secret_id"]
    role_id = bao.read("auth/approle/role/web-1/role-id")["role_id"]
    accessor = bao.write("auth/approle/login", role_id=role_id, secret_id=secret)["accessor"]
    told = bao.write("auth/token/lookup-accessor", accessor=accessor)
    assert told["meta"]["host"] == "web-1" and told["meta"]["role_name"] == "web-1"
    assert bao.read(f"identity/entity/id/{told['entity_id']}")["name"] == "web-1"


def test_a_host_that_is_let_out_can_do_nothing(cluster: Cluster) -> None:
    """Not with the token that it has, and not with a new one."""
    bao = cluster.bao
    role_id = bao.read("auth/approle/role/web-1/role-id")["role_id"]
    login = {"role_id": role_id, "secret_id": engines.secret_id(bao, "approle", "web-1", host="web-1")}
    token = bao.write("auth/approle/login", **login)["client_token"]
    assert bao.ask("GET", "auth/token/lookup-self", token=token).status == 200
    bao.write("identity/entity/name/web-1", disabled=True)
    try:
        assert bao.ask("GET", "auth/token/lookup-self", token=token).status == 403
        assert bao.ask("POST", "auth/approle/login", login, token="").status == 403
    finally:
        bao.write("identity/entity/name/web-1", disabled=False)


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], cluster: Cluster) -> Iterator[Machine]:
    """web-1, with a credential of each of some sorts, and a policy for its services beside the one for hosts."""
    bao = cluster.bao
    engines.pki(bao, "pki", "web", leased=True)
    engines.totp(bao, "totp", "web")
    bao.policy("services", {"kv/data/orders": ["read"], "pki/issue/web": ["update"], "totp/code/web": ["read"]})
    bao.write("auth/approle/role/web-1", token_policies=["keybearer-host", "services"])
    with run.machine(*installed, plug=network.plug("10.77.0.90")) as it:
        it.copy_in(bao.servers.authority.file, "/etc/keybearer/bao-ca.pem")
        files = {"stores/prod.conf": STORE.format(address=bao.addresses[0], port=PORT),
                 "bao.role": cluster.logins["host"]["role_id"], "bao.secret": cluster.logins["host"]["secret_id"]}
        for name, text in files.items():
            it.write(f"/etc/keybearer/{name}", text, 0o640, "root:keybearer-vault")
        for name, path in CREDENTIALS.items():
            more = "Param.common_name=web.test\n" if name == "web" else ""
            it.write(f"/etc/keybearer/credentials.d/{name}.conf", f"[Credential]\nStore=prod\nPath={path}\n{more}")
        it.run("systemctl enable -q --now keybearer-store-vault@prod.socket && systemctl reload keybearerd")
        it.wait_for(lambda: '"open"' in it.run("keybearer store status --store=prod --json", check=False).stdout, 60, "a login")
        yield it


def missing(host: Machine) -> str:
    """What doctor prints as missing in a policy; nothing else is wrong."""
    rows = [row for row in json.loads(host.run("keybearer doctor --json", check=False).stdout) if not row["well"]]
    assert {row["check"] for row in rows} <= {"servers let credentials be fetched"}
    return "".join(row["cure"] for row in rows)


def test_with_these_policies_a_host_is_well(host: Machine) -> None:
    """And can do what they are for."""
    assert missing(host) == ""
    host.run("keybearer credential fetch web >/dev/null")


@pytest.mark.parametrize("name", ["keybearer-host", "services"])
def test_doctor_names_the_line_that_is_missing(host: Machine, cluster: Cluster, name: str) -> None:
    """Each line of them, taken away; and with what is printed in its place all is well again."""
    whole = cluster.bao.read(f"sys/policies/acl/{name}")["policy"]
    blocks = [block[0] for block in BLOCK.finditer(whole)]
    assert len(blocks) >= 3
    try:
        for block in blocks:
            rest = whole.replace(block, "")
            cluster.bao.write(f"sys/policies/acl/{name}", policy=rest)
            lines = missing(host)
            path = block.split('"')[1].replace("{{identity.entity.name}}", "web-1").rstrip("*")
            assert lines.startswith(f'path "{path}') and lines.count("\n") == 1, (block, lines)
            said = host.run("keybearer doctor", check=False).stdout
            assert lines in said.replace("        path", "path") and "WRONG servers let credentials be fetched" in said
            cluster.bao.write(f"sys/policies/acl/{name}", policy=rest + lines)
            assert missing(host) == ""
    finally:
        cluster.bao.write(f"sys/policies/acl/{name}", policy=whole)
