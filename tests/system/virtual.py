# SPDX-License-Identifier: Apache-2.0
"""The same machines under Debian's own kernel, in qemu: ./dev test --vm.

systemd-nspawn shares the builder's kernel. What depends on the kernel (its
version, cgroup v2, mlock, swap, clocks that jump) is tried here once more. And it
has a TPM, which no container has: swtpm keeps one in a folder.
Emulation is enough: a machine is up in half a minute. Commands go in over ssh to
a server of the test's own that knows no PAM, so that it works whatever the test
breaks.
"""

from __future__ import annotations

import functools
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from machine import Machine, MachineError, Run

KERNEL_OPTIONS = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet"

DRIVER_UNIT = """\
[Unit]
Description=The way in for tests
DefaultDependencies=no
After=local-fs.target

[Service]
ExecStartPre=/usr/sbin/ip link set dev eth0 up
ExecStartPre=/usr/sbin/ip address add 10.0.2.15/24 dev eth0
ExecStartPre=/usr/bin/mkdir -p /run/sshd /sys/fs/cgroup/outside
ExecStart=/usr/sbin/sshd -D -f /etc/driver/config
Restart=always

[Install]
WantedBy=multi-user.target
"""

DRIVER_CONFIG = """\
Port 2222
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile none
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
AuthorizedKeysFile /etc/driver/key.pub
MaxSessions 100
"""

IN_CGROUP = 'echo $$ >/sys/fs/cgroup/outside/cgroup.procs && exec "$@"'


@functools.cache
def accelerator(kernel: Path, initrd: Path) -> str:
    """kvm where a kernel really starts with it: some hosts have the device and hang. Else tcg."""
    boot = ["qemu-system-x86_64", "-accel", "kvm", "-m", "512", "-nographic", "-no-reboot", "-net", "none"]
    boot += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 panic=-1"]
    try:
        said = subprocess.run(boot, capture_output=True, stdin=subprocess.DEVNULL, timeout=5).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    return "kvm" if b"Linux version" in said else "tcg"


class VirtualMachine(Machine):
    """A machine with a kernel and a disk of its own, made from the same folders."""

    reboots_with = 0
    patience = 8
    ahead = timedelta()  # how far its clock is ahead of ours when it is switched on

    def __init__(self, run: Run, number: int, lower: Sequence[Path]) -> None:
        super().__init__(run, number, lower)
        self.key = self.folder / "key"
        self.disk = self.folder / "disk.img"
        (self.kernel,) = lower[-1].glob("boot/vmlinuz-*")
        (self.initrd,) = lower[-1].glob("boot/initrd.img-*")
        self._add_driver()
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", self.root, self.disk, "4G"], check=True)
        subprocess.run(["umount", self.root], check=True)
        self.accelerator = accelerator(self.kernel, self.initrd)
        self.port = 0
        self.tpm = self.folder / "tpm"
        self.tpm.mkdir()

    def _add_driver(self) -> None:
        """Puts the way in onto the disk."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        driver = self.root / "etc/driver"
        driver.mkdir()
        shutil.copy(f"{self.key}.pub", driver / "key.pub")
        (driver / "config").write_text(DRIVER_CONFIG)
        units = self.root / "etc/systemd/system"
        (units / "driver.service").write_text(DRIVER_UNIT)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "driver.service").symlink_to("../driver.service")

    def _start_tpm(self) -> list[str]:
        """Its TPM, which lives as long as qemu is connected to it; what makes qemu use it."""
        control = self.tpm / "control"
        subprocess.run(
            ["swtpm", "socket", "--tpm2", "--daemon", "--terminate", "--tpmstate", f"dir={self.tpm}"]
            + ["--ctrl", f"type=unixio,path={control}", "--flags", "startup-clear"],
            check=True,
        )
        words = ["-chardev", f"socket,id=tpm,path={control}", "-tpmdev", "emulator,id=tpm,chardev=tpm"]
        return [*words, "-device", "tpm-tis,tpmdev=tpm"]

    def start(self, timeout: float = 240, environment: Mapping[str, str] = {}) -> None:
        """Boots, and returns when systemd says that all of its start jobs are done."""
        began = time.monotonic()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with open(self.console, "ab") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", self.accelerator]
                + ["-m", "1024", "-smp", "2", "-nographic", "-no-reboot"]
                + ["-rtc", f"base={datetime.now(timezone.utc) + self.ahead:%Y-%m-%dT%H:%M:%S}"]
                + ["-kernel", str(self.kernel), "-initrd", str(self.initrd), "-append", KERNEL_OPTIONS]
                + ["-drive", f"file={self.disk},format=raw,if=virtio,cache=writeback"]
                + self._start_tpm()
                + ["-nic", f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:2222"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        while self.run("true", check=False, timeout=10).returncode:
            if self._process.poll() is not None or time.monotonic() - began > timeout:
                self.kill()
                raise MachineError(f"{self.name} does not boot:\n{self.console.read_text(errors='replace')}")
            time.sleep(0.5)
        self.run("systemctl is-system-running --wait", check=False, timeout=60)
        self.boot_seconds = time.monotonic() - began
        self.check_inside()

    def enter(self, inside: list[str]) -> list[str]:
        """The way into the machine: ssh, one connection for all commands."""
        options = {
            "ControlMaster": "auto",
            "ControlPath": f"{self.folder}/ssh-{self.port}",
            "ControlPersist": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "ConnectTimeout": "20",
            "LogLevel": "ERROR",
        }
        words = ["ssh", "-F", "none", "-i", str(self.key), "-p", str(self.port), "root@127.0.0.1"]
        words += [f"-o{key}={value}" for key, value in options.items()]
        return [*words, shlex.join(["sh", "-c", IN_CGROUP, "sh", *inside])]

    def kill(self) -> None:
        """Ends the machine at once, as a power cut does."""
        subprocess.run([*self.enter([])[:-1], "-O", "exit"], stderr=subprocess.DEVNULL)
        super().kill()

    def freeze(self) -> tuple[Path, ...]:
        """What it wrote is on its disk, and not in a folder."""
        raise MachineError("a virtual machine has no folders to lay others over")
