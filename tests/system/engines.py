# SPDX-License-Identifier: Apache-2.0
"""What is set up in an OpenBao: engines that have secrets, and ways to log in.

Each is one call that makes a mount ready to use, under the name `at`, so that tests that share a server keep apart.
"""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import postgres
import slapd
from authority import Issuer
from machine import wait_for
from network import OURS
from openbao import OpenBao, Servers

ROLE = """CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"""
DROP = """DROP ROLE IF EXISTS "{{name}}\""""


def mount(bao: OpenBao, kind: str, at: str, **options: Any) -> None:
    """An engine under a name."""
    bao.write(f"sys/mounts/{at}", type=kind, **options)


def kv(bao: OpenBao, at: str, version: int = 2) -> None:
    """Secrets that are kept."""
    mount(bao, "kv", at, options={"version": str(version)})
    if version == 2:  # answers 400 for a moment, while it makes itself ready
        wait_for(lambda: bao.ask("GET", f"{at}/config", node=bao.active()).status == 200, 30, at)


def database(bao: OpenBao, at: str, server: postgres.Postgres) -> None:
    """Roles of a PostgreSQL that live as long as their lease."""
    mount(bao, "database", at)
    url = f"postgresql://{{{{username}}}}:{{{{password}}}}@{server.address}:5432/postgres?sslmode=disable"
    bao.write(f"{at}/config/main", plugin_name="postgresql-database-plugin", allowed_roles="*", connection_url=url,
              username=postgres.ADMINISTRATOR, password=postgres.PASSWORD, password_authentication="scram-sha-256")


def database_role(bao: OpenBao, at: str, name: str, ttl: str = "1h", most: str = "24h") -> None:
    """What database/creds/NAME gives."""
    bao.write(f"{at}/roles/{name}", db_name="main", creation_statements=[ROLE], revocation_statements=[DROP],
              default_ttl=ttl, max_ttl=most)


def static_role(bao: OpenBao, at: str, name: str, server: postgres.Postgres, period: str = "1h") -> None:
    """A role that is there already, and whose password the server changes: database/static-creds/NAME."""
    server.sql(f'CREATE ROLE "{name}" LOGIN')
    bao.write(f"{at}/static-roles/{name}", db_name="main", username=name, rotation_period=period)


def pki(bao: OpenBao, at: str, role: str, domain: str = "test", ttl: str = "1h", leased: bool = False) -> str:
    """Certificates of a CA of its own, which is returned."""
    mount(bao, "pki", at)
    bao.write(f"sys/mounts/{at}/tune", max_lease_ttl="240h")
    root: str = bao.write(f"{at}/root/generate/internal", common_name=f"{at} CA", ttl="240h", key_type="ec")["certificate"]
    bao.write(f"{at}/roles/{role}", allowed_domains=[domain], allow_subdomains=True, allow_bare_domains=True,
              key_type="ec", max_ttl=ttl, generate_lease=leased, no_store=False)
    return root


def ssh(bao: OpenBao, at: str, role: str, users: str = "*") -> str:
    """Certificates for keys of people; the CA's public key is returned."""
    mount(bao, "ssh", at)
    public: str = bao.write(f"{at}/config/ca", generate_signing_key=True, key_type="ed25519")["public_key"]
    bao.write(f"{at}/roles/{role}", key_type="ca", allow_user_certificates=True, allowed_users=users, ttl="5m",
              default_extensions={"permit-pty": ""})
    return public


def ssh_passwords(bao: OpenBao, at: str, role: str, user: str, networks: str) -> None:
    """One-time passwords for a user on hosts in these networks; the engine is there."""
    bao.write(f"{at}/roles/{role}", key_type="otp", default_user=user, cidr_list=networks)


def totp(bao: OpenBao, at: str, key: str) -> None:
    """Codes of a generator that it keeps."""
    mount(bao, "totp", at)
    bao.write(f"{at}/keys/{key}", generate=True, issuer="test", account_name=key)


def transit(bao: OpenBao, at: str, key: str) -> None:
    """Encryption with a key that it keeps."""
    mount(bao, "transit", at)
    bao.write(f"{at}/keys/{key}")


def encrypt(bao: OpenBao, at: str, key: str, plain: bytes) -> str:
    """A value as only it can read it."""
    said: str = bao.write(f"{at}/encrypt/{key}", plaintext=base64.b64encode(plain).decode())["ciphertext"]
    return said


# ways to log in


def method(bao: OpenBao, kind: str, at: str) -> str:
    """A way to log in under a name; its accessor."""
    bao.write(f"sys/auth/{at}", type=kind)
    accessor: str = bao.call("GET", "sys/auth")["data"][f"{at}/"]["accessor"]
    return accessor


def approle(bao: OpenBao, at: str, role: str, policies: Sequence[str], **options: Any) -> tuple[str, str]:
    """For hosts: RoleID and SecretID."""
    method(bao, "approle", at)
    bao.write(f"auth/{at}/role/{role}", token_policies=list(policies), **options)
    role_id: str = bao.read(f"auth/{at}/role/{role}/role-id")["role_id"]
    return role_id, secret_id(bao, at, role)


def secret_id(bao: OpenBao, at: str, role: str, **metadata: str) -> str:
    """Another SecretID of a role."""
    said: str = bao.write(f"auth/{at}/role/{role}/secret-id", metadata=json.dumps(metadata))["secret_id"]
    return said


def wrapped_secret_id(bao: OpenBao, at: str, role: str, ttl: str = "120s") -> str:
    """A token to unwrap a SecretID with, once."""
    answer = bao.call("POST", f"auth/{at}/role/{role}/secret-id", {}, headers={"X-Vault-Wrap-TTL": ttl})
    token: str = answer["wrap_info"]["token"]
    return token


def certificates(bao: OpenBao, at: str, role: str, policies: Sequence[str], names: str, **options: Any) -> None:
    """For hosts with a client certificate of the test's CA that has one of these names."""
    method(bao, "cert", at)
    bao.write(f"auth/{at}/certs/{role}", certificate=bao.servers.authority.file.read_text(), allowed_dns_sans=names,
              token_policies=list(policies), **options)


def jwt(bao: OpenBao, at: str, role: str, issuer: Issuer, policies: Sequence[str], subject: str, **options: Any) -> None:
    """For who has a token of an issuer for a subject."""
    method(bao, "jwt", at)
    bao.write(f"auth/{at}/config", jwt_validation_pubkeys=[issuer.public])
    bao.write(f"auth/{at}/role/{role}", role_type="jwt", user_claim="sub", bound_subject=subject,
              bound_audiences=["keybearer"], token_policies=list(policies), **options)


def userpass(bao: OpenBao, at: str, passwords: Mapping[str, str], policies: Sequence[str], **options: Any) -> str:
    """For people; the accessor."""
    accessor = method(bao, "userpass", at)
    for name, password in passwords.items():
        bao.write(f"auth/{at}/users/{name}", password=password, token_policies=list(policies), **options)
    return accessor


def ldap(bao: OpenBao, at: str, server: slapd.Slapd, policies: Mapping[str, Sequence[str]]) -> str:
    """For people of a directory service, whose groups have policies; the accessor."""
    accessor = method(bao, "ldap", at)
    bao.write(f"auth/{at}/config", url=server.url, userdn=f"ou=people,{slapd.SUFFIX}", userattr="uid",
              groupdn=f"ou=groups,{slapd.SUFFIX}", groupfilter="(member={{.UserDN}})", groupattr="cn",
              binddn=slapd.ADMINISTRATOR, bindpass=slapd.PASSWORD)
    for group, names in policies.items():
        bao.write(f"auth/{at}/groups/{group}", policies=list(names))
    return accessor


def second_factor(bao: OpenBao, accessor: str, person: str) -> tuple[str, str]:
    """Who logs in by the method with this accessor needs a code, too: the factor's id, and the person's generator."""
    factor: str = bao.write("identity/mfa/method/totp", issuer="test", period=30, skew=1)["method_id"]
    entity = bao.write("identity/entity", name=f"{person}-{factor}")["id"]
    bao.write("identity/entity-alias", name=person, canonical_id=entity, mount_accessor=accessor)
    url = bao.write("identity/mfa/method/totp/admin-generate", method_id=factor, entity_id=entity)["url"]
    bao.write(f"identity/mfa/login-enforcement/{factor}", mfa_method_ids=[factor], auth_method_accessors=[accessor])
    return factor, parse_qs(urlsplit(url).query)["secret"][0]


def passcode(generator: str, now: float) -> str:
    """What a generator shows at a time (RFC 6238)."""
    key = base64.b32decode(generator + "=" * (-len(generator) % 8))
    mac = hmac.digest(key, int(now // 30).to_bytes(8, "big"), "sha1")
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at:at + 4], 'big') & 0x7fffffff) % 1_000_000:06}"


def limit(bao: OpenBao, name: str, path: str, rate: float) -> None:
    """No more requests a second than this to a path: then 429 with Retry-After."""
    bao.write("sys/quotas/config", enable_rate_limit_response_headers=True)
    bao.write(f"sys/quotas/rate-limit/{name}", path=path, rate=rate, interval="1m")


def kubernetes(bao: OpenBao, at: str, role: str, reviewer: Reviewer, policies: Sequence[str], account: str,
               namespace: str = "default") -> None:
    """For who has a service account's token, which a cluster's API reviews."""
    method(bao, "kubernetes", at)
    authority = bao.servers.authority.file.read_text()
    bao.write(f"auth/{at}/config", kubernetes_host=reviewer.url, kubernetes_ca_cert=authority,
              token_reviewer_jwt=reviewer.own, disable_local_ca_jwt=True)
    bao.write(f"auth/{at}/role/{role}", bound_service_account_names=[account], token_policies=list(policies),
              bound_service_account_namespaces=[namespace])


class Reviewer:
    """Of the API of Kubernetes the one call that OpenBao needs: TokenReview, for tokens that were issued here."""

    def __init__(self, servers: Servers) -> None:
        self._issuer = Issuer()
        self._issued: dict[str, str] = {}
        self.own = self.token("reviewer")
        reviewer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                user = reviewer._issued.get(asked["spec"]["token"])
                status = {"authenticated": bool(user), "audiences": asked["spec"].get("audiences", []),
                          "user": {"username": user, "uid": "1", "groups": []}}
                text = json.dumps({**asked, "status": status}).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = servers.network.within(lambda: HTTPServer((OURS, 0), Handler))
        own = servers.authority.server(servers.authority.certificate("kubernetes.test", OURS))
        self._server.socket = own.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://{OURS}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, account: str, namespace: str = "default") -> str:
        """A service account's token, as it is projected into a pod."""
        user = f"system:serviceaccount:{namespace}:{account}"
        claims = {"aud": ["keybearer"], "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": "1"}}}
        made = self._issuer.token(user, claims=claims)
        self._issued[made] = user
        return made

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Reviewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
