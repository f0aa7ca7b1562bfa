# SPDX-License-Identifier: Apache-2.0
"""Our package as an administrator gets it: a file in /root, then apt."""

from __future__ import annotations

from pathlib import Path

from machine import Machine, MachineError

TOP = Path(__file__).resolve().parents[2]
INSTALL = "cd /root && apt-get install -qy --no-install-recommends ./keybearer*.deb"


def packages(release: str) -> list[Path]:
    """Our packages for a release, as ./dev deb left them."""
    found = sorted((TOP / "build/deb" / release).glob("keybearer*.deb"))
    if not found:
        raise MachineError(f"no package for {release}: ./dev deb {release}")
    return found


def copy_packages(machine: Machine, release: str) -> None:
    """Puts our packages where an administrator would have downloaded them to."""
    for package in packages(release):
        machine.copy_in(package, f"/root/{package.name}")


def install(machine: Machine, release: str) -> None:
    """Installs our packages and makes the host work."""
    copy_packages(machine, release)
    machine.run(INSTALL, timeout=120)
    machine.run("keybearer setup", timeout=120)
