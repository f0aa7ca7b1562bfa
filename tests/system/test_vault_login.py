# SPDX-License-Identifier: Apache-2.0
"""How a host logs in to a real OpenBao, keeps its token over crash and reboot, and locks nobody out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engines
import pytest
from authority import Issuer
from machine import Machine, Run
from network import Network
from openbao import OpenBao

pytestmark = pytest.mark.servers

UNIT = "keybearer-store-vault@prod"
STATE = "/var/lib/keybearer-store-prod"
FILE = "/etc/keybearer/stores/prod.conf"
SETTINGS = """\
[Store]
Type=vault
[Server]
Address=https://{address}:8200
CaFile=/etc/keybearer/bao-ca.pem
{server}
[Login]
{login}
"""
APPROLE = "Method=approle\nMount={mount}\nRoleIdFile=/etc/keybearer/prod.role-id\nSecretIdFile={file}\n"


@pytest.fixture(scope="module")
def host(run: Run, installed: tuple[Path, ...], network: Network, openbao: OpenBao) -> Iterator[Machine]:
    """A machine with our package, in the servers' network, and a store that is switched on and has no file yet."""
    with run.machine(*installed, plug=network.plug("10.77.0.5")) as it:
        it.copy_in(openbao.servers.authority.file, "/etc/keybearer/bao-ca.pem")
        it.run(f"install -d -o keybearer-vault -g keybearer-vault -m 0700 {STATE}")
        yield it


def use(host: Machine, openbao: OpenBao, login: str, server: str = "", **files: str) -> None:
    """Writes the store's file and those that it names, and begins anew: nothing is kept from before."""
    for path, text in files.items():
        secret(host, path, text)
    text = SETTINGS.format(address=openbao.addresses[0], login=login, server=server)
    host.write(FILE, text, 0o640, "root:keybearer-vault")
    host.run("keybearer config check")
    host.run(f"systemctl stop keybearerd {UNIT}.service; rm -f /var/lib/keybearer/keep/prod")
    host.run(f"systemctl enable -q --now {UNIT}.socket && systemctl start keybearerd")


def secret(host: Machine, path: str, text: str) -> None:
    """A file that is for the store's program."""
    host.write(path, text + "\n", 0o600, "keybearer-vault:keybearer-vault")


def status(host: Machine) -> dict[str, Any]:
    """How the store says it is."""
    (row,) = json.loads(host.run("keybearer store status --store=prod --json").stdout)
    return dict(row)


def logged_in(host: Machine, within: float = 20) -> dict[str, Any]:
    """Waits for a login."""
    def is_open() -> dict[str, Any] | None:
        now = status(host)
        return now if now["state"] == "open" else None

    found = host.wait_for(is_open, within, "a login")
    assert found
    return found


def tokens(openbao: OpenBao, mount: str) -> set[str]:
    """Accessors of the live tokens that came from there."""
    return {accessor for accessor, is_ in openbao.tokens().items() if is_["path"].startswith(f"auth/{mount}/")}


@pytest.mark.both
def test_one_token_lives_on_over_crash_reboot_and_reload(host: Machine, openbao: OpenBao) -> None:
    """A login with a SecretID that is good for one use; the store and the broker are killed, the host boots, a reload."""
    role_id, secret_id = engines.approle(openbao, "once", "host", ["default"], secret_id_num_uses=1, token_ttl="1h")
    use(host, openbao, APPROLE.format(mount="once", file=f"{STATE}/secret-id"), **{
        "/etc/keybearer/prod.role-id": role_id, f"{STATE}/secret-id": secret_id})
    accessor = logged_in(host)["token accessor"]
    assert tokens(openbao, "once") == {accessor}
    host.wait_for(lambda: host.run("test -e /var/lib/keybearer/keep/prod", check=False).returncode == 0, 20, "a kept token")
    time.sleep(6)  # the greeting that has it
    assert secret_id.encode() not in host.run("cat /var/lib/keybearer/keep/prod").stdout.encode()
    for end in (f"systemctl kill -s KILL {UNIT}.service", f"systemctl kill -s KILL keybearerd {UNIT}.service"):
        host.run(end)
        assert logged_in(host, 70)["token accessor"] == accessor
    host.reboot()
    assert logged_in(host, 70)["token accessor"] == accessor
    host.run(f"sed -i 's/^CaFile=.*/&\\nRequestTimeoutSec=7s/' {FILE} && systemctl reload {UNIT}")
    assert logged_in(host)["token accessor"] == accessor
    host.run(f"echo nonsense >>{FILE} && systemctl reload {UNIT}")
    host.wait_for(lambda: "goes on with the settings that it has" in host.messages(f"{UNIT}.service"), 20, "a word about it")
    assert status(host)["state"] == "open"
    assert tokens(openbao, "once") == {accessor}


def test_it_is_renewed_and_replaced_before_it_ends(host: Machine, openbao: OpenBao) -> None:
    """A token of 12 s that may live 30 s: for 45 s there is one at every moment, and never more than two."""
    role_id, secret_id = engines.approle(openbao, "short", "host", ["default"], token_ttl="12s", token_max_ttl="30s")
    use(host, openbao, APPROLE.format(mount="short", file=f"{STATE}/secret-id"), **{
        "/etc/keybearer/prod.role-id": role_id, f"{STATE}/secret-id": secret_id})
    logged_in(host)
    accessors = set()
    end = time.monotonic() + 45
    while time.monotonic() < end:
        now = status(host)
        assert now["state"] == "open", now
        accessors.add(now["token accessor"])
        assert len(tokens(openbao, "short")) <= 2
    assert 2 <= len(accessors) <= 4


def test_a_wrapped_secret_id_is_used_once_and_its_file_removed(host: Machine, openbao: OpenBao) -> None:
    """And the next login is one all the same; a token that wraps something else is left as it is."""
    role_id, _ = engines.approle(openbao, "wrapped", "host", ["default"], token_ttl="1h")
    login = APPROLE.format(mount="wrapped", file=f"{STATE}/secret-id")
    login += "Role=host\nSecretIdWrapped=yes\nRemoveSecretIdFile=yes\n"
    other = openbao.call("POST", "auth/token/create", {"policies": ["default"]}, headers={"X-Vault-Wrap-TTL": "300s"})
    use(host, openbao, login, **{"/etc/keybearer/prod.role-id": role_id, f"{STATE}/secret-id": other["wrap_info"]["token"]})
    host.wait_for(lambda: "was not made as one of Mount= and Role=" in status(host).get("problem", ""), 20, "a refusal")
    assert "SECURITY: " in host.messages(f"{UNIT}.service")
    assert openbao.call("POST", "sys/wrapping/unwrap", {"token": other["wrap_info"]["token"]})["auth"]  # nobody did before
    secret(host, f"{STATE}/secret-id", engines.wrapped_secret_id(openbao, "wrapped", "host"))
    first = logged_in(host)["token accessor"]
    host.wait_for(lambda: host.run(f"test -e {STATE}/secret-id", check=False).returncode == 1, 140, "a file that is gone")
    openbao.write("auth/token/revoke-accessor", accessor=first)
    host.run(f"systemctl restart {UNIT}.service")
    assert logged_in(host, 70)["token accessor"] != first


def test_a_wrong_secret_id_locks_nobody_out(host: Machine, openbao: OpenBao) -> None:
    """Not even by restarts; and the right one is taken at once."""
    role_id, secret_id = engines.approle(openbao, "guess", "host", ["default"], token_ttl="1h")
    use(host, openbao, APPROLE.format(mount="guess", file=f"{STATE}/secret-id"), **{
        "/etc/keybearer/prod.role-id": role_id, f"{STATE}/secret-id": "00000000-0000-0000-0000-000000000000"})
    host.wait_for(lambda: "put a new SecretID there" in status(host).get("problem", ""), 20, "a refusal")
    time.sleep(8)  # a second try, and a greeting that has it kept
    for _ in range(6):
        host.run(f"systemctl restart {UNIT}.service")
        host.run("systemctl restart keybearerd")
        host.wait_for(lambda: "was refused before" in status(host).get("problem", ""), 20, "one that waits")
    secret(host, f"{STATE}/secret-id", secret_id)
    logged_in(host)
    assert secret_id not in host.messages() and "00000000-0000" not in host.messages()


def test_each_other_method_logs_in(host: Machine, openbao: OpenBao) -> None:
    """A client certificate, a JWT, and a token from a file."""
    engines.certificates(openbao, "host-cert", "host", ["default"], "host.test", token_ttl="1h")
    own = openbao.servers.authority.certificate("host.test")
    secret(host, f"{STATE}/host.pem", own.certificate.read_text() + own.key.read_text())
    use(host, openbao, "Method=cert\nMount=host-cert\nRole=host\n", server=f"ClientCertificate={STATE}/host.pem\nClientKey={STATE}/host.pem\n")
    assert logged_in(host)["login"] == "cert"
    issuer = Issuer()
    engines.jwt(openbao, "host-jwt", "host", issuer, ["default"], "host-1", token_ttl="1h")
    use(host, openbao, f"Method=jwt\nMount=host-jwt\nRole=host\nJwtFile={STATE}/jwt\n", **{f"{STATE}/jwt": issuer.token("host-1")})
    assert logged_in(host)["login"] == "jwt"
    token = openbao.call("POST", "auth/token/create", {"policies": ["default"], "ttl": "1h"})["auth"]
    use(host, openbao, f"Method=token\nTokenFile={STATE}/token\n", **{f"{STATE}/token": token["client_token"]})
    assert logged_in(host)["token accessor"] == token["accessor"]
    openbao.write("auth/token/revoke-accessor", accessor=token["accessor"])
    another = openbao.call("POST", "auth/token/create", {"policies": ["default"], "ttl": "1h"})["auth"]
    secret(host, f"{STATE}/token", another["client_token"])
    host.wait_for(lambda: bool(status(host).get("token accessor") == another["accessor"]), 45, "the other token")
