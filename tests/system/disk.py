# SPDX-License-Identifier: Apache-2.0
"""A disk of its own for a folder of a machine, which can go read-only under whoever writes, as disks do that fail."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from machine import Machine

MEGABYTES = 24


class Disk:
    """An ext4 in a file of this host. Services that use the folder must be stopped where it says so.

    with Disk(machine, "/var/lib/keybearer/log") as disk: ...
    """

    def __init__(self, machine: Machine, folder: str) -> None:
        self.machine = machine
        self.folder = folder
        self.image = machine.folder / f"disk{folder.replace('/', '-')}"
        self.loop = ""

    def __enter__(self) -> Disk:
        """Puts it over the folder, with all that was there; services are stopped."""
        with open(self.image, "wb") as image:
            image.truncate(MEGABYTES << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", self.image], check=True)
        made = subprocess.run(["losetup", "--find", "--show", self.image], stdout=subprocess.PIPE, text=True)
        if made.returncode:
            pytest.skip("this host has no loop devices")
        self.loop = made.stdout.strip()
        node = Path(self.loop).stat().st_rdev
        self.machine.run(f"mkdir /mnt/new && mknod {self.node()} b {node >> 8} {node & 0xFF} && mount {self.node()} /mnt/new"
                         f" && cp -aT {self.folder} /mnt/new && umount /mnt/new && rmdir /mnt/new")
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        """Takes it away, and leaves what is on it in the folder; services are stopped."""
        self.machine.run(f"umount {self.folder} && mkdir /mnt/new && mount {self.node()} /mnt/new && cp -aT /mnt/new {self.folder};"
                         f" umount /mnt/new && rmdir /mnt/new; rm {self.node()}", check=False)
        subprocess.run(["losetup", "--detach", self.loop], check=False)

    def node(self) -> str:
        return f"/dev/disk{re.sub('[^a-z]', '-', self.folder)}"

    def mount(self) -> None:
        self.machine.run(f"mount {self.node()} {self.folder}")

    def fail(self) -> None:
        """What an ext4 does when its disk makes an error: from now on nobody can write, also who has a file open."""
        self.machine.run(f"mount -o remount,abort {self.folder}")

    def mend(self) -> None:
        """An administrator checks it and mounts it again; services are stopped."""
        self.machine.run(f"umount {self.folder}")
        check = subprocess.run(["e2fsck", "-f", "-y", self.loop], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert check.returncode < 4, check  # 1: it had to be mended
        self.mount()
