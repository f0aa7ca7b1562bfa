# SPDX-License-Identifier: Apache-2.0
"""How each section of figures is measured, on a booted machine with our package and what others use."""

from __future__ import annotations

import re
from pathlib import Path

from figures import Sample, Samples, by_name, from_turns
from machine import Machine
from service import add, define, keep

TOP = Path(__file__).resolve().parents[2]
TOOLS = "/usr/local/libexec"  # nothing hides it from a unit
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
PASSWORD = "several long words"

FIRST_ID = 65536
PEOPLE = 10000


def copy_tools(machine: Machine) -> None:
    """Puts the programs that measure into the machine."""
    built = TOP / "build/gcc/tests/bench"
    for name in ("nss", "request", "logins"):
        machine.copy_in(built / name, f"{TOOLS}/{name}", 0o755)
    machine.copy_in(built / "libnss_constant.so.2", f"{LIBRARIES}/libnss_constant.so.2")


# --- names: 10,000 people in each source ---

NAME_TURNS = 9

# figure: row of the driver, our source, the other one, calls of ours, calls of the other
NAMES = {
    "person": ("person-by-name", "constant", 20000),
    "person-id": ("person-by-id", "constant", 20000),
    "nobody": ("nobody", "constant", 20000),
    "group": ("group-by-name", "constant", 20000),
    "groups": ("groups-of-person", "constant", 20000),
    "person-files": ("person-by-name", "files", 50),
    "nobody-files": ("nobody", "files", 50),
    "everybody-files": ("group-of-everybody", "files", 50),
    "person-nscd": ("person-by-name", "nscd", 20000),
    "nobody-nscd": ("nobody", "nscd", 20000),
    "new-nobody-nscd": ("new-nobody", "nscd", 50),
}


def fill_files(machine: Machine) -> None:
    """The same people in /etc/passwd and /etc/group as in our file of names."""
    names = [f"u{i:06}" for i in range(PEOPLE)]
    people = "".join(f"{n}:*:{FIRST_ID + i}:{FIRST_ID + i}:Somebody:/home/{n}:/bin/sh\n" for i, n in enumerate(names))
    groups = "".join(f"{n}:x:{FIRST_ID + i}:\n" for i, n in enumerate(names))
    groups += f"everybody:x:99999:{','.join(names)}\n"
    machine.run("cat >>/etc/passwd", input=people)
    machine.run("cat >>/etc/group", input=groups)


def names(machine: Machine) -> Samples:
    """Name service. This machine is of no other use afterwards."""
    machine.run("systemctl stop keybearerd.service 'keybearer-*.socket'")
    machine.run([f"{TOOLS}/nss", "publish", "/var/lib/keybearer/nss"])
    fill_files(machine)
    for source in ("files", "keybearer", "constant"):
        text = "".join(f"{database}: {source}\n" for database in ("passwd", "group", "initgroups"))
        machine.write(f"/etc/bench/nsswitch.{source}", text)
    machine.run("cp /etc/bench/nsswitch.files /etc/nsswitch.conf && systemctl restart nscd")
    samples: Samples = {key: Sample() for key in NAMES}
    for _ in range(NAME_TURNS):
        for key, (row, other, calls) in NAMES.items():
            ours = one_turn(machine, row, "keybearer", 500 if row == "group-of-everybody" else 20000)
            samples[key].add(ours, one_turn(machine, row, other, calls))
    return samples


# Runs a command where nsswitch.conf names one source, and nobody hears of nscd.
WITH_SOURCE = """\
mount --bind "/etc/bench/nsswitch.$0" /etc/nsswitch.conf && mount -t tmpfs none /run/nscd && exec "$@"
"""


def one_turn(machine: Machine, row: str, source: str, calls: int) -> float:
    """Microseconds per call, in a process of its own, since glibc reads its configuration once."""
    command = [f"{TOOLS}/nss", "measure", row, str(calls)]
    if source != "nscd":
        command = ["unshare", "--mount", "sh", "-c", WITH_SOURCE, source, *command]
    return float(machine.run(command, timeout=120).stdout.split()[0]) / 1000


# --- units ---

REQUEST_TURNS = 21
START_TURNS = 30
HUNDRED_TURNS = 3

ENCRYPTED, PLAIN, FLOOR = "/run/keybearer/encrypted.sock", "/run/keybearer/plain.sock", "/run/floor.sock"

ONESHOT = "[Service]\nType=oneshot\nExecStart=/bin/true\n"

STARTS = {
    "ours": f"LoadCredentialEncrypted=db.password:{ENCRYPTED}",
    "ours-plain": f"LoadCredential=db.password:{PLAIN}",
    "file": "LoadCredential=db.password:/etc/bench/secret",
    "encrypted-file": "LoadCredentialEncrypted=db.password:/etc/bench/secret.cred",
}

# Starts units in turns; prints how long systemctl took for each.
STARTER = """
import subprocess, sys, time
rounds, groups = int(sys.argv[1]), [word.split(",") for word in sys.argv[2:]]
for turn in range(rounds):
    for units in groups:
        begun = time.monotonic()
        subprocess.run(["systemctl", "start", *units], check=True)
        print(units[0].split("@")[0].removesuffix(".service"), time.monotonic() - begun, flush=True)
        subprocess.run(["systemctl", "stop", *units])
"""


def units(machine: Machine) -> Samples:
    """Credentials for services."""
    keep(machine, "db", username="orders", password="hard to guess")
    define(machine, "db", "kv/db", unit="*.service")
    samples = requests(machine)
    samples.update(starts(machine))
    return samples


def keep_together(machine: Machine, *units: str) -> None:
    """Puts units on the first processor, with all their threads.

    The kernel leaves a server that answers at once where the asker is, and wakes another processor for one that takes
    ten microseconds: that costs thirty on a virtual machine, and says nothing about the server.
    """
    for unit in units:
        pid = machine.run(["systemctl", "show", "-P", "MainPID", unit]).stdout.strip()
        machine.run(["taskset", "--all-tasks", "--cpu-list", "--pid", "0", pid])


def requests(machine: Machine) -> Samples:
    """The road alone, without systemd's part; the answer of the floor is as long as ours."""
    unit = "asker.service"
    once = machine.systemd_run([f"{TOOLS}/request", "once", "0", unit, ENCRYPTED, "db.password"], unit=unit)
    machine.run(["systemd-run", "--unit=floor", "--collect", f"{TOOLS}/request", "serve", FLOOR, once.stdout.split()[0]])
    machine.wait_for(lambda: machine.run(["test", "-S", FLOOR], check=False).returncode == 0, what="the floor")
    keep_together(machine, "floor.service", "keybearerd.service")
    ask = [f"{TOOLS}/request", "ask", unit, "db.password", str(REQUEST_TURNS), "300", FLOOR, ENCRYPTED, PLAIN]
    turns = by_name(machine.systemd_run(["taskset", "--cpu-list", "0", *ask], unit=unit).stdout.splitlines())
    machine.run("systemctl stop floor.service; systemctl restart keybearerd.service")
    return {
        "raw-encrypted": from_turns(turns, ENCRYPTED, FLOOR, 1e-3),
        "raw-plain": from_turns(turns, PLAIN, FLOOR, 1e-3),
    }


def starts(machine: Machine) -> Samples:
    """The same unit with the same secret, which comes from elsewhere."""
    machine.write("/etc/bench/secret", "hard to guess", 0o600)
    machine.run("systemd-creds encrypt --with-key=host --name=db.password /etc/bench/secret /etc/bench/secret.cred")
    for name, line in STARTS.items():
        for unit in (f"{name}.service", f"{name}@.service"):
            machine.write(f"/etc/systemd/system/{unit}", f"{ONESHOT}{line}\n")
    machine.run("systemctl daemon-reload")
    single = [f"{name}.service" for name in STARTS]
    hundred = [",".join(f"{name}@{i}.service" for i in range(100)) for name in ("ours", "encrypted-file")]
    one = by_name(run_starter(machine, START_TURNS, single))
    many = by_name(run_starter(machine, HUNDRED_TURNS, hundred))
    return {
        "start-encrypted": from_turns(one, "ours", "encrypted-file", 1e3),
        "start-plain": from_turns(one, "ours-plain", "file", 1e3),
        "start-encrypted-file": from_turns(one, "ours", "file", 1e3),
        "hundred": from_turns(many, "ours", "encrypted-file", 1e3),
    }


def run_starter(machine: Machine, rounds: int, groups: list[str]) -> list[str]:
    """What the starter said, in the machine."""
    return machine.run(["python3", "-c", STARTER, str(rounds), *groups], timeout=300).stdout.splitlines()


# --- logins ---

LOGIN_TURNS = 40

STACK = "".join(f"{kind} required {{module}}\n" for kind in ("auth", "account", "session"))


def logins(machine: Machine) -> Samples:
    """A whole login through libpam: password, account, session; the same stack but for the module."""
    machine.run(["keybearer", "user", "add", "ana", "--password-stdin"], input=f"{PASSWORD}\n")
    machine.run("keybearer rule add bench who=ana service='bench-*'")
    machine.run("useradd lea && chpasswd", input=f"lea:{PASSWORD}\n")
    hash_of_files = machine.run("getent shadow lea").stdout.split(":")[1]
    if not re.match(r"\$y\$j9T\$", hash_of_files):
        raise SystemExit(f"the host hashes as {hash_of_files[:7]}, and the local store as $y$j9T$")
    machine.write("/etc/pam.d/bench-ours", STACK.format(module="pam_keybearer.so"))
    machine.write("/etc/pam.d/bench-unix", STACK.format(module="pam_unix.so"))
    command = [f"{TOOLS}/logins", "turns", str(LOGIN_TURNS), "bench-unix:lea", "bench-ours:ana"]
    lines = machine.run(command, input=f"{PASSWORD}\n", timeout=300).stdout.splitlines()
    return {
        "login": from_turns(by_name(lines, 1), "bench-ours", "bench-unix", 1e-3),
        "login-auth": from_turns(by_name(lines, 2), "bench-ours", "bench-unix", 1e-3),
    }


# --- processes ---

READY_TURNS = 9
OURS = ("keybearerd.service", "keybearer-store-local.service")


def processes(machine: Machine) -> Samples:
    """Memory and start."""
    return {
        "ready": ready(machine),
        "memory-idle": memory(machine),
        "memory-1000": memory_with_grants(machine, 1000),
    }


def pss(machine: Machine, *names: str) -> float:
    """MiB of all processes of some units, what is shared with others divided among them."""
    total = 0
    for name in names:
        pid = machine.run(["systemctl", "show", "-P", "MainPID", name]).stdout.strip()
        found = re.search(r"^Pss: +(\d+) kB", machine.read(f"/proc/{pid}/smaps_rollup"), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total / 1024


def memory(machine: Machine) -> Sample:
    """Ours beside a daemon that everybody has."""
    sample = Sample()
    sample.add(pss(machine, *OURS), pss(machine, "systemd-journald.service"))
    return sample


def memory_with_grants(machine: Machine, count: int) -> Sample:
    """The same while so many grants live."""
    keep(machine, "many", value="hard to guess")
    script = 'for i in $(seq "$0"); do printf "[Credential]\\nPath=kv/many\\n[Allow]\\nUnit=holder.service\\n"'
    script += " >/etc/keybearer/credentials.d/many-$i.conf; done"
    machine.run(["sh", "-c", script, str(count)])
    machine.run("systemctl reload keybearerd.service")
    ask = " ".join(f"many-{i}" for i in range(1, count + 1))
    program = f"{TOOLS}/request once 0 holder.service {ENCRYPTED} {ask} >/run/held; exec sleep infinity"
    machine.write("/run/holder", f"#!/bin/sh\n{program}\n", 0o755)
    machine.write("/etc/systemd/system/holder.service", "[Service]\nExecStart=/bin/sh /run/holder\n")
    machine.run("systemctl daemon-reload; systemctl start holder.service")
    held = ["cat", "/run/held"]  # the unit makes it
    machine.wait_for(lambda: machine.run(held, check=False).stdout.count("\n") == count, 120, f"{count} grants")
    if re.search("^0 ", machine.read("/run/held"), re.MULTILINE):
        raise SystemExit("the broker refused one of the grants")
    sample = memory(machine)
    machine.run("systemctl stop holder.service; rm /etc/keybearer/credentials.d/many-*")
    machine.run("systemctl reload keybearerd.service")
    return sample


def ready(machine: Machine) -> Sample:
    """From the fork to READY=1, by systemd's clock; the floor is our unit with a program that only says so."""
    unit = machine.run("systemctl cat keybearerd.service").stdout
    unit = re.sub(r"^ExecStart=.*", f"ExecStart={TOOLS}/request ready", unit, flags=re.MULTILINE)
    unit = re.sub(r"^(Sockets|Type|WatchdogSec|ExecReload|StateDirectory)=.*\n", "", unit, flags=re.MULTILINE)
    unit = unit.replace("[Service]", "[Service]\nType=notify")
    machine.write("/etc/systemd/system/floor-ready.service", unit)
    machine.run("systemctl daemon-reload")
    sample = Sample()
    for _ in range(READY_TURNS):
        sample.add(time_to_ready(machine, "keybearerd.service"), time_to_ready(machine, "floor-ready.service"))
    machine.run("systemctl stop floor-ready.service")
    return sample


def time_to_ready(machine: Machine, unit: str) -> float:
    """Milliseconds."""
    machine.run(["systemctl", "restart", unit])
    stamps = []
    for name in ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"):
        stamps.append(int(machine.run(["systemctl", "show", "-P", name, unit]).stdout))
    return (stamps[1] - stamps[0]) / 1000
