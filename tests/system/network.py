# SPDX-License-Identifier: Apache-2.0
"""A network between machines: a switch in a network namespace, and a cable to each machine.

    with Network(run.folder / "network") as network:
        servers = run.machine(tree("trixie"), plug=network.plug("10.77.0.2"))
        connection = network.connect("10.77.0.2", 22)

The test itself is at 10.77.0.1, on the switch. Nothing of it is seen outside, so two test runs have the same
addresses and never meet. A cable outlives its machine: it is there again at the next boot.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

OURS = "10.77.0.1"  # the test's own address
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class Network:
    """A switch, and what is plugged into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.switch = self._namespace("switch")
        self._ip(self.switch, "link add name switch type bridge")
        self._ip(self.switch, f"address add {OURS}/24 dev switch")
        self._ip(self.switch, "link set dev switch up")

    def _namespace(self, name: str) -> Path:
        """A new network namespace, kept by a mount that ends with the Run's own."""
        path = self.folder / name
        path.touch()
        subprocess.run(["unshare", f"--net={path}", "ip", "link", "set", "dev", "lo", "up"], check=True)
        return path

    @staticmethod
    def _ip(namespace: Path, words: str) -> None:
        subprocess.run(["nsenter", f"--net={namespace}", "ip", *words.split()], check=True)

    def plug(self, address: str, *more: str) -> Path:
        """A place for one machine, which gets these addresses: what Run.machine takes as `plug`."""
        namespace = self._namespace(address)
        cable = f"to-{address.rpartition('.')[2]}"
        self._ip(self.switch, f"link add name {cable} master switch type veth peer name eth0 netns {namespace}")
        self._ip(self.switch, f"link set dev {cable} up")
        for each in (address, *more):
            self._ip(namespace, f"address add {each}/24 dev eth0")
        self._ip(namespace, "link set dev eth0 up")
        return namespace

    def cut(self, plug: Path) -> None:
        """Pulls a machine's cable out: what is sent to it, nobody answers."""
        self._ip(self.switch, f"link set dev to-{plug.name.rpartition('.')[2]} down")

    def mend(self, plug: Path) -> None:
        """Puts it back in."""
        self._ip(self.switch, f"link set dev to-{plug.name.rpartition('.')[2]} up")

    def enter(self) -> None:
        """Moves this thread to the switch: sockets that it makes from now on are there."""
        with open(self.switch) as namespace:
            if LIBC.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot enter the test's network")

    def within(self, do: Callable[[], T]) -> T:
        """Does something at the test's own place in this network, and returns what came of it."""

        def inside() -> T:
            self.enter()
            return do()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(inside).result()

    def connect(self, address: str, port: int, timeout: float = 10) -> socket.socket:
        """A connection from the test to a machine."""
        return self.within(lambda: socket.create_connection((address, port), timeout))

    def close(self) -> None:
        """Ends it, when its machines have ended."""
        for path in self.folder.iterdir():
            subprocess.run(["umount", "--lazy", path], check=True)
            os.unlink(path)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
