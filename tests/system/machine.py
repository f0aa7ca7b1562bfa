# SPDX-License-Identifier: Apache-2.0
"""A Debian that boots in two seconds: a folder, an overlay on top, systemd-nspawn.

    with Run() as run:
        with run.machine(tree("trixie")) as machine:
            machine.run("systemctl is-system-running")

A Run is one user of this module (a pytest process, a shell). It keeps what it
makes in a folder of its own, holds a lock on it, and mounts in a mount namespace
of its own, so that nothing is left mounted however it ends; what a killed run
left behind is removed by the next one.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
Command = str | Sequence[str]
Result = subprocess.CompletedProcess[str]

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("KEYBEARER_CACHE", "/var/cache/keybearer"))
CGROUPS = Path("/sys/fs/cgroup")
RELEASES = ("trixie", "bookworm")

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
}

MARK = "etc/keybearer-machine"  # a file that holds the machine's name

# Runs the rest of its arguments as the user named first, without PAM.
AS_USER = 'exec setpriv --reuid "$0" --regid "$(id -g "$0")" --init-groups --reset-env -- "$@"'

# Goes into the cgroup named first, then runs the rest.
IN_CGROUP = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


# Runs a shell command on a new terminal that is its own stdin and stdout. login
# hangs the terminal up before it asks: an error while the command still runs.
TERMINAL = """
import os, select, sys, time
pid, terminal = os.forkpty()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", sys.argv[1]])
sources = [terminal, 0]
while True:
    ready = select.select(sources, [], [], 0.1)[0]
    if 0 in ready:
        typed = os.read(0, 4096)
        os.write(terminal, typed) if typed else sources.remove(0)
    try:
        shown = os.read(terminal, 4096) if terminal in ready else b""
    except OSError:
        shown = b""
        time.sleep(0.02)
    if shown:
        os.write(1, shown)
    elif not ready or terminal in ready:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            sys.exit(os.waitstatus_to_exitcode(status))
"""


class MachineError(Exception):
    """A machine did not do what the test needs before it can start testing."""


class CommandError(MachineError):
    """A command in a machine failed; the message holds its output."""

    def __init__(self, command: Command, result: Result) -> None:
        self.result = result
        text = command if isinstance(command, str) else shlex.join(command)
        super().__init__(f"exit {result.returncode}: {text}\n{result.stdout}{result.stderr}".rstrip())


def tree(release: str, kind: str = "machine") -> Path:
    """The folder of a whole Debian, made now if it is not in the cache."""
    made = subprocess.run([HERE / "make-tree", kind, release], stdout=subprocess.PIPE, text=True)
    if made.returncode:
        raise MachineError(f"no {kind} tree of {release}")
    return Path(made.stdout.strip())


def wait_for(condition: Callable[[], T], timeout: float = 10, what: str = "") -> T:
    """Asks again until the answer is true, and returns it; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    pause = 0.02
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise MachineError(f"not within {timeout} s: {what or condition}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def remove_cgroup(name: str) -> None:
    """Ends every process below a cgroup and removes it."""
    top = CGROUPS / name
    with contextlib.suppress(OSError):
        (top / "cgroup.kill").write_text("1")
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(MachineError):
            wait_for(lambda folder=folder: _rmdir(Path(folder)), 3)  # type: ignore[misc]


def _rmdir(folder: Path) -> bool:
    """True once a cgroup is gone; it cannot go while a dying process is in it."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def private_mounts() -> None:
    """From here on, what this process mounts is seen by it and its children only.

    They also see a pure cgroup v2, as Debian's own hosts have it, whatever the
    builder mounts there (hybrid trees, or none at all).
    """
    newns = 0x00020000
    if ctypes.CDLL(None, use_errno=True).unshare(newns):
        raise OSError(ctypes.get_errno(), "cannot leave the mount namespace: must be root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", CGROUPS], check=True)


class Run:
    """One user of machines: its folder, its lock, and everything it started."""

    def __init__(self) -> None:
        runs = CACHE / "run"
        runs.mkdir(parents=True, exist_ok=True)
        private_mounts()
        self._sweep(runs)
        self.name = f"keybearer-{os.getpid()}-{time.monotonic_ns() % 10**6}"
        self.folder = runs / self.name
        self.folder.mkdir(mode=0o755)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._machines: list[Machine] = []

    @staticmethod
    def _sweep(runs: Path) -> None:
        """Removes what killed runs left: cgroups with processes in them, folders."""
        for folder in runs.iterdir():
            with contextlib.suppress(OSError), open(folder / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for left in CGROUPS.glob(f"{folder.name}-*"):
                    remove_cgroup(left.name)
                shutil.rmtree(folder, ignore_errors=True)

    def machine(self, *lower: Path, boot: bool = True, kind: type[Machine] | None = None,
                plug: Path | None = None) -> Machine:
        """A new machine on an overlay over these folders, the uppermost first; `plug` is of Network.plug()."""
        machine = (kind or Machine)(self, len(self._machines), lower)
        machine.plug = plug
        self._machines.append(machine)
        if boot:
            machine.start()
        return machine

    def close(self) -> None:
        """Ends all machines and removes their folders."""
        for machine in self._machines:
            machine.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Machine:
    """One machine: start and stop it, run commands in it, read its journal."""

    reboots_with = 133  # what systemd-nspawn exits with when its machine wants to boot again
    patience = 1  # how much longer than on real hardware everything may take

    def __init__(self, run: Run, number: int, lower: Sequence[Path]) -> None:
        self.name = f"{run.name}-{number}"
        self.folder = run.folder / str(number)
        self.root = self.folder / "root"
        self.upper = self.folder / "upper"
        self.lower = tuple(lower)
        self.console = self.folder / "console.log"
        self.boot_seconds = 0.0
        self.leader = 0
        self.plug: Path | None = None  # where it is in a network
        self._process: subprocess.Popen[bytes] | None = None
        work = self.folder / "work"
        for folder in (self.root, self.upper / "etc", work):
            folder.mkdir(parents=True)
        (self.upper / MARK).write_text(self.name)
        option = f"lowerdir={':'.join(map(str, lower))},upperdir={self.upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", option, self.root], check=True)

    # life

    def start(self, timeout: float = 60, environment: Mapping[str, str] = {}) -> None:
        """Boots, and returns when systemd says that all of its start jobs are done."""
        began = time.monotonic()
        cgroup = CGROUPS / self.name
        cgroup.mkdir(exist_ok=True)
        path = self.folder / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(self.console, "ab") as console:
            notify.bind(str(path))
            self._process = subprocess.Popen(
                ["sh", "-c", IN_CGROUP, str(cgroup)]
                + ["setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", "--boot", f"--machine={self.name}"]
                + ["--register=no", "--keep-unit", "--notify-ready=yes", "--console=pipe"]
                + self._network_options()
                + ["--timezone=off", "--resolv-conf=off", "--link-journal=no", f"--directory={self.root}"]
                + [f"--setenv={key}={value}" for key, value in environment.items()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, "NOTIFY_SOCKET": str(path)},
            )
            self._wait_until_booted(notify, began + timeout)
        (cgroup / "payload/outside").mkdir(exist_ok=True)
        self.boot_seconds = time.monotonic() - began
        self.check_inside()

    def _network_options(self) -> list[str]:
        """A network of its own with nobody in it, or the place that it was given in one."""
        if not self.plug:
            return ["--private-network"]
        return [f"--network-namespace-path={self.plug}", "--capability=CAP_NET_ADMIN"]

    def check_inside(self) -> None:
        """Before anything is written: are we really inside, and not on the builder?"""
        if self.run(["cat", f"/{MARK}"], check=False).stdout != self.name:
            self.kill()
            raise MachineError(f"commands for {self.name} do not run inside it")

    def _wait_until_booted(self, notify: socket.socket, end: float) -> None:
        """Reads the messages of systemd-nspawn: who is PID 1, and that it is ready."""
        assert self._process
        notify.settimeout(0.2)
        while True:
            with contextlib.suppress(TimeoutError):
                for line in notify.recv(4096).decode().splitlines():
                    key, _, value = line.partition("=")
                    if key == "X_NSPAWN_LEADER_PID":
                        self.leader = int(value)
                    elif key == "READY":
                        return
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise MachineError(f"{self.name} does not boot:\n{self.console.read_text(errors='replace')}")

    def reboot(self, timeout: float = 90) -> None:
        """Restarts as an administrator does; returns when it is up again."""
        self.run("systemctl reboot --no-block", check=False)
        if self._ended(timeout) != self.reboots_with:
            raise MachineError(f"{self.name} went down but did not ask to boot again")
        self.start()

    def stop(self, timeout: float = 90) -> None:
        """Shuts down in good order."""
        if self.running:
            self.run("systemctl poweroff --no-block", check=False)
            self._ended(timeout)

    def kill(self) -> None:
        """Ends the machine at once, as a power cut does."""
        if self._process:
            self._process.kill()
            self._process.wait()
        remove_cgroup(self.name)

    def _ended(self, timeout: float) -> int:
        """The exit code of a machine that is going down by itself; else it is killed."""
        assert self._process
        try:
            return self._process.wait(timeout * self.patience)
        except subprocess.TimeoutExpired:
            raise MachineError(f"{self.name} does not go down within {timeout} s") from None
        finally:
            self.kill()

    @property
    def running(self) -> bool:
        """Whether the machine is up."""
        return self._process is not None and self._process.poll() is None

    def freeze(self) -> tuple[Path, ...]:
        """Shuts down for good; returns folders that new machines can be laid over."""
        self.stop()
        subprocess.run(["umount", self.root], check=True)
        return (self.upper, *self.lower)

    def remove(self) -> None:
        """Ends the machine and removes what it wrote."""
        self.kill()
        subprocess.run(["umount", "--lazy", self.root], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    # commands

    def command(self, command: Command, user: str = "", env: Mapping[str, str] = {}) -> list[str]:
        """The command line on this host that runs a command in the machine."""
        inside = ["sh", "-c", command] if isinstance(command, str) else list(command)
        if user and user != "root":
            inside = ["sh", "-c", AS_USER, user, "env", *(f"{k}={v}" for k, v in env.items()), *inside]
        variables = {**ENVIRONMENT, "HOME": "/root", "USER": "root", **env}
        return self.enter(["env", "-i", "-C", "/", *(f"{key}={value}" for key, value in variables.items()), *inside])

    def enter(self, inside: list[str]) -> list[str]:
        """The way into the machine: its namespaces, and a cgroup beside systemd's, so that we are in no unit."""
        outside = str(CGROUPS / self.name / "payload/outside")
        return ["sh", "-c", IN_CGROUP, outside, "nsenter", "--target", str(self.leader), "--all", "--root", *inside]

    def popen(self, command: Command, user: str = "", env: Mapping[str, str] = {}, **options: Any) -> subprocess.Popen[Any]:
        """Starts a command and returns at once; ends with the machine at the latest."""
        return subprocess.Popen(self.command(command, user, env), start_new_session=True, **options)

    def run(
        self,
        command: Command,
        user: str = "",
        input: str | bytes | None = None,
        timeout: float = 60,
        check: bool = True,
        env: Mapping[str, str] = {},
    ) -> Result:
        """Runs a command (a string goes through sh) and returns exit code, stdout and stderr."""
        data = input.encode() if isinstance(input, str) else input
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.popen(command, user, env, stdin=subprocess.PIPE, **pipes) as process:
            try:
                out, err = process.communicate(data or b"", timeout * self.patience)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        out, err = (text.decode(errors="backslashreplace") for text in (out, err))
        result = Result(process.args, process.returncode, out, err)
        if check and result.returncode:
            raise CommandError(command, result)
        return result

    def dialogue(self, command: str, *answers: tuple[str, str], user: str = "", timeout: float = 30,
                 env: Mapping[str, str] = {}) -> Result:
        """Runs a command on a terminal of its own and answers what it asks.

        An answer is (pattern, text): the text is typed when the pattern is seen in
        what came since the last answer. Returns the exit code and all that was seen.
        login wants to lead the session: "exec login ana".
        """
        end = time.monotonic() + timeout * self.patience
        inside = ["python3", "-c", TERMINAL, command]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "bufsize": 0}
        seen, waiting = "", list(answers)
        start = 0
        with self.popen(inside, user, env, **pipes) as process:
            assert process.stdin and process.stdout
            try:
                while select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                    data = os.read(process.stdout.fileno(), 4096)
                    if not data:
                        break
                    seen += data.decode(errors="backslashreplace").replace("\r\n", "\n")
                    if waiting and re.search(waiting[0][0], seen[start:]):
                        process.stdin.write(f"{waiting.pop(0)[1]}\n".encode())
                        start = len(seen)
                else:
                    raise MachineError(f"not over within {timeout} s: {command}\n{seen}")
                process.stdin.close()
                process.wait(max(1, end - time.monotonic()))
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if waiting:
            raise MachineError(f"never asked for {waiting[0][0]!r}: {command}\n{seen}")
        return Result(process.args, process.returncode, seen, "")

    def systemd_run(self, command: Command, unit: str = "", check: bool = True, input: str | None = None,
                    timeout: float = 60, **properties: str) -> Result:
        """Runs a command as a transient service and returns its result; properties are the unit's."""
        inside = ["sh", "-c", command] if isinstance(command, str) else list(command)
        options = ["--quiet", "--wait", "--pipe", "--collect", *([f"--unit={unit}"] if unit else [])]
        options += [f"--property={key}={value}" for key, value in properties.items()]
        return self.run(["systemd-run", *options, "--", *inside], input=input, timeout=timeout, check=check)

    # files and journal

    def write(self, path: str, data: str | bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        """Makes a file with this content, and the folders above it."""
        script = 'mkdir -p "$(dirname "$0")" && cat >"$0.new" && chown "$1" "$0.new" && chmod "$2" "$0.new" && mv "$0.new" "$0"'
        self.run(["sh", "-c", script, path, owner, f"{mode:o}"], input=data)

    def read(self, path: str) -> str:
        """The text of a file."""
        return self.run(["cat", path]).stdout

    def copy_in(self, source: Path, path: str, mode: int = 0o644) -> None:
        """Copies a file of this host into the machine."""
        self.write(path, source.read_bytes(), mode)

    def copy_out(self, path: str, target: Path) -> None:
        """Copies a file of the machine to this host."""
        with open(target, "wb") as out:
            subprocess.run(self.command(["cat", path]), stdin=subprocess.DEVNULL, stdout=out, check=True)

    def journal(self, unit: str = "", *matches: str) -> list[dict[str, Any]]:
        """The journal's entries as dictionaries, oldest first; matches are FIELD=value or options."""
        self.run("journalctl --sync")
        options = ["--output=json", "--all", "--no-pager", *([f"--unit={unit}"] if unit else [])]
        lines = self.run(["journalctl", *options, *matches], check=False).stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def messages(self, unit: str = "", *matches: str) -> str:
        """The journal's texts, one per line."""
        return "\n".join(str(entry.get("MESSAGE", "")) for entry in self.journal(unit, *matches))

    def active(self, unit: str) -> bool:
        """Whether a unit is active."""
        return self.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0

    def failed_units(self) -> list[str]:
        """Names of the units that failed."""
        lines = self.run("systemctl list-units --failed --plain --no-legend").stdout.splitlines()
        return [line.split()[0] for line in lines if line]

    def wait_for(self, condition: Callable[[], T], timeout: float = 10, what: str = "") -> T:
        """Asks again until the answer is true; see the function of the same name."""
        return wait_for(condition, timeout * self.patience, what)


@contextlib.contextmanager
def one_machine(release: str) -> Iterator[Machine]:
    """A machine for a script that needs no more than one."""
    with Run() as run:
        yield run.machine(tree(release))


if __name__ == "__main__":
    with one_machine(sys.argv[1] if len(sys.argv) > 1 else RELEASES[0]) as only:
        subprocess.run(only.command(["bash"], env={"TERM": os.environ.get("TERM", "dumb")}))
