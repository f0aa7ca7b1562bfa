# SPDX-License-Identifier: Apache-2.0
"""Secrets of a real OpenBao reach units, live as long as these, and are taken back at the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from machine import Machine, Run
from network import Network
from openbao import PORT, OpenBao
from postgres import Postgres
from service import add, define, grants, restart, seen, service

pytestmark = pytest.mark.servers

STORE = """\
[Store]
Type=vault
[Server]
Address=https://{address}:{port}
CaFile=/etc/keybearer/bao-ca.pem
[Login]
Method=approle
Mount=secrets-approle
RoleIdFile=/etc/keybearer/bao.role
SecretIdFile=/etc/keybearer/bao.secret
"""

POLICY = {
    "secrets-kv/data/*": ["read"],
    "secrets-db/creds/*": ["read"],
    "sys/leases/renew": ["update"],
    "sys/leases/revoke": ["update"],
    "auth/token/lookup-self": ["read"],
    "auth/token/renew-self": ["update"],
}


@pytest.fixture(scope="module")
def bao(openbao: OpenBao, postgres: Postgres) -> OpenBao:
    """The server, with a kept secret and a role of a database."""
    engines.kv(openbao, "secrets-kv")
    openbao.write("secrets-kv/data/app", data={"word": "open", "deep": {"key": "inside"}})
    engines.database(openbao, "secrets-db", postgres)
    engines.database_role(openbao, "secrets-db", "app", ttl="10s", most="10m")
    openbao.policy("secrets", POLICY)
    return openbao


@pytest.fixture(scope="module")
def host(run: Run, network: Network, installed: tuple[Path, ...], bao: OpenBao) -> Iterator[Machine]:
    """A host with our package, whose second store is that server."""
    role, secret = engines.approle(bao, "secrets-approle", "host", ["secrets"])
    with run.machine(*installed, plug=network.plug("10.77.0.4")) as it:
        it.copy_in(bao.servers.authority.file, "/etc/keybearer/bao-ca.pem")
        text = STORE.format(address=bao.addresses[0], port=PORT)
        for name, content in {"stores/prod.conf": text, "bao.role": role, "bao.secret": secret}.items():
            it.write(f"/etc/keybearer/{name}", content, 0o640)
            it.run(["chown", "root:keybearer-vault", f"/etc/keybearer/{name}"])
        it.run("systemctl enable -q --now keybearer-store-vault@prod.socket && systemctl reload keybearerd")
        yield it


def leases(bao: OpenBao) -> list[str]:
    """Leases of the database that the server knows of."""
    return bao.names("sys/leases/lookup/secrets-db/creds/app")


def roles(postgres: Postgres) -> list[str]:
    """Logins of the database that were made for this host: they are named after its way in."""
    return [role for role in postgres.roles() if role.startswith("v-secrets-")]


def test_a_kept_secret_reaches_a_unit_and_so_does_a_part_of_it(host: Machine) -> None:
    """By its path as on every store, from a mount that is called anything; the part by its pointer."""
    define(host, "word", "secrets-kv/app", "kept.service", "Store=prod\nField.word=word\nField.key=/deep/key")
    service(host, "kept.service")
    add(host, "kept.service", "word")
    restart(host, "kept.service")
    assert seen(host, "kept.service") == {"word.word": "open", "word.key": "inside"}


def test_a_login_of_a_database_lives_as_long_as_the_unit(host: Machine, bao: OpenBao, postgres: Postgres) -> None:
    """Its password lets it in beyond the lease's first end; when it stops, role and lease are gone at once."""
    define(host, "db", "secrets-db/creds/app", "pool.service", "Store=prod\nField.user=username\nField.pass=password")
    service(host, "pool.service")
    add(host, "pool.service", "db")
    restart(host, "pool.service")
    found = seen(host, "pool.service")
    assert postgres.login(found["db.user"], found["db.pass"])
    assert roles(postgres) == [found["db.user"]] and len(leases(bao)) == 1
    time.sleep(15)  # the lease was for 10
    assert postgres.login(found["db.user"], found["db.pass"]) and len(leases(bao)) == 1
    assert [grant["credential"] for grant in grants(host, "pool.service")] == ["db"]
    host.run("systemctl stop pool.service")
    host.wait_for(lambda: roles(postgres) == [], 10, "the role of a stopped unit to go")
    assert leases(bao) == [] and grants(host, "pool.service") == []
