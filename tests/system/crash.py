# SPDX-License-Identifier: Apache-2.0
"""A machine whose broker and store die where a test says: built with --enable-crashpoints (docs/HACKING.md)."""

from __future__ import annotations

from dataclasses import dataclass

from machine import Machine
from package import TOP
from service import drop_in


@dataclass(frozen=True)
class Program:
    """One that can be told where to die: by a file that it has to be able to remove."""

    name: str
    unit: str
    switch: str

    def __str__(self) -> str:
        return self.name

    def install(self, machine: Machine, release: str) -> None:
        """Takes the place of the program of the package."""
        machine.copy_in(TOP / f"build/deb/{release}/{self.name}-crash", f"/usr/libexec/keybearer/{self.name}", 0o755)
        drop_in(machine, self.unit, {"Environment": f"KEYBEARER_CRASHPOINT_FILE={self.switch}"})
        machine.run(["systemctl", "restart", self.unit])

    def arm(self, machine: Machine, point: str) -> None:
        """From now on it dies when it comes to this point, once. systemd starts it again as after a first failure."""
        machine.wait_for(lambda: machine.active(self.unit), 30, f"{self.unit} back")
        machine.run(["systemctl", "reset-failed", self.unit])
        machine.write(self.switch, point)

    def died(self, machine: Machine) -> bool:
        """Whether it has come there; if not it does not any more."""
        return machine.run(["rm", self.switch], check=False).returncode != 0


BROKER = Program("keybearerd", "keybearerd.service", "/run/keybearer/crash-at")
STORE = Program("keybearer-store-local", "keybearer-store-local.service", "/var/lib/keybearer-store-local/crash-at")


def crashing(machine: Machine, release: str) -> Machine:
    """The machine, with the programs that can be made to die."""
    for program in (STORE, BROKER):
        program.install(machine, release)
    return machine
