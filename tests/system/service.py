# SPDX-License-Identifier: Apache-2.0
"""Services that start with credentials, and the credentials they start with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from machine import Machine, Result

SEEN = "/run/seen"  # a file per unit: what it found when it started

# Writes down everything in the unit's folder of credentials, and stays.
SHOW = """\
[Service]
Type=exec
ExecStart=/bin/sh -ec 'cd "$CREDENTIALS_DIRECTORY"; for f in *; do echo "$f=$(cat "$f")"; done; echo .; exec sleep infinity'
StandardOutput=truncate:/run/seen/%n
"""


def keep(machine: Machine, path: str, **fields: str) -> None:
    """Puts a secret into the local store."""
    lines = "".join(f"{value}\n" for value in fields.values())
    machine.run(["keybearer", "secret", "put", f"kv/{path}", *fields], input=lines)


def define(machine: Machine, name: str, path: str, unit: str = "", more: str = "", rotation: str = "") -> None:
    """Writes a credential's file, and lets the broker read it."""
    allow = f"[Allow]\nUnit={unit}\n" if unit else ""
    text = f"[Credential]\nPath={path}\n{more}\n{allow}[Rotation]\n{rotation}\n"
    machine.write(f"/etc/keybearer/credentials.d/{name}.conf", text)
    machine.run("systemctl reload keybearerd.service")


def service(machine: Machine, unit: str, text: str = SHOW, more: str = "") -> None:
    """Writes a unit that may get credentials later."""
    machine.run(["mkdir", "-p", SEEN])
    machine.write(f"/etc/systemd/system/{unit}", text + more)


def add(machine: Machine, unit: str, *arguments: str, check: bool = True) -> Result:
    """keybearer unit add, as an administrator types it."""
    return machine.run(["keybearer", "unit", "add", unit, *arguments], check=check)


def restart(machine: Machine, unit: str, check: bool = True) -> Result:
    """Starts a unit anew; its refused starts are not repeated while a test looks at them."""
    return machine.run(["systemctl", "restart", unit], check=check)


def seen(machine: Machine, unit: str) -> dict[str, str]:
    """What a unit of SHOW found, by name."""
    path = f"{SEEN}/{unit}"
    machine.wait_for(lambda: machine.read(path).endswith("\n.\n"), what=f"what {unit} found")
    lines = machine.read(path).splitlines()[:-1]
    return dict(line.split("=", 1) for line in lines)


def show(machine: Machine, unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit."""
    options = [f"--property={name}" for name in names]
    lines = machine.run(["systemctl", "show", *options, "--", unit]).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if line)


def status(machine: Machine, unit: str) -> str:
    """What an administrator sees first when a unit does not run."""
    return machine.run(["systemctl", "status", "--no-pager", "--lines=30", "--full", unit], check=False).stdout


def grants(machine: Machine, consumer: str = "") -> list[dict[str, Any]]:
    """What is handed out now, of everybody or of one."""
    found: list[dict[str, Any]] = json.loads(machine.run("keybearer grant list --json").stdout)
    return [grant for grant in found if not consumer or consumer in grant["consumer"]]


def fails_without_credentials(machine: Machine, unit: str) -> bool:
    """Whether a unit's last start failed as systemd says it when a credential is missing."""
    state = show(machine, unit, "ExecMainStatus", "Result")
    return state == {"ExecMainStatus": "243", "Result": "exit-code"}


def settings(**keys: str) -> str:
    """More lines of a unit's section [Service]."""
    return "".join(f"{key}={value}\n" for key, value in keys.items())


def drop_in(machine: Machine, unit: str, keys: Mapping[str, str], section: str = "Service") -> None:
    """Changes a unit behind what `keybearer unit add` wrote."""
    text = f"[{section}]\n" + settings(**keys)
    machine.write(f"/etc/systemd/system/{unit}.d/zz-test.conf", text)
    machine.run("systemctl daemon-reload")
