# SPDX-License-Identifier: Apache-2.0
"""The package comes, stays over upgrades and reboots, and goes, on a host that works before, between and after."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest
from machine import Machine
from package import INSTALL
from service import add, define, keep, service

SOCKETS = ("root", "auth", "encrypted", "plain")
LISTENING = [*(f"keybearer-{name}.socket" for name in SOCKETS), "keybearer-store-local.socket"]
LOGIN = "sshpass -p 'a long word' ssh -o StrictHostKeyChecking=no -o PreferredAuthentications={how} {user}@localhost id -un"

# Where an administrator expects things, and who may touch them: type, mode, owner, path.
PLACES = """
directory 755 root:root /run/keybearer
socket 600 root:root /run/keybearer/root.sock
socket 666 root:root /run/keybearer/auth.sock
socket 600 root:root /run/keybearer/encrypted.sock
socket 600 root:root /run/keybearer/plain.sock
directory 700 root:root /run/keybearer/stores
socket 600 root:root /run/keybearer/stores/local.sock
directory 755 root:root /etc/keybearer
directory 755 root:root /etc/keybearer/credentials.d
directory 755 root:root /etc/keybearer/stores
directory 755 root:root /var/lib/keybearer
directory 755 root:root /var/lib/keybearer/nss
directory 755 root:root /var/lib/keybearer/pki
directory 700 root:root /var/lib/keybearer/log
directory 700 root:root /var/lib/keybearer/keep
directory 700 root:root /var/lib/keybearer/directory
""".strip().splitlines()

# The same package as its next version.
NEWER = """
dpkg-deb --raw-extract /root/keybearer*.deb /root/newer
sed -i 's/^Version: .*/&+newer/' /root/newer/DEBIAN/control
dpkg-deb --root-owner-group --build /root/newer /root/newer.deb
"""

# Does one thing again and again until it is enough; says what was lost, and how often it was done. Units pause longer
# than people: fifty that start without a pause take all of two processors, and then hardly anybody logs in meanwhile.
AGAIN = """\
#!/bin/sh
n=0
while [ ! -e /run/enough ]; do
    pause=1
    case $1 in
    unit) pause=4
        systemctl start load-$2.service ;;
    ssh) sshpass -p 'several long words' ssh -o StrictHostKeyChecking=no -o PreferredAuthentications=password ana@localhost true ;;
    su) echo 'several long words' | pamtester su ana authenticate acct_mgmt open_session close_session
        # what closing comes to is other modules' word: libpam passes it on, though they are optional
        grep -q 'successfully opened a session' /run/load/$1-$2.said ;;
    esac >/run/load/$1-$2.said 2>&1 || { echo "$1 $2 at $(date +%T.%N):"; cat /run/load/$1-$2.said; } >>/run/load/lost
    n=$((n + 1))
    echo $n >/run/load/$1-$2
    sleep $pause
done
"""

# Started once a round: no Restart= mends what was refused.
LOAD = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
LoadCredentialEncrypted=orders.password:/run/keybearer/encrypted.sock
ExecStart=sh -c 'test "$(cat $CREDENTIALS_DIRECTORY/orders.password)" = "hard to guess"'
"""

# What nsswitch.conf says before and after; the rest of the file is never touched.
NSSWITCH = {
    "passwd:         files systemd": "passwd:         files keybearer systemd",
    "passwd: files": "passwd: files keybearer",
    "passwd:\tfiles [NOTFOUND=continue] sss": "passwd:\tfiles [NOTFOUND=continue] keybearer sss",
    "passwd: sss files # both": "passwd: sss files keybearer # both",
    "passwd: files keybearer": "passwd: files keybearer",
    "passwd: compat": "passwd: compat",
}


def login_files(machine: Machine) -> list[str]:
    """Every line that decides how people log in, behind the name of its file."""
    return machine.run("cd /etc && grep -r '' nsswitch.conf pam.d | sort").stdout.splitlines()


def names_us(machine: Machine) -> bool:
    """Whether one of these lines leads to us."""
    return any("keybearer" in line.partition(":")[2] for line in login_files(machine))


def logs_in(machine: Machine, user: str, how: str = "password") -> bool:
    """Whether a person gets in over ssh."""
    result = machine.run(LOGIN.format(user=user, how=how), check=False)
    return result.returncode == 0 and result.stdout.strip() == user


def add_local_person(machine: Machine, name: str) -> None:
    """A person of /etc/passwd, who has nothing to do with us."""
    machine.run(f"useradd --create-home {name} && echo '{name}:a long word' | chpasswd")


@pytest.mark.core
def test_package_puts_everything_in_its_place(machine: Machine) -> None:
    """Sockets listen, broker and keys' folder are up, and each place has its owner and mode."""
    for unit in (*LISTENING, "keybearerd.service", "run-keybearer.mount"):
        assert machine.active(unit), unit
    kind, options = machine.run("findmnt -no FSTYPE,OPTIONS /run/keybearer").stdout.split()
    assert kind == "ramfs" and {"nosuid", "nodev", "noexec"} <= set(options.split(","))
    paths = [line.split()[-1] for line in PLACES]
    assert machine.run(["stat", "-c", "%F %a %U:%G %n", *paths]).stdout.splitlines() == PLACES
    assert machine.run("getent passwd keybearer-local keybearer-vault").stdout.count("\n") == 2
    assert machine.failed_units() == []


def test_installing_leaves_local_people_alone(bare_machine: Machine) -> None:
    """A person of /etc/passwd logs in before, with the package, with all of us dead, and after."""
    add_local_person(bare_machine, "lea")
    assert logs_in(bare_machine, "lea")
    bare_machine.run(INSTALL, timeout=120)
    assert logs_in(bare_machine, "lea")
    bare_machine.run(f"systemctl mask --now keybearerd.service {' '.join(LISTENING)}")
    assert not bare_machine.active("keybearerd.service")
    assert logs_in(bare_machine, "lea")
    bare_machine.run("apt-get purge -qy keybearer")
    assert logs_in(bare_machine, "lea")


def test_setup_is_needed_once(bare_machine: Machine) -> None:
    """Before it nothing of us runs and nothing fails; it says what it did; again, it finds nothing to do."""
    bare_machine.run(INSTALL, timeout=120)
    assert not any(bare_machine.active(unit) for unit in (*LISTENING[:4], "keybearerd.service"))
    assert bare_machine.failed_units() == []
    first = bare_machine.run("keybearer setup").stdout
    assert "made the log\n" in first and "made the local store" in first
    for secret in ("first key of the log", "recovery code of the store", "one-time codes to log in"):
        assert first.count(secret) == 1
    codes = re.findall(r"^ +(?:[0-9A-Z]{5}-){4}[0-9A-Z]{5}$", first, re.MULTILINE)
    assert len(set(codes)) == 8
    assert "keybearer_recovery_codes 8\n" in bare_machine.run("keybearer metrics").stdout
    files = "find /etc /var/lib/keybearer /var/lib/keybearer-store-local -newer /root/mark ! -path '*/log/*' -type f"
    bare_machine.run("sync; touch /root/mark")
    assert bare_machine.run("keybearer setup").stdout == "nothing to do: this host is set up\n"
    assert bare_machine.run(files).stdout == ""


def test_setup_loses_no_secret_to_an_output_that_nobody_reads(bare_machine: Machine) -> None:
    """It says that one was not shown, and the next run makes it anew; a pipe that is closed stops it before."""
    bare_machine.run(INSTALL, timeout=120)
    full = bare_machine.run("keybearer setup >/dev/full", check=False)
    assert full.returncode == 1
    assert "the first key of the log could not be shown (No space left on device) and is lost; run `keybearer setup` again" in full.stderr
    assert bare_machine.run("ls -A /var/lib/keybearer/log").stdout == ""
    closed = bare_machine.run("keybearer setup | sed '/first key of the log/{n;q}'", check=False)
    assert "first key of the log" in closed.stdout
    assert "nobody reads the output any more" in closed.stderr or "could not be shown (Broken pipe)" in closed.stderr
    full = bare_machine.run("keybearer setup >/dev/full", check=False)
    assert full.returncode == 1
    assert "the recovery code of the store could not be shown" in full.stderr
    kinds = [slot["kind"] for slot in json.loads(bare_machine.run("keybearer --json seal list").stdout)]
    assert kinds == ["systemd"]
    last = bare_machine.run("keybearer setup").stdout
    assert "recovery code of the store:\n" in last and "first key" not in last
    assert len(re.findall(r"^ +(?:[0-9A-Z]{5}-){4}[0-9A-Z]{5}$", last, re.MULTILINE)) == 8
    assert bare_machine.run("keybearer setup").stdout == "nothing to do: this host is set up\n"
    bare_machine.run("systemctl restart keybearer-store-local.service")
    assert "sealed" not in bare_machine.run("keybearer status").stdout


def test_setup_with_json_shows_each_secret_when_it_is_made(bare_machine: Machine) -> None:
    """A line each, so that a setup that is killed takes none with it; the next one goes on behind it."""
    bare_machine.run(INSTALL, timeout=120)
    full = bare_machine.run("keybearer --json setup >/dev/full", check=False)
    assert full.returncode == 1
    assert "first key of the log could not be shown" in full.stderr
    killed = "mkfifo /root/out; keybearer --json setup >/root/out & while read -r line; do echo \"$line\"; case $line in " \
        "*'first key'*) kill -9 $!; break;; esac; done </root/out"
    first = [json.loads(line) for line in bare_machine.run(["bash", "-c", killed], check=False).stdout.splitlines()]
    assert first[-1]["secret"] == "first key of the log" and first[-1]["value"]
    assert {"done": "made the log"} in first
    rest = [json.loads(line) for line in bare_machine.run("keybearer --json setup").stdout.splitlines()]
    assert [line["secret"] for line in rest if "secret" in line] == \
        ["recovery code of the store", "one-time codes to log in while the store is away"]
    assert len(rest[-1]["value"]) == 8
    assert bare_machine.run("keybearer --json setup").stdout == '{"done":"nothing to do: this host is set up"}\n'
    bare_machine.run("keybearer seal remove recovery")
    said = [json.loads(line) for line in bare_machine.run("keybearer --json setup").stdout.splitlines()]
    assert [line["secret"] for line in said if "secret" in line] == ["recovery code of the store"]


@pytest.mark.core
def test_store_opens_by_itself_after_a_reboot(fresh_machine: Machine) -> None:
    """What was kept before a reboot is read after it, without anybody who opens the store."""
    fresh_machine.run("keybearer secret put kv/orders password", input="hard to guess\n")
    fresh_machine.reboot()
    assert fresh_machine.run("keybearer secret get kv/orders password").stdout == "hard to guess"
    assert "sealed" not in fresh_machine.run("keybearer status").stdout


def comes_in_by_every_way(machine: Machine) -> None:
    """lea, of /etc/passwd: over ssh, by su, at the console, and as root by sudo."""
    assert logs_in(machine, "lea")
    for user, command, becomes in (("games", "su - lea -c 'id -un'", "lea"), ("lea", "sudo -k id -un", "root")):
        said = machine.dialogue(command, ("assword", "a long word"), user=user)
        assert said.returncode == 0 and said.stdout.split()[-1] == becomes, said.stdout
    said = machine.dialogue("exec login lea", ("assword", "a long word"), (r"[$#] $", "echo I am $(id -un); exit"))
    assert "I am lea" in said.stdout, said.stdout


SYSTEM = "/etc/systemd/system"

# Not written by us, though it has our name; the second has its first line from somewhere else.
OF_OTHERS = {"others.service.d": "[Service]\nNice=1\n", "more.service.d": "# by hand\n# Written by `keybearer unit add`, once\n"}


def put_to_work(machine: Machine) -> None:
    """ana of ours is logged in, and a unit runs with a secret."""
    machine.run("keybearer setup", timeout=120)
    machine.run("keybearer user add ana --password-stdin", input="a long word\n")
    machine.run("keybearer rule add doors who=ana service='sshd su-l login sudo'")
    keep(machine, "orders", password="hard to guess")
    define(machine, "orders-db", "kv/orders", "orders.service")
    service(machine, "orders.service")
    add(machine, "orders.service", "orders-db")
    machine.run("systemctl start orders.service")
    for folder, text in OF_OTHERS.items():
        machine.write(f"{SYSTEM}/{folder}/50-keybearer.conf", text)
    machine.write(f"{SYSTEM}/orders.service.d/mine.conf", "[Service]\nNice=1\n")
    machine.popen(LOGIN.format(user="ana", how="password").replace("id -un", "sleep 600"), stdin=subprocess.DEVNULL)
    machine.wait_for(lambda: machine.run("pgrep -u ana sleep", check=False).returncode == 0, 30, "ana is logged in")


def test_after_remove_and_purge_it_is_the_host_that_it_was(bare_machine: Machine) -> None:
    """Also with people logged in and units at work: the login files are what they were, byte for byte, local people
    come in by every way, and a purge leaves nothing of ours."""
    add_local_person(bare_machine, "lea")
    bare_machine.write("/etc/sudoers.d/lea", "Defaults lecture=never\nlea ALL=(ALL) ALL\n", 0o440)
    before = login_files(bare_machine)
    comes_in_by_every_way(bare_machine)
    bare_machine.run(INSTALL, timeout=120)
    assert names_us(bare_machine)
    put_to_work(bare_machine)
    comes_in_by_every_way(bare_machine)
    files = bare_machine.run("dpkg -L keybearer").stdout.split()
    bare_machine.run("apt-get remove -qy keybearer", timeout=120)
    assert login_files(bare_machine) == before
    comes_in_by_every_way(bare_machine)
    assert bare_machine.run("getent passwd ana", check=False).stdout == "" and not logs_in(bare_machine, "ana")
    assert bare_machine.active("orders.service")  # what runs goes on; it has its secret
    bare_machine.run("apt-get purge -qy keybearer", timeout=120)
    assert login_files(bare_machine) == before
    comes_in_by_every_way(bare_machine)
    assert bare_machine.run(f"ls {SYSTEM}/orders.service.d").stdout.split() == ["mine.conf"]
    assert {folder: bare_machine.read(f"{SYSTEM}/{folder}/50-keybearer.conf") for folder in OF_OTHERS} == OF_OTHERS
    bare_machine.run("systemctl restart orders.service")  # without its credential, and without us
    left = "for path; do [ -d $path ] || [ ! -e $path ] || echo $path; done"
    assert bare_machine.run(["sh", "-c", left, "sh", *files]).stdout == ""
    for folder in ("/etc/keybearer", "/var/lib/keybearer", "/var/lib/keybearer-store-local"):
        assert bare_machine.run(["test", "-e", folder], check=False).returncode == 1, folder
    assert bare_machine.run("findmnt /run/keybearer", check=False).stdout == ""
    assert bare_machine.run("systemctl list-units --all --plain --no-legend 'keybearer*' 'run-keybearer*'").stdout == ""
    assert bare_machine.run("pgrep -a keybearer", check=False).stdout == ""


def test_remove_keeps_what_was_stored(fresh_machine: Machine) -> None:
    """A removed package leaves its data, and finds them when it comes back."""
    fresh_machine.write("/var/lib/keybearer/keep/token", "x")
    fresh_machine.run("apt-get remove -qy keybearer", timeout=120)
    assert not names_us(fresh_machine)
    fresh_machine.run(INSTALL, timeout=120)
    assert fresh_machine.read("/var/lib/keybearer/keep/token") == "x"
    assert fresh_machine.active("keybearerd.service")
    assert names_us(fresh_machine)


@pytest.mark.parametrize("before, after", NSSWITCH.items(), ids=range(len(NSSWITCH)))
def test_nsswitch_is_edited_once_and_undone(own_machine: Machine, before: str, after: str) -> None:
    """Our name stands directly behind files, once; removing the package takes out just that."""
    rest = "# by hand\nhosts: files dns\nshadow: files\n"
    own_machine.write("/etc/nsswitch.conf", f"{before}\n{rest}")
    for _ in range(2):
        own_machine.run("dpkg --install /root/keybearer*.deb", timeout=120)
        assert own_machine.read("/etc/nsswitch.conf") == f"{after}\n{rest}"
    own_machine.run("dpkg --remove keybearer", timeout=120)
    assert own_machine.read("/etc/nsswitch.conf") == f"{before.replace(' keybearer', '')}\n{rest}"


def test_upgrade_refuses_nobody(fresh_machine: Machine) -> None:
    """While the package is replaced, sockets stay the same ones and whoever connects is served."""
    which = "stat -c '%i' /run/keybearer/*.sock /run/keybearer/stores/*.sock"
    before = fresh_machine.run(which).stdout
    pid = fresh_machine.run("systemctl show -P MainPID keybearerd.service").stdout
    connect = "socat -u OPEN:/dev/null UNIX-CONNECT:/run/keybearer/auth.sock || echo refused"
    knock = f"until [ -e /run/enough ]; do {connect}; sleep 0.01; done"
    with fresh_machine.popen(knock, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as knocking:
        fresh_machine.run(f"{INSTALL} --reinstall", timeout=120)
        time.sleep(0.5)
        fresh_machine.run("touch /run/enough")
        output, _ = knocking.communicate(timeout=30)
    assert output == ""
    assert fresh_machine.run(which).stdout == before
    assert fresh_machine.run("systemctl show -P MainPID keybearerd.service").stdout != pid
    assert fresh_machine.failed_units() == []


def begin_load(machine: Machine, **loops: int) -> list[str]:
    """Units that start and people who log in, all the time. The files that count how often."""
    machine.run("keybearer user add ana --password-stdin", input="several long words\n")
    machine.run("keybearer rule add doors who=ana service='sshd su'")
    machine.run("keybearer secret put kv/orders password", input="hard to guess\n")
    machine.write("/etc/keybearer/credentials.d/orders.conf", "[Credential]\nPath=kv/orders\n[Allow]\nUnit=load-*.service\n")
    machine.write("/etc/ssh/sshd_config.d/load.conf", "MaxStartups 100\n")
    machine.write("/root/again", AGAIN, 0o755)
    machine.write("/etc/systemd/system/load-0.service", LOAD)
    machine.run("cd /etc/systemd/system && for i in $(seq 50); do cp load-0.service load-$i.service; done; mkdir /run/load; "
                "systemctl daemon-reload; systemctl reload keybearerd; systemctl reload ssh")
    names = [f"{what} {i}" for what, n in loops.items() for i in range(n)]
    machine.popen("".join(f"/root/again {name} &\n" for name in names) + "wait", stdin=subprocess.DEVNULL)
    return [f"/run/load/{name.replace(' ', '-')}" for name in names]


def rounds(machine: Machine, files: list[str]) -> list[int]:
    """How often each of them was done so far."""
    return [int(n) for n in machine.run(f"cat {' '.join(files)} /dev/null", check=False, timeout=60).stdout.split()]


def test_an_upgrade_under_load_loses_no_start_and_no_login(fresh_machine: Machine) -> None:
    """While 50 units start and 20 people log in, a newer package comes; each of them gets what it asked for."""
    fresh_machine.run(NEWER)
    files = begin_load(fresh_machine, unit=50, ssh=10, su=10)
    try:
        fresh_machine.wait_for(lambda: len(rounds(fresh_machine, files)) == len(files), 240, "a round of everybody")
        before = fresh_machine.run("systemctl show -P MainPID keybearerd keybearer-store-local").stdout
        fresh_machine.run("apt-get install -qy /root/newer.deb", timeout=300)
        done = rounds(fresh_machine, files)
        fresh_machine.wait_for(lambda: all(n > was + 1 for n, was in zip(rounds(fresh_machine, files), done)), 240,
                               "rounds that began after the upgrade")
    finally:
        fresh_machine.run("touch /run/enough", timeout=120)
    after = fresh_machine.run("systemctl show -P MainPID keybearerd keybearer-store-local").stdout
    assert fresh_machine.run("dpkg-query -Wf '${Version}' keybearer").stdout.endswith("+newer")
    assert not set(before.split()) & set(after.split())
    assert fresh_machine.run("cat /run/load/lost", check=False).stdout == ""


@pytest.mark.core
def test_everything_comes_back_after_a_reboot(fresh_machine: Machine) -> None:
    """A reboot, and a power cut, bring the same places up without a hand."""
    fresh_machine.reboot()
    test_package_puts_everything_in_its_place(fresh_machine)
    fresh_machine.run("sync")
    fresh_machine.kill()
    fresh_machine.start()
    test_package_puts_everything_in_its_place(fresh_machine)


@pytest.mark.parametrize("unit, worst", [("keybearer-store-local", 1.2), ("keybearer-store-vault@prod", 1.5), ("keybearerd", 2.0)])
def test_units_are_confined(machine: Machine, unit: str, worst: float) -> None:
    """systemd's own measure of how far a unit is exposed stays below our mark."""
    text = machine.run(f"systemd-analyze security --no-pager {unit}.service").stdout
    match = re.search(r"Overall exposure level for .*: ([0-9.]+)", text)
    assert match, text
    assert float(match[1]) <= worst, text


def test_units_have_no_mistakes(machine: Machine) -> None:
    """systemd understands every line of our units and of our catalog, sysusers and tmpfiles."""
    units = machine.run("dpkg -L keybearer | grep /systemd/system/").stdout.split()
    result = machine.run(["systemd-analyze", "verify", *units], check=False)
    assert result.returncode == 0 and "keybearer" not in result.stderr, result.stderr
    complaints = [m for m in machine.messages("init.scope", "--priority=warning") if "keybearer" in m]
    assert complaints == []


def test_examples_can_be_used_as_they_are(machine: Machine) -> None:
    """What we propose for sshd and sudo is accepted by them."""
    examples = "/usr/share/doc/keybearer/examples"
    machine.run(["visudo", "--check", "--file", f"{examples}/sudoers_keybearer"])
    target = "/etc/ssh/sshd_config.d/keybearer.conf"
    try:
        machine.run(f"cp {examples}/sshd_keybearer.conf {target} && mkdir -p /run/sshd && sshd -t")
        settings = machine.run("sshd -T").stdout.splitlines()
    finally:
        machine.run(["rm", "-f", target])
    assert {"usepam yes", "kbdinteractiveauthentication yes", "passwordauthentication no"} <= set(settings)
