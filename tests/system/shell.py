# SPDX-License-Identifier: Apache-2.0
"""A root shell on a throw-away machine with our package: ./dev shell [RELEASE]."""

from __future__ import annotations

import os
import subprocess
import sys

from machine import RELEASES, Machine, Run, tree
from package import install


def step_inside(machine: Machine) -> int:
    """Gives this terminal to a shell in the machine until the shell ends."""
    shell = ["script", "--quiet", "--return", "--command", "exec bash --login", "/dev/null"]
    return subprocess.run(machine.command(shell, env={"TERM": os.environ.get("TERM", "dumb")})).returncode


def main() -> int:
    release = sys.argv[1] if len(sys.argv) > 1 else RELEASES[0]
    with Run() as run:
        machine = run.machine(tree(release))
        install(machine, release)
        print(f"{release} with our package, up in {machine.boot_seconds:.1f} s. It is gone when you leave (exit).")
        return step_inside(machine)


if __name__ == "__main__":
    sys.exit(main())
