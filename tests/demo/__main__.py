# SPDX-License-Identifier: Apache-2.0
"""./dev demo: the steps of steps.py on a machine that is fresh and gone afterwards."""

from __future__ import annotations

import sys

from player import play
from steps import STEPS

# behind player, which finds them
from machine import RELEASES, Run, tree
from package import copy_packages


def main() -> None:
    release = sys.argv[1] if len(sys.argv) > 1 else RELEASES[0]
    with Run() as run:
        machine = run.machine(tree(release))
        copy_packages(machine, release)
        print(f"\nA fresh Debian ({release}), booted in {machine.boot_seconds:.1f} s, with our package in /root.")
        right = play(machine, STEPS)
    print(f"{right} steps, each one checked. To look around yourself: ./dev shell")


main()
