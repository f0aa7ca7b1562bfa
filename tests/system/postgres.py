# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL in the servers' machine, and who can log in to it."""

from __future__ import annotations

from machine import Machine
from openbao import SHARED, Servers

ADMINISTRATOR = "bao"
PASSWORD = "the database's own"


class Postgres:
    """Debian's own cluster of it, reached over the network with passwords."""

    def __init__(self, servers: Servers) -> None:
        self.machine: Machine = servers.machine
        self.address = SHARED

    def start(self) -> Postgres:
        """Starts it, with an administrator who may make roles."""
        version, name = self.machine.run("pg_lsclusters --no-header").stdout.split()[:2]
        folder = f"/etc/postgresql/{version}/{name}"
        settings = f"listen_addresses = '{self.address}'\nfsync = off\nmax_connections = 200\n"
        self.machine.write(f"{folder}/conf.d/test.conf", settings)
        self.machine.run(f"echo 'host all all {self.address}/24 scram-sha-256' >>{folder}/pg_hba.conf")
        self.machine.run(["systemctl", "start", f"postgresql@{version}-{name}"])
        self.sql(f"CREATE ROLE {ADMINISTRATOR} SUPERUSER LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
        return self

    def sql(self, text: str) -> str:
        """What an administrator gets for a statement: values, one line per row."""
        return self.machine.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1"], user="postgres", input=text).stdout

    def login(self, user: str, password: str) -> bool:
        """Whether these let somebody in."""
        words = ["psql", "-qAtX", "-h", self.address, "-U", user, "-d", "postgres", "-c", "SELECT current_user"]
        said = self.machine.run(words, check=False, env={"PGPASSWORD": password})
        return said.stdout == f"{user}\n"

    def roles(self, prefix: str = "v-") -> list[str]:
        """Names of the roles that the store made."""
        return self.sql(f"SELECT rolname FROM pg_roles WHERE rolname LIKE '{prefix}%' ORDER BY 1").split()
