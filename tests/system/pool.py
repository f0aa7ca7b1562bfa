# SPDX-License-Identifier: Apache-2.0
"""A service with a pool of connections to a PostgreSQL, for a machine that has psql: no test, but what tests look at.

    pool.py ADDRESS CREDENTIAL DRAIN     with $KEYBEARER_CREDENTIALS; SIGHUP: read them anew
    pool.py ADDRESS CREDENTIAL           one that keeps nothing, and reads them for each log-in

Ten times a second it logs in once with what it holds, and asks one of the sessions that it keeps who it is, which a
database does not answer when that role is gone. Each try is a line on stdout: time, OK or FAILED, role, what was said.
After a reload it opens new sessions; the old ones do their work for DRAIN seconds more. Only then has the reload gone
through, which it says where systemd wants to know. What keeps nothing tries again when there is something new to read.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

PSQL = "/usr/lib/postgresql/17/bin/psql"
SESSIONS = 3
EACH = 0.1


def read(folder: int, name: str) -> str:
    """A file of an open folder."""
    with open(name, opener=lambda path, flags: os.open(path, flags, dir_fd=folder)) as it:
        return it.read()


class Login:
    """A user name and a password that belong together: from one folder, whatever `current` leads to meanwhile."""

    def __init__(self, address: str, credential: str) -> None:
        folder = os.open(os.environ["KEYBEARER_CREDENTIALS"], os.O_DIRECTORY)
        self.user, password = (read(folder, f"{credential}.{field}") for field in ("username", "password"))
        self.command = [PSQL, "-qAtX", "-h", address, "-U", self.user, "-d", "postgres"]
        self.environment = {"PGPASSWORD": password, "LANG": "C.UTF-8"}
        os.close(folder)

    def run(self) -> str:
        """One log-in; what the database says of it."""
        words = [*self.command, "-c", "SELECT current_user"]
        return subprocess.run(words, env=self.environment, text=True, stdout=-1, stderr=subprocess.STDOUT).stdout


class Session:
    """A connection that stays."""

    def __init__(self, login: Login) -> None:
        self.user = login.user
        self._psql = subprocess.Popen(login.command, env=login.environment, text=True, stdin=-1, stdout=-1, stderr=subprocess.STDOUT)

    def ask(self) -> str:
        """What it says about who it is."""
        assert self._psql.stdin and self._psql.stdout
        print("SELECT current_user;", file=self._psql.stdin, flush=True)
        return self._psql.stdout.readline()

    def close(self) -> None:
        """Ends it, and waits until it is gone."""
        self._psql.communicate()


class Pool:
    """The sessions, and what to open more with."""

    def __init__(self, address: str, credential: str, drain: float) -> None:
        self._what = (address, credential)
        self._drain = drain
        self._turn = 0
        self._until = 0.0
        self._old: list[Session] = []
        self._login = Login(*self._what)
        self._sessions = [Session(self._login) for _ in range(SESSIONS)]
        tell("READY=1")

    def reload(self) -> None:
        """New sessions, and no new work for the old ones."""
        tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._login = Login(*self._what)
        self._old += self._sessions
        self._sessions = [Session(self._login) for _ in range(SESSIONS)]
        self._until = time.monotonic() + self._drain

    def work(self) -> None:
        """One log-in, and one session of each sort."""
        self._turn += 1
        note(self._login.user, self._login.run())
        for sessions in (self._sessions, self._old):
            if sessions:
                session = sessions[self._turn % len(sessions)]
                note(session.user, session.ask())
        if self._old and time.monotonic() >= self._until:
            while self._old:
                self._old.pop().close()
            tell("READY=1")


class Reader:
    """Keeps nothing."""

    def __init__(self, address: str, credential: str) -> None:
        self._what = (address, credential)

    def reload(self) -> None:
        """There is nothing to read anew."""

    def work(self) -> None:
        """One log-in with what it holds now. That it was replaced meanwhile is no failure."""
        login = Login(*self._what)
        said = login.run()
        if said == f"{login.user}\n" or login.environment == Login(*self._what).environment:
            note(login.user, said)


def note(user: str, said: str) -> None:
    """Writes down what came of a try."""
    verdict = "OK" if said == f"{user}\n" else "FAILED"
    print(f"{time.time():.2f} {verdict} {user} {said.strip()!r}", flush=True)


def tell(what: str) -> None:
    """Tells systemd, where it listens."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as it:
            it.sendto(what.encode(), path.replace("@", "\0", 1) if path[0] == "@" else path)


def main() -> None:
    hangups = []
    signal.signal(signal.SIGHUP, lambda *_: hangups.append(1))
    address, credential, *drain = sys.argv[1:]
    pool: Pool | Reader = Pool(address, credential, float(drain[0])) if drain else Reader(address, credential)
    following = time.monotonic()
    while True:
        if hangups:
            hangups.clear()
            pool.reload()
        pool.work()
        following = max(following + EACH, time.monotonic())
        time.sleep(max(0.0, following - time.monotonic()))


if __name__ == "__main__":
    main()
