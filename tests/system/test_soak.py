# SPDX-License-Identifier: Apache-2.0
"""Half an hour of everything at once: nobody is refused, nothing is lost, nothing grows, and nothing is left."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import time
from typing import Any

import pytest
from machine import Machine
from service import add, define, grants, keep, service
from test_journal import complete
from test_login import PASSWORD

pytestmark = pytest.mark.long

SECONDS = int(os.environ.get("KEYBEARER_SOAK_SECONDS", "1500"))
SERVERS = [f"soak-tls@{n}.service" for n in range(10)]
READERS = [f"soak-told@{n}.service" for n in range(5)]
DAEMONS = ("keybearerd.service", "keybearer-store-local.service")

# Has a certificate and its key that belong together, at its start and after each reload.
SERVER = """\
[Service]
Type=exec
ExecStart=/root/server soak-tls %n
ExecReload=/bin/kill -HUP $MAINPID
"""
SERVE = """\
#!/bin/sh
check() {
    cd $KEYBEARER_CREDENTIALS && openssl x509 -in $1.certificate -noout -checkend 1 >/dev/null &&
        test "$(openssl x509 -in $1.certificate -noout -pubkey)" = "$(openssl pkey -in $1.private_key -pubout)" ||
        echo "$2 has no good certificate at $(date +%T)" >>/run/soak/lost
}
trap "check $1 $2" HUP
check $1 $2
while :; do sleep 1; done
"""

# Reads what the store has been given last, or the version before; never of two versions.
READER = """\
[Service]
Type=exec
ExecStart=/root/reader soak-told %n
ExecReload=/bin/kill -HUP $MAINPID
"""
READ = """\
#!/bin/sh
check() {
    cd $KEYBEARER_CREDENTIALS && test "u$(cut -c2- $1.password)" = "$(cat $1.username)" ||
        echo "$2 has two versions at $(date +%T)" >>/run/soak/lost
}
trap "check $1 $2" HUP
check $1 $2
while :; do sleep 1; done
"""

# A start that nothing repeats: what is refused is lost.
ONCE = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=sh -c 'cd $CREDENTIALS_DIRECTORY && test "u$(cut -c2- soak-told.password)" = "$(cat soak-told.username)"'
"""

SSH = "sshpass -p '{password}' ssh -o StrictHostKeyChecking=no -o PreferredAuthentications=password {user}@localhost"

# Does one thing again and again until it is enough; says what was lost, and how often it was done.
AGAIN = f"""\
#!/bin/sh
n=0
while [ ! -e /run/soak/enough ]; do
    case $1 in
    once) systemctl start soak-once@$2.service; pause=1 ;;
    server) systemctl restart soak-tls@$2.service; pause=7 ;;
    ssh) {SSH.format(password=PASSWORD, user="p$2")} 'test -s $KEYBEARER_CREDENTIALS/soak-mine.certificate'; pause=2 ;;
    door) echo '{PASSWORD}' | pamtester door p$2 authenticate acct_mgmt open_session close_session; pause=1 ;;
    wrong) ! echo 'a wrong one' | pamtester door p$2 authenticate; pause=5 ;;
    put) printf "u$n\\np$n\\n" | keybearer secret put kv/told username password; pause=10 ;;
    store) [ -e /run/soak/calm ] || systemctl restart keybearer-store-local.service; pause=20 ;;
    reload) systemctl reload keybearerd.service; pause=30 ;;
    esac >/run/soak/$1-$2.said 2>&1 || {{ echo "$1 $2 at $(date +%T.%N):"; cat /run/soak/$1-$2.said; }} >>/run/soak/lost
    n=$((n + 1))
    echo $n >/run/soak/$1-$2
    sleep $pause
done
"""
LOAD = {"once": 3, "server": 3, "ssh": 2, "door": 2, "wrong": 1, "put": 1, "store": 1, "reload": 1}

# How much more of it there may be at the end, while everything goes on: a share, and so much besides.
MAY_GROW = {"descriptors": (1, 8), "Pss_Anon": (1.2, 1024), "Pss": (1.2, 4096)}

# What the store has handed out and not taken back, and what the services have in their folders.
GIVEN = """
systemctl stop keybearer-store-local.service && cp -aT /var/lib/keybearer-store-local /root/copy &&
    sqlite3 /root/copy/store.db "SELECT serial FROM certificates WHERE revoked = 0 AND not_after > $(date +%s)" | tr A-F a-f | sort
rm -rf /root/copy
"""
HELD = """
for file in /run/keybearer/units/*/current/soak-tls.serial_number; do tr -d ':\\n' <$file; echo; done | tr A-F a-f | sort
"""


def certify(host: Machine, ttl: str, renew_at: str) -> None:
    """Says how long certificates live."""
    more = f"Param.common_name=localhost\nParam.ttl={ttl}"
    define(host, "soak-tls", "pki/issue/web", "soak-tls@*.service", more, f"OnRotate=reload\nOverlap=2s\nRenewAt={renew_at}\nMaxParallel=5")


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with services that have certificates, services that read a kept secret, and five people."""
    host = own_machine
    host.run("mkdir /run/soak")
    for name, text in (("server", SERVE), ("reader", READ), ("again", AGAIN)):
        host.write(f"/root/{name}", text, 0o755)
    host.write("/etc/keybearer/keybearer.conf.d/soak.conf", "[Login]\nLinger=3s\nLockoutAttempts=0\n")
    host.write("/etc/ssh/sshd_config.d/soak.conf", "MaxStartups 100\n")
    host.run("systemctl reload ssh.service")
    people = [f"p{n}" for n in range(5)]
    for user in people:
        host.run(["keybearer", "user", "add", user, "--password-stdin"], input=f"{PASSWORD}\n")
    host.run(["keybearer", "rule", "add", "doors", f"who={' '.join(people)}", "service=sshd door"])
    host.write("/etc/pam.d/door", "".join(f"{kind} required pam_keybearer.so\n" for kind in ("auth", "account", "session")))
    host.run("keybearer ca create hosts && keybearer ca role-set web ca=hosts domains=localhost server=yes ttl=1h")
    certify(host, "60s", "0.4")
    keep(host, "told", username="u0", password="p0")
    define(host, "soak-told", "kv/told", "soak-*.service", rotation="OnRotate=reload\nCheckSec=3s\nOverlap=2s\nMaxParallel=5")
    mine = "[Credential]\nPath=pki/issue/web\nParam.common_name=localhost\nParam.ttl=60s\n[Allow]\nUser=p*\n"
    host.write("/etc/keybearer/credentials.d/soak-mine.conf", mine)
    host.run("systemctl reload keybearerd.service")
    for template, text, names in (
        ("soak-tls@.service", SERVER, ["soak-tls.certificate", "soak-tls.private_key", "soak-tls.serial_number"]),
        ("soak-told@.service", READER, ["soak-told.username", "soak-told.password"]),
        ("soak-once@.service", ONCE, ["soak-told.username", "soak-told.password"]),
    ):
        service(host, template, text)
        add(host, template, *names)
    host.run(["systemctl", "start", *SERVERS, *READERS])
    return host


def size(host: Machine, unit: str) -> dict[str, Any]:
    """How much a unit has, the middle of some looks at it while it works: of its own, and mapped as well, in KiB."""
    pid = host.run(["systemctl", "show", "-P", "MainPID", unit]).stdout.strip()
    found: dict[str, list[int]] = {"descriptors": [], "Pss_Anon": [], "Pss": []}
    for _ in range(9):
        found["descriptors"].append(len(host.run(["ls", f"/proc/{pid}/fd"]).stdout.split()))
        for name, size in re.findall(r"^(Pss|Pss_Anon): +(\d+) kB", host.read(f"/proc/{pid}/smaps_rollup"), re.MULTILINE):
            found[name].append(int(size))
        time.sleep(1)
    return {"pid": pid, **{name: statistics.median(values) for name, values in found.items()}}


def metric(host: Machine, name: str) -> float:
    """One figure of keybearer metrics."""
    found = re.search(rf"^keybearer_{name} (\S+)$", host.run("keybearer metrics").stdout, re.MULTILINE)
    assert found, name
    return float(found[1])


def done(host: Machine) -> dict[str, int]:
    """How often each thing was done."""
    counters = [f"{what}-{n}" for what, count in LOAD.items() for n in range(count)]
    text = host.run(f"cd /run/soak && grep -H '' {' '.join(counters)}", check=False).stdout
    return {line.partition(":")[0]: int(line.partition(":")[2]) for line in text.splitlines()}


def test_a_soak_loses_nothing_and_nothing_grows(host: Machine) -> None:
    """Logins, starts, renewals, new versions and restarts of the store, all the time."""
    began = time.monotonic()
    loops = "".join(f"/root/again {what} {n} &\n" for what, count in LOAD.items() for n in range(count))
    load = host.popen(f"{loops}wait", stdin=subprocess.DEVNULL)
    try:
        time.sleep(SECONDS / 3)
        host.run("touch /run/soak/calm")  # from here on both are one process each
        time.sleep(max(SECONDS / 10, 25))
        sizes = [{unit: size(host, unit) for unit in DAEMONS}]
        while time.monotonic() - began < SECONDS:
            time.sleep(SECONDS / 15)
            sizes.append({unit: size(host, unit) for unit in DAEMONS})
    finally:
        host.run("touch /run/soak/enough")
    load.wait(60)
    times = done(host)
    print(times, *sizes, sep="\n")  # read when it has failed
    assert host.run("cat /run/soak/lost", check=False).stdout == ""
    assert len(times) == sum(LOAD.values()) and min(times.values()) >= SECONDS / 60
    for unit in DAEMONS:
        first, last = sizes[0][unit], sizes[-1][unit]
        assert last["pid"] == first["pid"], f"{unit} is another process"
        for name, (share, more) in MAY_GROW.items():
            assert last[name] <= first[name] * share + more, (unit, name)


def test_after_a_soak_the_log_is_whole(host: Machine) -> None:
    """The chain holds, the journal has each record, and no record was given up."""
    host.run("keybearer audit verify", timeout=300)
    host.wait_for(lambda: complete(host), 60, "every record in the journal")
    assert metric(host, "journal_given_up_total") == metric(host, "log_lost_total") == 0


def test_after_a_soak_the_store_has_given_what_is_held(host: Machine) -> None:
    """Every certificate that is good is in a service's folder; once all have ended, none is good."""
    certify(host, "1h", "2/3")
    host.wait_for(lambda: not grants(host, "p"), 60, "the end of what people had")
    host.wait_for(lambda: len(grants(host, "soak-tls")) == len(SERVERS) and host.run(GIVEN).stdout == host.run(HELD).stdout, 120,
                  "certificates of the store that are those of the services")
    host.run(["systemctl", "stop", *SERVERS, *READERS])
    host.wait_for(lambda: not grants(host), 60, "the end of all grants")
    assert host.run(GIVEN).stdout == ""
    assert host.run("ls /run/keybearer/units /run/keybearer/users").stdout.split() == ["/run/keybearer/units:", "/run/keybearer/users:"]
    assert json.loads(host.run("keybearer session list --json").stdout) == []
    assert [unit for unit in host.failed_units() if "soak" in unit or "keybearer" in unit] == []
