# SPDX-License-Identifier: Apache-2.0
"""A host with a store beside the local one that is a real OpenBao, which it logs in to by AppRole."""

from __future__ import annotations

import json
from typing import Any

import engines
from machine import Machine
from openbao import PORT, OpenBao

PROGRAM = "keybearer-store-vault@prod"

SETTINGS = """\
[Store]
Type=vault
[Server]
Address=https://{address}:{port}
CaFile=/etc/keybearer/bao-ca.pem
{more}[Login]
Method=approle
Mount={mount}
RoleIdFile=/etc/keybearer/{store}.role
SecretIdFile=/etc/keybearer/{store}.secret
"""

# What every host needs, beside what it reads.
OWN = {
    "sys/leases/renew": ["update"],
    "sys/leases/revoke": ["update"],
    "auth/token/lookup-self": ["read"],
    "auth/token/renew-self": ["update"],
}


def enroll(host: Machine, bao: OpenBao, mount: str, role: str, secret: str, store: str = "prod", more: str = "") -> None:
    """Gives the host a store of that name, switches it on, and waits for its login; `more` goes behind its [Server]."""
    host.copy_in(bao.servers.authority.file, "/etc/keybearer/bao-ca.pem")
    text = SETTINGS.format(address=bao.addresses[0], port=PORT, mount=mount, store=store, more=more)
    for path, content in {f"stores/{store}.conf": text, f"{store}.role": role, f"{store}.secret": secret}.items():
        host.write(f"/etc/keybearer/{path}", content, 0o640, "root:keybearer-vault")
    host.run(f"systemctl enable -q --now keybearer-store-vault@{store}.socket && systemctl reload keybearerd")
    host.wait_for(lambda: status(host, store).get("state") == "open", 30, f"a login of {store}")


def approle(host: Machine, bao: OpenBao, mount: str, policies: list[str], store: str = "prod", **options: Any) -> None:
    """The same with a role of its own, under a mount that is made here."""
    role, secret = engines.approle(bao, mount, "host", policies, **options)
    enroll(host, bao, mount, role, secret, store)


def status(host: Machine, store: str = "prod") -> dict[str, str]:
    """What the store says of itself; nothing while it cannot be asked."""
    said = host.run(f"keybearer store status --store={store} --json", check=False)
    return dict(json.loads(said.stdout)[0]) if said.returncode == 0 else {}
