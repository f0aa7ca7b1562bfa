# SPDX-License-Identifier: Apache-2.0
"""Secrets of a real OpenBao reach units, live as long as these, and are taken back at the server."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import engines
import enrolled
import pytest
from machine import Machine, Run
from network import Network
from openbao import OpenBao
from postgres import Postgres
from service import add, define, drop_in, fails_without_credentials, grants, restart, seen, service, status

pytestmark = pytest.mark.servers

POLICY = {
    "secrets-kv/data/*": ["read"],
    "secrets-kv1/*": ["read"],
    "secrets-db/creds/*": ["read"],
    "secrets-db/static-creds/*": ["read"],
    "secrets-pki/issue/*": ["update"],
    "secrets-pki/sign/*": ["update"],
    "secrets-ssh/sign/*": ["update"],
    "secrets-totp/code/*": ["read"],
    "secrets-transit/decrypt/*": ["update"],
    "sys/tools/random/*": ["update"],
    **enrolled.OWN,
}
GENERATOR = "JBSWY3DPEHPK3PXP"  # of one-time codes

# Has kept all that it was given, byte by byte, when its start is over; and stays.
FOUND = "/run/found"
KEEP = f"""\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'rm -rf {FOUND}/%n; mkdir -p {FOUND}; cp -r "$CREDENTIALS_DIRECTORY" {FOUND}/%n'
"""

Values = Mapping[str, str]


@pytest.fixture(scope="module")
def values(openbao: OpenBao, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Values:
    """The server with each of its engines; what a test cannot know beforehand, by name."""
    bao = openbao
    engines.kv(bao, "secrets-kv")
    bao.write("secrets-kv/data/app", data={"word": "shut"})
    bao.write("secrets-kv/data/app", data={"word": "open", "deep": {"key": ["outside", "inside"]}})
    bao.write("secrets-kv/data/login", data={"user": "app", "password": "a'b"})
    bao.write("secrets-kv/data/gone", data={"word": "lost"})
    bao.write("secrets-kv/delete/gone", versions=[1])
    bao.write("secrets-kv/data/two-lines", data={"word": "one\ntwo"})
    engines.kv(bao, "secrets-kv1", version=1)
    bao.write("secrets-kv1/app", word="first")
    engines.database(bao, "secrets-db", postgres)
    engines.database_role(bao, "secrets-db", "app", ttl="10s", most="10m")
    engines.static_role(bao, "secrets-db", "still", postgres)
    authority = engines.pki(bao, "secrets-pki", "web")
    engines.ssh(bao, "secrets-ssh", "people", users="ann")
    engines.totp(bao, "secrets-totp", "unused")
    bao.write("secrets-totp/keys/gate", key=GENERATOR, issuer="test", account_name="gate")
    engines.transit(bao, "secrets-transit", "app")
    bao.policy("secrets", POLICY)
    key = tmp_path_factory.mktemp("ssh") / "key"
    return {"ciphertext": engines.encrypt(bao, "secrets-transit", "app", b"clear"), "authority": authority,
            "public": public_key(key), "wrapped": wrap(bao, "secrets-kv/data/app"), "other": wrap(bao, "secrets-kv/data/login")}


def public_key(path: Path) -> str:
    """The public half of a new key, as a line of OpenSSH."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


def wrap(bao: OpenBao, path: str) -> str:
    """A token that wraps the answer of this path."""
    token: str = bao.call("GET", path, headers={"X-Vault-Wrap-TTL": "600s"})["wrap_info"]["token"]
    return token


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], openbao: OpenBao, values: Values) -> Iterator[Machine]:
    """A host with our package, whose second store is that server."""
    with run.machine(*installed, plug=network.plug("10.77.0.4")) as it:
        enrolled.approle(it, openbao, "secrets-approle", ["secrets"])
        yield it


def leases(bao: OpenBao) -> list[str]:
    """Leases of the database that the server knows of."""
    return bao.names("sys/leases/lookup/secrets-db/creds/app")


def roles(postgres: Postgres) -> list[str]:
    """Logins of the database that were made for this host: they are named after its way in."""
    return [role for role in postgres.roles() if role.startswith("v-secrets-")]


def given(host: Machine, name: str, path: str, more: str, *fields: str, store: str = "prod") -> dict[str, str]:
    """What a unit finds that has this credential, or these fields of it; it is stopped again."""
    unit = f"{name}.service"
    define(host, name, path, unit, f"Store={store}\n{more}")
    service(host, unit, KEEP)
    add(host, unit, *(f"{name}.{field}" if field else name for field in fields or ("",)))
    restart(host, unit)
    script = f"cd {FOUND}/{unit} && for f in *; do echo \"$f $(base64 -w0 <$f)\"; done"
    host.wait_for(lambda: host.active(unit))
    lines = [line.partition(" ") for line in host.run(script).stdout.splitlines()]
    host.run(["systemctl", "stop", unit])
    return {name: base64.b64decode(value).decode() for name, _, value in lines}


def refused(host: Machine, name: str, path: str, more: str, *why: str, field: str = "", store: str = "prod") -> None:
    """A unit does not start that may have this credential, and its own status says why."""
    unit = f"{name}.service"
    define(host, name, path, unit, f"Store={store}\n{more}")
    service(host, unit, KEEP, f"LoadCredentialEncrypted={name}{field}:/run/keybearer/encrypted.sock\n")
    drop_in(host, unit, {"Restart": "no"})
    assert restart(host, unit, check=False).returncode != 0
    assert fails_without_credentials(host, unit)
    host.wait_for(lambda: all(word in status(host, unit) for word in (f"was not given {name}", *why)), 10,
                  f"{why} in the status of {unit}:\n{status(host, unit)}")


# What a unit finds: path, more of the credential's file, the fields that it asks for (none: the whole secret), and this.
KEPT: dict[str, tuple[str, str, list[str], dict[str, str]]] = {
    "latest": ("secrets-kv/app", "Field.word=word", ["word"], {"latest.word": "open"}),
    "pinned": ("secrets-kv/app", "Version=1", ["word"], {"pinned.word": "shut"}),
    "version-1": ("secrets-kv1/app", "", ["word"], {"version-1.word": "first"}),
    "part": ("secrets-kv/app", "Field.key=/deep/key/1", ["key"], {"part.key": "inside"}),
    "template": ("secrets-kv/login", "Template=db://{{user}}:{{password}}@db", [], {"template": "db://app:a'b@db"}),
    "raw": ("secrets-kv1/app", "Format=raw", [], {"raw": "first"}),
    "json": ("secrets-kv/login", "Format=json", [], {"json": '{"password":"a\'b","user":"app"}'}),
    "env": ("secrets-kv/login", "Format=env", [], {"env": "ENV_PASSWORD=\"a'b\"\nENV_USER=\"app\"\n"}),
    "ini": ("secrets-kv/login", "Format=ini", [], {"ini": "[ini]\npassword = a'b\nuser = app\n"}),
    "decrypted": ("secrets-transit/decrypt/app", "Param.ciphertext={ciphertext}", ["plaintext"], {"decrypted.plaintext": "clear"}),
}


@pytest.mark.both
@pytest.mark.parametrize("name", KEPT)
def test_a_unit_reads_what_it_understands(host: Machine, values: Values, name: str) -> None:
    """Each sort of value, by field, part, template or format, exactly as it is to be."""
    path, more, fields, expected = KEPT[name]
    more = more.replace("{ciphertext}", values["ciphertext"])
    assert given(host, name, path, more, *fields) == expected


@pytest.mark.parametrize("way", ["issue", "sign"])
def test_a_certificate_fits_its_key_and_its_authority(host: Machine, values: Values, way: str) -> None:
    """Made there as a whole, or with a key that is made here; Format=pem is a bundle as a server reads it."""
    found = given(host, f"tls-{way}", f"secrets-pki/{way}/web", "Format=pem\nParam.common_name=www.test")
    host.write("/root/bundle.pem", found[f"tls-{way}"], 0o600)
    host.write("/root/authority.pem", values["authority"] + "\n")
    assert host.run("openssl verify -CAfile /root/authority.pem /root/bundle.pem").stdout.endswith("OK\n")
    keys = {host.run(f"openssl {words} /root/bundle.pem").stdout for words in ("pkey -pubout -in", "x509 -noout -pubkey -in")}
    assert len(keys) == 1
    assert "CN = www.test" in host.run("openssl x509 -noout -subject -in /root/bundle.pem").stdout.replace("CN=", "CN = ")


def test_a_key_of_a_person_is_signed(host: Machine, values: Values) -> None:
    """The certificate is for this key and this person."""
    more = f"Param.public_key={values['public']}\nParam.valid_principals=ann"
    found = given(host, "signed", "secrets-ssh/sign/people", more, "signed_key")["signed.signed_key"]
    host.write("/root/signed-cert.pub", found)
    said = host.run("ssh-keygen -L -f /root/signed-cert.pub").stdout
    assert "user certificate" in said and "                ann\n" in said


def test_a_code_is_the_one_of_this_moment(host: Machine) -> None:
    """As the generator shows it that has the same key."""
    before = time.time()
    found = given(host, "code", "secrets-totp/code/gate", "", "code")["code.code"]
    assert found in {engines.passcode(GENERATOR, at) for at in (before, time.time())}


def test_a_static_login_lets_in(host: Machine, postgres: Postgres) -> None:
    """With the password that the server has given it."""
    found = given(host, "still", "secrets-db/static-creds/still", "", "username", "password")
    assert postgres.login(found["still.username"], found["still.password"])


def test_any_path_can_be_asked(host: Machine) -> None:
    """With a method and parameters, where there is no engine for it."""
    found = given(host, "any", "sys/tools/random/20", "Method=write\nParam.format=hex", "random_bytes")
    assert len(bytes.fromhex(found["any.random_bytes"])) == 20


def test_a_wrapped_value_is_opened_once(host: Machine, openbao: OpenBao, values: Values) -> None:
    """The second unit that wants it is told that it is gone; one of another origin is left closed."""
    more = f"Param.token={values['wrapped']}\nField.word=/data/word"
    assert given(host, "wrapped", "sys/wrapping/unwrap", more, "word") == {"wrapped.word": "open"}
    refused(host, "wrapped", "sys/wrapping/unwrap", more, "the token was used, or has ended", field=".word")
    more = f"Param.token={values['other']}\nParam.creation_path=secrets-kv/data/app"
    refused(host, "swapped", "sys/wrapping/unwrap", more, "the token wraps something else")
    assert openbao.call("POST", "sys/wrapping/unwrap", {"token": values["other"]})["data"]["data"]["user"] == "app"


# What a unit does not get, and what its status says: path, more of the credential's file, words.
FAULTS: dict[str, tuple[str, str, list[str]]] = {
    "nothing-there": ("secrets-kv/none", "", ["there is no secret at secrets-kv/none"]),
    "no-such-version": ("secrets-kv/app", "Version=7", ["version 7"]),
    "deleted": ("secrets-kv/gone", "Version=1", ["version 1 of secrets-kv/gone is deleted"]),
    "no-such-field": ("secrets-kv/login", "Field.pin=pin", ["pin"]),
    "no-such-part": ("secrets-kv/app", "Field.key=/deep/key/2", ["/deep/key/2"]),
    "two-lines-in-ini": ("secrets-kv/two-lines", "Format=ini", ["word", "line break"]),
    "raw-of-two": ("secrets-kv/login", "Format=raw", ["raw"]),
    "no-certificate": ("secrets-kv/login", "Format=pem", ["Format=pem needs the field certificate"]),
    "denied": ("secrets-transit/keys/app", "", ["permission denied"]),
    "no-such-mount": ("secrets-nowhere/app", "", ["secrets-nowhere/app"]),
    "no-such-role": ("secrets-db/creds/none", "", ["unknown role"]),
    "no-such-static-role": ("secrets-db/static-creds/none", "", ["unknown role"]),
    "other-domain": ("secrets-pki/issue/web", "Param.common_name=www.example", ["HTTP 400: (a text that repeats what it was sent)"]),
    "no-name": ("secrets-pki/sign/web", "", ["common_name"]),
    "no-public-key": ("secrets-ssh/sign/people", "", ["needs Param.public_key="]),
    "other-person": ("secrets-ssh/sign/people", "Param.valid_principals=bob\nParam.public_key={public}", ["bob is not a valid value"]),
    "no-generator": ("secrets-totp/code/none", "", ["unknown key"]),
    "not-a-ciphertext": ("secrets-transit/decrypt/app", "Param.ciphertext=vault:v1:none", ["invalid ciphertext"]),
    "not-a-method": ("secrets-kv/app", "Method=write", ["knows no Method=write"]),
    "not-a-wrapping": ("sys/wrapping/unwrap", "Param.token=s.none", ["the token was used, or has ended"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_status_of_a_unit_says_what_is_wrong(host: Machine, values: Values, name: str) -> None:
    """With what was asked for, or what the server said."""
    path, more, why = FAULTS[name]
    refused(host, name, path, more.replace("{public}", values["public"]), *why)


def test_a_namespace_is_a_server_of_its_own(host: Machine, openbao: OpenBao) -> None:
    """Login, mount and policy are those in it; the same path outside is another secret."""
    openbao.write("sys/namespaces/secrets-team")
    openbao.write("secrets-team/sys/mounts/secrets-kv1", type="kv", options={"version": "1"})
    openbao.write("secrets-team/secrets-kv1/app", word="within")
    openbao.write("secrets-team/sys/policies/acl/secrets", policy='path "secrets-kv1/*" { capabilities = ["read"] }')
    openbao.write("secrets-team/sys/auth/secrets-approle", type="approle")
    openbao.write("secrets-team/auth/secrets-approle/role/host", token_policies=["secrets"])
    role = openbao.read("secrets-team/auth/secrets-approle/role/host/role-id")["role_id"]
    secret = openbao.write("secrets-team/auth/secrets-approle/role/host/secret-id")["secret_id"]
    enrolled.enroll(host, openbao, "secrets-approle", role, secret, "team", "Namespace=secrets-team\n")
    assert given(host, "team", "secrets-kv1/app", "", "word", store="team") == {"team.word": "within"}


def test_a_batch_token_gets_nothing_that_is_leased(host: Machine, openbao: OpenBao, postgres: Postgres) -> None:
    """The database is not even asked; what has no lease it gets."""
    enrolled.approle(host, openbao, "secrets-batch", ["secrets"], "batch", token_type="batch", token_ttl="1h")
    before = postgres.roles()
    refused(host, "batch-db", "secrets-db/creds/app", "", "batch token, which can hold no lease", store="batch")
    assert postgres.roles() == before
    assert given(host, "batch-word", "secrets-kv1/app", "", "word", store="batch") == {"batch-word.word": "first"}


@pytest.mark.both
def test_a_login_of_a_database_lives_as_long_as_the_unit(host: Machine, openbao: OpenBao, postgres: Postgres) -> None:
    """Its password lets it in beyond the lease's first end; when it stops, role and lease are gone at once."""
    define(host, "db", "secrets-db/creds/app", "pool.service", "Store=prod\nField.user=username\nField.pass=password")
    service(host, "pool.service")
    add(host, "pool.service", "db")
    restart(host, "pool.service")
    found = seen(host, "pool.service")
    assert postgres.login(found["db.user"], found["db.pass"])
    assert roles(postgres) == [found["db.user"]] and len(leases(openbao)) == 1
    time.sleep(15)  # the lease was for 10
    assert postgres.login(found["db.user"], found["db.pass"]) and len(leases(openbao)) == 1
    assert [grant["credential"] for grant in grants(host, "pool.service")] == ["db"]
    host.run("systemctl stop pool.service")
    host.wait_for(lambda: roles(postgres) == [], 10, "the role of a stopped unit to go")
    assert leases(openbao) == [] and grants(host, "pool.service") == []
