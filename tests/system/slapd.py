# SPDX-License-Identifier: Apache-2.0
"""A real OpenLDAP server in the servers' machine, and the people it knows."""

from __future__ import annotations

from collections.abc import Mapping

from openbao import SHARED, Servers

SUFFIX = "dc=test"
ADMINISTRATOR = f"cn=admin,{SUFFIX}"
PASSWORD = "the directory's own"
PORT = 389

CONFIG = f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "{SUFFIX}"
rootdn "{ADMINISTRATOR}"
rootpw "{PASSWORD}"
directory /var/lib/slapd-test
index uid eq
"""

TOP = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: test
dc: test

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{SUFFIX}
objectClass: organizationalUnit
ou: groups

"""


class Slapd:
    """It, with people and groups as they are at most places."""

    def __init__(self, servers: Servers) -> None:
        self.machine = servers.machine
        self.url = f"ldap://{SHARED}:{PORT}"

    def start(self) -> Slapd:
        """Starts it with nobody in it."""
        self.machine.write("/etc/slapd-test.conf", CONFIG, 0o600)
        self.machine.run("mkdir -p /var/lib/slapd-test")
        self.machine.run(["slapadd", "-q", "-f", "/etc/slapd-test.conf"], input=TOP)
        run = f"systemd-run --quiet --unit=slapd-test /usr/sbin/slapd -d 0 -f /etc/slapd-test.conf -h {self.url}"
        self.machine.run(run)
        self.machine.wait_for(lambda: self.search("(objectClass=organization)"), what="slapd")
        return self

    def search(self, query: str) -> str:
        """What it has, as the administrator sees it."""
        words = ["ldapsearch", "-LLL", "-x", "-H", self.url, "-D", ADMINISTRATOR, "-w", PASSWORD, "-b", SUFFIX, query]
        return self.machine.run(words, check=False).stdout

    def add(self, ldif: str) -> None:
        """Adds entries."""
        self.machine.run(["ldapadd", "-x", "-H", self.url, "-D", ADMINISTRATOR, "-w", PASSWORD], input=ldif)

    def people(self, passwords: Mapping[str, str], group: str) -> None:
        """Adds people, and a group that has all of them."""
        entries = ""
        for name, password in passwords.items():
            entries += f"dn: uid={name},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {name}\n"
            entries += f"cn: {name}\nsn: {name}\nuserPassword: {password}\n\n"
        entries += f"dn: cn={group},ou=groups,{SUFFIX}\nobjectClass: groupOfNames\ncn: {group}\n"
        self.add(entries + "".join(f"member: uid={name},ou=people,{SUFFIX}\n" for name in passwords))
