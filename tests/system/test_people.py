# SPDX-License-Identifier: Apache-2.0
"""Who comes in, by which way, with the broker up, dead and frozen: every cell of one table.

The programs are Debian's own, and so is the PAM stack that it makes of our profile. What PAM answered them
is written down inside them (pam-witness.c), and what they did with it is looked at from outside.
"""

from __future__ import annotations

import concurrent.futures
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from machine import Machine, MachineError, Run

# in        both phases succeed, and the program does its work; every other word is a refusal:
# wrong     pam_authenticate() is PAM_AUTH_ERR        denied   pam_acct_mgmt() is PAM_PERM_DENIED
# locked    ... PAM_MAXTRIES                          expired  ... PAM_ACCT_EXPIRED
# away      ... PAM_AUTHINFO_UNAVAIL                  down     ... PAM_AUTHINFO_UNAVAIL
# -         the program does not even ask PAM
#
# Failures lock out passwords, one way in from one host, and nothing else: not a key, not a job.
TABLE = """
up       ssh-password ssh-key  su       sudo     sudo-free cron     systemd-user login
allowed  in           in       in       in       in        in       in           in
denied   denied       denied   denied   denied   denied    denied   denied       denied
disabled wrong        denied   wrong    wrong    denied    denied   denied       wrong
expired  wrong        expired  wrong    wrong    expired   expired  expired      wrong
locked   locked       in       locked   locked   in        in       in           locked
unknown  wrong        -        -        -        -         -        -            wrong
local    in           in       in       in       in        in       in           in
root     in           in       in       in       in        in       in           in

dead     ssh-password ssh-key  su       sudo     sudo-free cron     systemd-user login
allowed  away         down     away     away     down      down     down         away
denied   away         down     away     away     down      down     down         away
disabled away         down     away     away     down      down     down         away
expired  away         down     away     away     down      down     down         away
locked   away         down     away     away     down      down     down         away
unknown  wrong        -        -        -        -         -        -            wrong
local    in           in       in       in       in        in       in           in
root     in           in       in       in       in        in       in           in

frozen   ssh-password ssh-key  su       sudo     sudo-free cron     systemd-user login
allowed  away         down     away     away     down      down     down         away
denied   away         down     away     away     down      down     down         away
disabled away         down     away     away     down      down     down         away
expired  away         down     away     away     down      down     down         away
locked   away         down     away     away     down      down     down         away
unknown  wrong        -        -        -        -         -        -            wrong
local    in           in       in       in       in        in       in           in
root     in           in       in       in       in        in       in           in
"""

# What one phase of PAM may last, in seconds. The module waits 15 and 5 for a broker; a wrong password costs a
# pause of up to 4.5; the rest is for a busy machine. Who is not ours never waits for us.
BOUNDS = {("up", "a"): 15, ("up", "c"): 10, ("dead", "a"): 15, ("dead", "c"): 10, ("frozen", "a"): 30, ("frozen", "c"): 12}
NOT_OURS = {"a": 14, "c": 4.5}

CODES = {("a", 7): "wrong", ("a", 11): "locked", ("a", 9): "away",
         ("c", 6): "denied", ("c", 13): "expired", ("c", 9): "down", ("c", 0): "in"}

PASSWORD = "several long words"
KEY = "/root/key"
DONE = "/run/done"
SOCKETS = " ".join(f"keybearer-{name}.socket" for name in ("root", "auth", "encrypted", "plain", "store-local"))
SERVICES = "keybearerd.service keybearer-store-local.service"
RULE = "service='sshd su sudo cron systemd-user login'"

Cell = tuple[str, str]  # who, by which way


class Person(NamedTuple):
    """Somebody at the door."""

    name: str
    uid: int
    ours: bool = True


class Answer(NamedTuple):
    """What one phase of PAM came to."""

    phase: str
    code: int
    seconds: float


def parse(table: str) -> dict[str, dict[Cell, str]]:
    """The table's cells, by state."""
    states = {}
    for block in table.strip().split("\n\n"):
        rows = [line.split() for line in block.splitlines()]
        (state, *ways), people = rows[0], rows[1:]
        states[state] = {(who, way): word for who, *words in people for way, word in zip(ways, words, strict=True)}
    return states


EXPECTED = parse(TABLE)
WHO = list(dict.fromkeys(who for who, _ in EXPECTED["up"]))


# the ways in: each says whether the program let the person in


def ssh(host: Machine, options: str, address: str, name: str) -> bool:
    """A login from an address of its own, by which its lines are known."""
    command = f"ssh -o StrictHostKeyChecking=no -o NumberOfPasswordPrompts=1 -b {address} {options} {name}@{address} id -un"
    return host.run(f"sshpass -p '{PASSWORD}' {command}", check=False, timeout=120).stdout.strip() == name


def by_password(host: Machine, person: Person) -> bool:
    return ssh(host, "-o PreferredAuthentications=password", "127.0.0.1", person.name)


def by_key(host: Machine, person: Person) -> bool:
    return ssh(host, f"-o PreferredAuthentications=publickey -i {KEY}", "127.0.0.2", person.name)


def su(host: Machine, person: Person) -> bool:
    """By somebody local, who knows the password."""
    said = host.run(["su", person.name, "-c", "id -un"], user="lea", input=f"{PASSWORD}\n", check=False, timeout=120)
    return said.stdout.strip() == person.name


def sudo(host: Machine, person: Person) -> bool:
    """In somebody's own process; who is unknown has none."""
    said = host.run(["sudo", "-S", "-k", "id", "-un"], user=person.name, input=f"{PASSWORD}\n", check=False, timeout=120)
    return said.stdout.strip() == "root"


def sudo_free(host: Machine, person: Person) -> bool:
    """What sudoers gives without a password; -n never asks for one."""
    return host.run(["sudo", "-n", "true"], user=person.name, check=False, timeout=120).returncode == 0


def cron(host: Machine, person: Person) -> bool:
    """A job for "@reboot", since cron has just been started; see begin_jobs()."""
    def over() -> str:
        ran = host.run(["cat", f"{DONE}/{person.name}"], check=False).stdout.strip()
        refused = [line for line in lines(host) if line[:2] == ["cron", person.name] and line[5] != "0"]
        ignored = "unknown" if person.uid == 0 and person.name != "root" else ""
        return ran or ignored or (refused and "refused") or ""

    return host.wait_for(over, 60, f"cron's job of {person.name}") == person.name


def systemd_user(host: Machine, person: Person) -> bool:
    """A person's own services, as they start at boot when there is linger."""
    uid = person.uid or (0 if person.name == "root" else 4242)
    return host.run(f"systemctl start user@{uid}.service", check=False, timeout=120).returncode == 0


def login(host: Machine, person: Person) -> bool:
    """The console."""
    try:
        said = host.dialogue(f"exec login {person.name}", ("assword", PASSWORD), (r"[$#] $", "echo I am $(id -un); exit"), timeout=120)
    except MachineError:
        return False
    return f"I am {person.name}" in said.stdout


WAYS: dict[str, tuple[Callable[[Machine, Person], bool], Callable[[list[str]], bool]]] = {
    "ssh-password": (by_password, lambda line: line[0] == "sshd" and line[2] == "127.0.0.1"),
    "ssh-key": (by_key, lambda line: line[0] == "sshd" and line[2] == "127.0.0.2"),
    "su": (su, lambda line: line[0] == "su"),
    "sudo": (sudo, lambda line: line[0] == "sudo" and line[3] != "-n"),
    "sudo-free": (sudo_free, lambda line: line[0] == "sudo" and line[3] == "-n"),
    "cron": (cron, lambda line: line[0] == "cron"),
    "systemd-user": (systemd_user, lambda line: line[0] == "systemd-user"),
    "login": (login, lambda line: line[0] == "login"),
}


# the machine


def lines(host: Machine) -> list[list[str]]:
    """What the witness has written."""
    return [line.split("\t") for line in host.read("/run/pam-witness").splitlines()]


@pytest.fixture(scope="session")
def witness(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The library that writes down what PAM answers."""
    library = tmp_path_factory.mktemp("people") / "pam-witness.so"
    source = Path(__file__).with_name("pam-witness.c")
    subprocess.run(["cc", "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library.read_bytes()


def make_people(host: Machine) -> dict[str, Person]:
    """One for each row of the table."""
    people = {"allowed": "ana", "denied": "den", "disabled": "dis", "expired": "exp", "locked": "lou"}
    for name in people.values():
        host.run(f"keybearer user add {name} --password-stdin", input=f"{PASSWORD}\n")
    host.run("keybearer user disable dis && keybearer user set exp expires=2020-01-01")
    host.run(f"keybearer rule add doors who='ana dis exp lou' {RULE}")
    host.run(f"useradd --create-home --shell /bin/bash lea && printf 'lea:{PASSWORD}\\nroot:{PASSWORD}\\n' | chpasswd")
    ids = {name: int(host.run(["id", "-u", name]).stdout) for name in (*people.values(), "lea", "root")}
    made = {who: Person(name, ids[name]) for who, name in people.items()}
    return made | {"unknown": Person("ghost", 0, False), "local": Person("lea", ids["lea"], False), "root": Person("root", 0, False)}


def open_doors(host: Machine) -> None:
    """Nothing but what an administrator would set, so that many may knock at once."""
    host.run(f"ssh-keygen -q -t ed25519 -N '' -f {KEY} && cp {KEY}.pub /etc/ssh/keys")
    limits = "MaxStartups 200\n" + ("PerSourcePenalties no\n" if "persourcepenalties" in host.run("sshd -T").stdout else "")
    host.write("/etc/ssh/sshd_config.d/people.conf", f"PermitRootLogin yes\nAuthorizedKeysFile /etc/ssh/keys\n{limits}")
    host.write("/etc/sudoers.d/people", "Defaults lecture=never, passwd_tries=1\nALL ALL=(ALL) ALL\nALL ALL=(ALL) NOPASSWD: /usr/bin/true\n", 0o440)
    host.write("/etc/keybearer/keybearer.conf", "[Login]\nLockoutAttempts=2\n")
    for unit in SERVICES.split():  # what is frozen stays so
        host.write(f"/etc/systemd/system/{unit}.d/people.conf", "[Service]\nWatchdogSec=0\n")
    host.run("systemctl daemon-reload; systemctl restart keybearer-store-local")
    host.run("sed -i 's/^LOGIN_RETRIES.*/LOGIN_RETRIES 1/' /etc/login.defs; systemctl restart keybearerd ssh")


@pytest.fixture(scope="module")
def host(run: Run, installed: tuple[Path, ...], witness: bytes) -> Iterator[Machine]:
    """A machine with the witness in every process."""
    with run.machine(*installed, boot=False) as it:
        (it.root / "usr/lib/pam-witness.so").write_bytes(witness)
        (it.root / "etc/ld.so.preload").write_text("/usr/lib/pam-witness.so\n")
        it.start()
        it.run(f"install -m 666 /dev/null /run/pam-witness; install -d -m 1777 {DONE}")
        open_doors(it)
        yield it


@pytest.fixture(scope="module")
def people(host: Machine) -> dict[str, Person]:
    """One for each row, of whom one has failed too often, by each way that asks for a password."""
    made = make_people(host)
    lou = made["locked"]
    host.run("keybearer user passwd lou --password-stdin", input="another long sentence\n")
    ways = ("ssh-password", "su", "sudo", "login")
    with concurrent.futures.ThreadPoolExecutor(len(ways)) as pool:
        for _ in range(2):
            assert not any(pool.map(lambda way: WAYS[way][0](host, lou), ways))
    host.run("keybearer user passwd lou --password-stdin", input=f"{PASSWORD}\n")
    host.run("systemctl restart keybearerd.service")  # the counters outlive it
    return made


# the states


def begin(host: Machine, state: str) -> None:
    """Brings everything of ours into a state."""
    if state == "dead":
        host.run(f"systemctl mask --runtime {SOCKETS} {SERVICES}; systemctl kill --signal=KILL {SERVICES}; systemctl stop {SOCKETS} {SERVICES}")
    elif state == "frozen":
        host.run(f"systemctl kill --signal=STOP {SERVICES}")


def end(host: Machine, state: str) -> None:
    """And back again."""
    if state == "dead":
        host.run(f"systemctl unmask --runtime {SOCKETS} {SERVICES}; systemctl start {SOCKETS} {SERVICES}")
    elif state == "frozen":
        host.run(f"systemctl kill --signal=CONT {SERVICES}")


def begin_jobs(host: Machine, people: dict[str, Person]) -> None:
    """cron runs what is for "@reboot" when it starts for the first time after a boot: now."""
    host.run(f"rm -f /run/crond.reboot {DONE}/*")
    for person in people.values():
        host.write(f"/etc/cron.d/people-{person.name}", f"@reboot {person.name} id -un >{DONE}/{person.name}\n")
    host.run("systemctl restart cron")


def knock(host: Machine, people: dict[str, Person], ways: list[str]) -> dict[Cell, bool]:
    """Everybody at once, by all of these ways: who was let in."""
    with concurrent.futures.ThreadPoolExecutor(len(people) * len(ways)) as pool:
        jobs = {(who, way): pool.submit(WAYS[way][0], host, person) for way in ways for who, person in people.items()}
        return {cell: job.result() for cell, job in jobs.items()}


def nobody_is_in(host: Machine) -> bool:
    """Ends what is left of sessions, and says whether nothing was: a person's services outlive the last one a little."""
    left = host.run("systemctl list-units --plain --no-legend --state=active,activating,deactivating 'user@*.service' 'session-*.scope'").stdout
    host.run("systemctl stop 'session-*.scope' 'user@*.service'")
    return not left.strip()


def word_of(let_in: bool, answers: list[Answer]) -> str:
    """The table's word for what happened; a program that does not heed PAM has none."""
    if not answers:
        return "in, without PAM" if let_in else "-"
    kinds = {(answer.phase, answer.code) for answer in answers if answer.code} or {("c", 0)}
    word = CODES.get(kinds.pop(), "?") if len(kinds) == 1 else "?"
    return word if let_in == (word == "in") else f"{'in' if let_in else 'out'} after {answers}"


def wrong_cells(host: Machine, people: dict[str, Person], state: str, let_in: dict[Cell, bool]) -> list[str]:
    """What is not as the table has it."""
    wrong, seen = [], lines(host)
    for (who, way), is_in in let_in.items():
        person = people[who]
        own = [line for line in seen if line[1] == person.name and WAYS[way][1](line)]
        answers = [Answer(line[4], int(line[5]), int(line[6]) / 1000) for line in own]
        word = word_of(is_in, answers)
        if word != EXPECTED[state][who, way]:
            wrong.append(f"{state}, {who}, {way}: {word} instead of {EXPECTED[state][who, way]} {answers}")
        for phase, _, seconds in answers:
            if seconds > (BOUNDS[state, phase] if person.ours else NOT_OURS[phase]):
                wrong.append(f"{state}, {who}, {way}: {seconds} s in phase {phase}")
    return wrong


@pytest.mark.parametrize("state", EXPECTED)
def test_every_cell_is_as_the_table_has_it(host: Machine, people: dict[str, Person], state: str) -> None:
    """Where they can get in, jobs and services go first: no session of the same person stands behind them then."""
    waves = [["cron", "systemd-user"], [way for way in WAYS if way not in ("cron", "systemd-user")]]
    wrong: list[str] = []
    begin(host, state)
    try:
        for ways in waves if state == "up" else [[*WAYS]]:
            host.wait_for(lambda: nobody_is_in(host), 30, "the end of all sessions")
            host.run(": >/run/pam-witness")
            if "cron" in ways:
                begin_jobs(host, people)
            wrong += wrong_cells(host, people, state, knock(host, people, ways))
    finally:
        end(host, state)
        host.run("rm -f /etc/cron.d/people-*")
    assert not wrong, "\n".join(wrong)


def test_a_lockout_is_of_one_remote_host(host: Machine, people: dict[str, Person]) -> None:
    """Who guesses from afar does not keep the person out."""
    assert not by_password(host, people["locked"])
    assert ssh(host, "-o PreferredAuthentications=password", "127.0.0.2", people["locked"].name)


def test_root_passes_the_rules_on_the_way_to_somebody(host: Machine, people: dict[str, Person]) -> None:
    """su of root asks for no password; the account decides all the same."""
    for who, word in (("allowed", "in"), ("denied", "denied"), ("disabled", "denied"), ("locked", "in"), ("local", "in")):
        host.run(": >/run/pam-witness")
        said = host.run(["su", people[who].name, "-c", "id -un"], check=False)
        answers = [(line[4], int(line[5])) for line in lines(host)]
        assert CODES[answers[-1]] == word, who
        assert (said.stdout.strip() == people[who].name) == (word == "in"), who


def test_sudo_that_may_not_ask_does_not_wait(host: Machine, people: dict[str, Person]) -> None:
    """sudo -n for what needs a password: refused by sudo, and nobody is asked anything."""
    begin(host, "frozen")
    try:
        said = host.run(["sudo", "-n", "-k", "id"], user=people["allowed"].name, check=False)
    finally:
        end(host, "frozen")
    assert said.returncode != 0 and "password is required" in said.stderr


def test_a_store_that_is_away_locks_nobody_out(host: Machine, people: dict[str, Person]) -> None:
    """sshd answers every question with the password, also the one for a recovery code: that is no failure of the person."""
    host.run("systemctl mask --runtime --now keybearer-store-local.socket keybearer-store-local.service")
    host.run(": >/run/pam-witness")
    try:
        assert not any(by_password(host, people["allowed"]) for _ in range(3))
        assert [(line[4], int(line[5])) for line in lines(host)] == [("a", 9)] * 3
        assert by_key(host, people["allowed"])
        assert not by_key(host, people["denied"])
    finally:
        host.run("systemctl unmask --runtime keybearer-store-local.socket keybearer-store-local.service")
        host.run("systemctl start keybearer-store-local.socket")
    assert by_password(host, people["allowed"])
