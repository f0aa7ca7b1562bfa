# SPDX-License-Identifier: Apache-2.0
"""The servers of the tests are real, and do what the tests of the store take for granted."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import timedelta

import engines
import pytest
from authority import Issuer
from machine import Machine, Run, tree, wait_for
from network import Network
from openbao import PORT, Answer, OpenBao, Refused, Servers
from postgres import Postgres
from slapd import Slapd

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def app(openbao: OpenBao) -> str:
    """A policy that may read one secret, and that secret."""
    engines.kv(openbao, "app")
    openbao.write("app/data/key", data={"word": "open"})
    openbao.policy("app", {"app/data/key": ["read"]})
    return "app"


@pytest.fixture(scope="module")
def host(run: Run, network: Network, release: str) -> Iterator[Machine]:
    """A machine without anything of ours, in the servers' network."""
    with run.machine(tree(release), plug=network.plug("10.77.0.3")) as it:
        yield it


def test_a_host_reaches_it_over_tls_only(openbao: OpenBao, servers: Servers, host: Machine) -> None:
    """By name, with a certificate of the test's CA and no other; plain HTTP gets nothing; a pulled cable is silent."""
    host.copy_in(servers.authority.file, "/etc/ca.pem")
    host.run(f"echo {openbao.addresses[0]} {openbao.nodes[0]}.test >>/etc/hosts")
    hello = f"openssl s_client -brief -connect {openbao.nodes[0]}.test:{PORT} -verify_return_error -CAfile"
    assert "Verification: OK" in host.run(f"{hello} /etc/ca.pem </dev/null 2>&1").stdout
    assert host.run(f"{hello} /etc/ssl/certs/ca-certificates.crt </dev/null", check=False).returncode
    plain = f"printf 'GET /v1/sys/health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | socat -t5 - TCP:{openbao.addresses[0]}:{PORT}"
    assert "400 Bad Request" in host.run(plain).stdout
    assert host.plug
    servers.network.cut(host.plug)
    assert host.run(f"socat -u OPEN:/dev/null TCP:{openbao.addresses[0]}:{PORT},connect-timeout=1", check=False).returncode
    servers.network.mend(host.plug)
    assert "400 Bad Request" in host.run(plain).stdout


def test_a_kept_secret_comes_back(openbao: OpenBao, app: str) -> None:
    """From both kinds of KV, by version; with a namespace and without; and not without a token."""
    openbao.write("app/data/key", data={"word": "sesame"})
    assert openbao.read("app/data/key")["data"] == {"word": "sesame"}
    assert openbao.read("app/data/key?version=1")["data"] == {"word": "open"}
    engines.kv(openbao, "old", 1)
    openbao.write("old/key", word="open")
    assert openbao.read("old/key") == {"word": "open"} and openbao.names("old") == ["key"]
    assert openbao.names("old/none") == []
    openbao.write("sys/namespaces/team")
    answer = openbao.ask("GET", "sys/mounts", headers={"X-Vault-Namespace": "team"})
    assert answer.status == 200 and "app/" not in answer.body["data"]
    with pytest.raises(Refused) as refused:
        openbao.call("GET", "app/data/key", token="none")
    assert refused.value.answer.status == 403


def test_a_database_role_lives_as_long_as_its_lease(openbao: OpenBao, postgres: Postgres) -> None:
    """It lets in until it is revoked; the server's own list of leases and the database's of roles say the same."""
    engines.database(openbao, "orders", postgres)
    engines.database_role(openbao, "orders", "app")
    answers = [openbao.call("GET", "orders/creds/app") for _ in range(2)]
    assert openbao.leases("orders") == sorted(answer["lease_id"] for answer in answers)
    users = [answer["data"]["username"] for answer in answers]
    assert postgres.roles() == sorted(users)
    assert all(postgres.login(answer["data"]["username"], answer["data"]["password"]) for answer in answers)
    assert not postgres.login(users[0], "another password")
    openbao.write("sys/leases/revoke", lease_id=answers[0]["lease_id"], sync=True)
    assert not postgres.login(users[0], answers[0]["data"]["password"])
    assert postgres.login(users[1], answers[1]["data"]["password"])
    assert openbao.leases("orders") == [answers[1]["lease_id"]] and postgres.roles() == [users[1]]


def test_the_password_of_a_static_role_is_changed(openbao: OpenBao, postgres: Postgres) -> None:
    """At once when it is asked for: the old one is dead then, and there is no lease."""
    engines.database(openbao, "reports", postgres)
    engines.static_role(openbao, "reports", "reporter", postgres)
    old = openbao.read("reports/static-creds/reporter")["password"]
    assert postgres.login("reporter", old)
    openbao.write("reports/rotate-role/reporter")
    new = openbao.read("reports/static-creds/reporter")["password"]
    assert postgres.login("reporter", new) and not postgres.login("reporter", old)
    assert openbao.leases("reports") == []


def test_too_many_requests_are_refused(openbao: OpenBao, app: str) -> None:
    """With 429 and when to come again, and only where there is a limit."""
    engines.kv(openbao, "slow", 1)
    engines.limit(openbao, "slow", "slow", 2)
    answers = [openbao.ask("GET", "slow/key") for _ in range(3)]
    assert [answer.status for answer in answers] == [404, 404, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert openbao.ask("GET", "app/data/key").status == 200


def test_certificates_and_codes_are_good(openbao: OpenBao, servers: Servers) -> None:
    """What pki, ssh, totp and transit give is taken by who has to take it."""
    machine = servers.machine
    machine.write("/tmp/root.pem", engines.pki(openbao, "pki", "web"))
    issued = openbao.write("pki/issue/web", common_name="web.test")
    machine.write("/tmp/web.pem", issued["certificate"])
    machine.run("openssl verify -CAfile /tmp/root.pem -verify_hostname web.test /tmp/web.pem")
    authority = engines.ssh(openbao, "ssh", "people")
    machine.run("ssh-keygen -q -t ed25519 -N '' -f /tmp/key")
    signed = openbao.write("ssh/sign/people", public_key=machine.read("/tmp/key.pub"), valid_principals="ana")
    machine.write("/tmp/key-cert.pub", signed["signed_key"])
    machine.write("/tmp/authority.pub", authority)
    fingerprint = machine.run("ssh-keygen -l -f /tmp/authority.pub").stdout.split()[1]
    shown = machine.run("ssh-keygen -L -f /tmp/key-cert.pub").stdout
    assert fingerprint in shown and "ana" in shown
    engines.ssh_passwords(openbao, "ssh", "once", "ana", "10.77.0.0/24")
    once = openbao.write("ssh/creds/once", ip="10.77.0.3")["key"]
    assert openbao.call("POST", "ssh/verify", {"otp": once}, token="")["data"]["username"] == "ana"
    assert openbao.ask("POST", "ssh/verify", {"otp": once}, token="").status == 400
    engines.totp(openbao, "totp", "ana")
    assert openbao.write("totp/code/ana", code=openbao.read("totp/code/ana")["code"]) == {"valid": True}
    engines.transit(openbao, "transit", "app")
    assert openbao.write("transit/decrypt/app", ciphertext=engines.encrypt(openbao, "transit", "app", b"word")) == {
        "plaintext": "d29yZA=="
    }


def test_every_way_to_log_in_leads_in(openbao: OpenBao, slapd: Slapd, app: str) -> None:
    """And gives a token that may do what its policy says; the server's own list has exactly these tokens."""
    before = set(openbao.tokens())
    slapd.people({"ana": "words of ana"}, "dba")
    engines.ldap(openbao, "ldap", slapd, {"dba": [app]})
    engines.userpass(openbao, "people", {"bea": "words of bea"}, [app])
    role, secret = engines.approle(openbao, "hosts", "web", [app])
    wrapped = engines.wrapped_secret_id(openbao, "hosts", "web")
    assert openbao.write("sys/wrapping/lookup", token=wrapped)["creation_path"] == "auth/hosts/role/web/secret-id"
    unwrapped = openbao.call("POST", "sys/wrapping/unwrap", {}, token=wrapped)["data"]["secret_id"]
    issuer = Issuer()
    engines.jwt(openbao, "jwt", "web", issuer, [app], "host-1")
    engines.certificates(openbao, "cert", "web", [app], "web-1.test")
    own = openbao.servers.authority.certificate("web-1.test")
    other = openbao.servers.authority.certificate("web-2.test")
    with engines.Reviewer(openbao.servers) as reviewer:
        engines.kubernetes(openbao, "pods", "web", reviewer, [app], "web")
        tries: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
            "ldap": ("ldap/login/ana", {"password": "words of ana"}, {"password": "no"}),
            "userpass": ("people/login/bea", {"password": "words of bea"}, {"password": "no"}),
            "approle": ("hosts/login", {"role_id": role, "secret_id": secret}, {"role_id": role, "secret_id": "no"}),
            "unwrapped": ("hosts/login", {"role_id": role, "secret_id": unwrapped}, {"role_id": "no", "secret_id": "no"}),
            "jwt": ("jwt/login", {"role": "web", "jwt": issuer.token("host-1")}, {"role": "web", "jwt": issuer.token("host-2")}),
            "pod": ("pods/login", {"role": "web", "jwt": reviewer.token("web")}, {"role": "web", "jwt": reviewer.token("x")}),
            "certificate": ("cert/login", {"name": "web"}, {"name": "web"}),
        }
        logins = {}
        for way, (path, good, bad) in tries.items():
            refused = openbao.ask("POST", f"auth/{path}", bad, token="", certificate=other)
            assert refused.status in (400, 403), (way, refused)
            logins[way] = openbao.call("POST", f"auth/{path}", good, token="", certificate=own)["auth"]
    for way, login in logins.items():
        assert openbao.ask("GET", "app/data/key", token=login["client_token"]).status == 200, way
        assert openbao.ask("GET", "app/data/other", token=login["client_token"]).status == 403, way
    assert set(openbao.tokens()) - before == {login["accessor"] for login in logins.values()}
    gone = logins["ldap"]["accessor"]
    openbao.write("auth/token/revoke-accessor", accessor=gone)
    assert gone not in openbao.tokens()


def test_a_second_factor_is_asked_for(openbao: OpenBao) -> None:
    """The password alone gives no token, but what to answer with a code; a wrong code gives none either."""
    accessor = engines.userpass(openbao, "two", {"ana": "words of ana"}, ["default"])
    factor, generator = engines.second_factor(openbao, accessor, "ana")
    password = {"password": "words of ana"}
    tokens = set(openbao.tokens())

    def in_two_steps(code: str) -> Answer:
        first = openbao.write("auth/two/login/ana", **password)
        asked = first["mfa_requirement"]["mfa_request_id"]
        assert not first["client_token"]
        return openbao.ask("POST", "sys/mfa/validate", {"mfa_request_id": asked, "mfa_payload": {factor: [code]}}, token="")

    def at_once(code: str) -> Answer:
        header = {"X-Vault-MFA": f"{factor}:{code}"}
        return openbao.ask("POST", "auth/two/login/ana", password, token="", headers=header)

    assert (in_two_steps("000000").status, at_once("000000").status) == (403, 403)
    assert set(openbao.tokens()) == tokens
    now = time.time()
    good = at_once(engines.passcode(generator, now)).body["auth"]
    assert openbao.ask("GET", "auth/token/lookup-self", token=good["client_token"]).status == 200
    assert good["accessor"] in openbao.tokens()
    # the same code is never good twice; and what 2.4.0 answers to a good one is a token that it does not keep
    late = in_two_steps(engines.passcode(generator, now + 30))
    assert late.status == 200 and late.body["auth"]["accessor"] not in openbao.tokens()


def test_a_node_comes_back_with_all_it_kept(openbao: OpenBao, app: str) -> None:
    """After kill -9, and after it was sealed, which it stays until it is started again."""
    (node,) = openbao.nodes
    word = openbao.read("app/data/key")
    openbao.kill(node)
    assert openbao.state(node) == "down"
    openbao.launch(node)
    assert openbao.active() == node and openbao.read("app/data/key") == word
    openbao.seal()
    wait_for(lambda: openbao.state(node) == "sealed", timeout=30, what="a sealed node")
    assert openbao.ask("GET", "app/data/key").status == 503
    openbao.restart(node)
    assert openbao.active() == node and openbao.read("app/data/key") == word


def test_a_certificate_rolls_without_a_restart(openbao: OpenBao, servers: Servers) -> None:
    """The next connection sees the new one; one of yesterday is refused by who looks."""
    (node,), (address,) = openbao.nodes, openbao.addresses

    def shown() -> str:
        with servers.network.connect(address, PORT) as plain:
            with servers.authority.client().wrap_socket(plain, server_hostname=address) as connection:
                return str((connection.getpeercert() or {})["serialNumber"])

    before = shown()
    openbao.roll(node, servers.authority.certificate(f"{node}.test", address))
    wait_for(lambda: shown() != before, timeout=30, what="the new certificate")
    openbao.roll(node, servers.authority.certificate(f"{node}.test", address, ends=timedelta(seconds=-1)))

    def expired() -> bool:
        try:
            shown()
        except ssl.SSLCertVerificationError as error:
            return "expired" in str(error)
        return False

    wait_for(expired, timeout=30, what="the expired certificate")
    openbao.roll(node, servers.authority.certificate(f"{node}.test", address))
    wait_for(lambda: not expired(), timeout=30, what="a good certificate")


def test_three_nodes_outlive_their_leader(three: OpenBao) -> None:
    """A standby answers for the leader; when that dies, it says so until one of them has taken over."""
    engines.kv(three, "kv", 1)
    three.write("kv/key", word="open")
    leader = three.active()
    standbys = [node for node in three.nodes if node != leader]
    assert [three.state(node) for node in standbys] == ["standby", "standby"]
    for node in standbys:
        wait_for(lambda: "open" in str(three.ask("GET", "kv/key", node=node).body), 30, "an answer of a standby")
    three.kill(leader)
    said = set()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        answers = [three.ask("GET", "kv/key", node=node).status for node in standbys]
        said |= set(answers)
        if 200 in answers:
            break
    assert 200 in said and said <= {200, 307, 500, 503}, said
    assert three.active() != leader
    three.write("kv/key", word="sesame")
    three.launch(leader)
    wait_for(lambda: three.state(leader) == "standby", 30, "the old leader as a standby")
    wait_for(lambda: "sesame" in str(three.ask("GET", "kv/key", node=leader).body), 30, "what it missed")
