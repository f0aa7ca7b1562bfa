# SPDX-License-Identifier: Apache-2.0
"""kill -9 at the worst moments: a unit has exactly what the store issued, or does not start until it has."""

from __future__ import annotations

import json
import os
import random
import re
import time

import pytest
from crash import BROKER, STORE, Program, crashing
from machine import Machine
from service import SEEN, add, define, drop_in, grants, keep, restart, seen, service, show

UNIT, PLAIN = "orders.service", "orders-plain.service"
FOUND = "/run/found"  # a folder per start of the unit, with what it found

# A unit start, in the order of its points. The store is asked once more for what it may have issued already.
START = [(BROKER, point) for point in ("accepted", "fetched", "issued", "recorded", "sending", "sent")]
STORE_START = [(STORE, point) for point in ("fetch-asked", "committing", "committed", "noted", "fetch-answering", "fetch-answered")]

# The end of one.
END = [(BROKER, "revoking"), (BROKER, "revoked")]
STORE_END = [(STORE, point) for point in ("revoke-asked", "committing", "committed", "noted", "revoke-answering", "revoke-answered")]
STORE_END += [(STORE, point) for point in ("crl-asked", "crl-answering")]

# New values for a unit that runs.
ROTATION = [(BROKER, point) for point in ("fetched", "issued", "published", "told", "adopted")]
ROTATION += [(STORE, point) for point in ("fetch-asked", "fetch-answering")]
READ = "/tmp/read"

# Writes down what its folder has, at its start and at every reload.
READER = f"""\
[Service]
Type=exec
ExecStart=/bin/sh -c 'look() {{ cd $KEYBEARER_CREDENTIALS && cat orders-told.*; cd /; }}; \\
    trap "look >>{READ}" HUP; look >{READ}; while :; do sleep 0.1; done'
ExecReload=/bin/kill -HUP $MAINPID
"""

# Keeps what each start found, also of those that should not have come so far. A name without a dot: all of it.
WITNESS = f"""\
[Service]
Type=exec
ExecStart=/bin/sh -ec 'mkdir -p {FOUND}; cd {FOUND}; cp -r "$CREDENTIALS_DIRECTORY" .$INVOCATION_ID; \\
    mv .$INVOCATION_ID $INVOCATION_ID; exec sleep infinity'
"""

# For each start: do certificate, key and number belong together, and what is the number?
PROOF = f"""
cd {FOUND} && for start in *; do
    test "$(openssl x509 -in $start/orders-tls.certificate -noout -pubkey)" = \\
         "$(openssl pkey -in $start/orders-tls.private_key -pubout)" || echo mixed $start
    test "$(openssl x509 -in $start/orders-tls.certificate -noout -serial | tr A-F a-f)" = \\
         "serial=$(tr -d ':\\n' <$start/orders-tls.serial_number)" || echo mixed $start
    echo "issued $(tr -d ':\\n' <$start/orders-tls.serial_number) $(ls $start | wc -l)"
done
"""


@pytest.fixture(scope="module")
def host(own_machine: Machine, release: str) -> Machine:
    """A machine whose broker and store can be told where to die."""
    crashing(own_machine, release)
    own_machine.run("keybearer ca create hosts && keybearer ca role-set web ca=hosts domains=localhost server=yes")
    define(own_machine, "orders-tls", "pki/issue/web", UNIT, "Param.common_name=localhost")
    keep(own_machine, "orders", password="hard to guess")
    define(own_machine, "orders-db", "kv/orders", PLAIN)
    service(own_machine, UNIT, WITNESS)
    service(own_machine, PLAIN)
    add(own_machine, UNIT, "orders-tls")
    add(own_machine, PLAIN, "--plain", "orders-db.password")
    for unit in (UNIT, PLAIN):
        drop_in(own_machine, unit, {"RestartSec": "200ms"})
    return own_machine


def certificates(host: Machine) -> dict[str, bool]:
    """What the store knows to have issued: serial number, and whether it is revoked."""
    rows = json.loads(host.run("keybearer ca certificates hosts --json").stdout)
    return {row["serial"]: bool(row["revoked"]) for row in rows}


def is_listed(host: Machine, serials: set[str]) -> bool:
    """Whether all of these are in the CA's list of revoked certificates."""
    text = host.run("openssl crl -noout -text -in /var/lib/keybearer/pki/*hosts.crl").stdout.lower()
    return all(serial in text for serial in serials)


def start_and_die(host: Machine, unit: str, program: Program, point: str) -> None:
    """Starts the unit with a program that dies once, at this point, and waits until the unit is up."""
    host.run(["systemctl", "reset-failed", unit], check=False)
    program.arm(host, point)
    restart(host, unit, check=False)
    host.wait_for(lambda: host.active(unit), 30, f"{unit}, started again by systemd")
    assert program.died(host), f"nobody came to {point}"


def stop_and_look(host: Machine, serials: set[str]) -> None:
    """Stops the unit; what it had is revoked then, and anybody can see that."""
    host.run(["systemctl", "stop", UNIT])
    host.wait_for(lambda: not grants(host, UNIT), 30, "the end of its grants")
    known = certificates(host)
    assert all(known[serial] for serial in serials), known
    host.wait_for(lambda: is_listed(host, serials), 30, "the list of revoked certificates")


@pytest.mark.parametrize(("program", "point"), START + STORE_START, ids=str)
def test_a_unit_never_starts_with_less_than_was_issued(host: Machine, program: Program, point: str) -> None:
    """Encrypted: every start that got so far found all fields of one certificate that the store knows.

    With a store that dies the first start succeeds, and there is one certificate. With a broker that dies before its
    record is on disk there is one that nobody has the key of: the store has it in its list.
    """
    host.run(["rm", "-rf", FOUND])
    before = set(certificates(host))
    start_and_die(host, UNIT, program, point)
    issued = set(certificates(host)) - before
    newest = f"{FOUND}/{show(host, UNIT, 'InvocationID')['InvocationID']}"
    host.wait_for(lambda: host.run(["test", "-d", newest], check=False).returncode == 0, 30, "what the unit found")
    lines = host.run(PROOF).stdout.splitlines()
    assert all(line.startswith("issued") for line in lines), lines
    found = {line.split()[1] for line in lines}
    assert found <= issued
    assert {line.split()[2] for line in lines} == {"7"}, lines
    if program is STORE:
        assert found == issued and len(lines) == 1 and show(host, UNIT, "NRestarts")["NRestarts"] == "0"
    stop_and_look(host, found)
    unheld = {serial for serial in issued if not certificates(host)[serial]}
    assert len(unheld) == (1 if point == "fetched" else 0)


@pytest.mark.parametrize(("program", "point"), START + [row for row in STORE_START if "fetch" in row[1]], ids=str)
def test_a_plain_secret_can_be_cut_but_is_never_another(host: Machine, program: Program, point: str) -> None:
    """Plain has a gap: a broker that dies before the end leaves less, as the page says; never more or anything else."""
    host.run(["rm", "-f", f"{SEEN}/{PLAIN}"])
    start_and_die(host, PLAIN, program, point)
    found = host.wait_for(lambda: seen(host, PLAIN), what="what the unit found")
    host.run(["systemctl", "stop", PLAIN])
    assert "hard to guess".startswith(found["orders-db.password"])
    if program is STORE or point == "sent":
        assert found == {"orders-db.password": "hard to guess"}


@pytest.mark.parametrize(("program", "point"), END + STORE_END, ids=str)
def test_what_a_unit_had_is_revoked_whoever_dies_meanwhile(host: Machine, program: Program, point: str) -> None:
    """At the end of its invocation, and again after a restart until the store has said so."""
    before = set(certificates(host))
    restart(host, UNIT)
    (serial,) = set(certificates(host)) - before
    program.arm(host, point)
    stop_and_look(host, {serial})
    assert program.died(host), f"nobody came to {point}"


@pytest.fixture(scope="module")
def reader(host: Machine) -> str:
    """A unit that reads its user name and password again whenever it is told to."""
    unit = "orders-told.service"
    keep(host, "told", password="p0", username="u0")
    define(host, "orders-told", "kv/told", unit, rotation="OnRotate=reload\nCheckSec=1s\nOverlap=1s")
    service(host, unit, READER)
    add(host, unit, "orders-told.username", "orders-told.password")
    restart(host, unit)
    host.wait_for(lambda: host.read(READ) == "p0u0", what="the first version")
    return unit


@pytest.mark.parametrize(("program", "point"), ROTATION, ids=str)
def test_new_values_reach_a_unit_together_whoever_dies_meanwhile(host: Machine, reader: str, program: Program, point: str) -> None:
    """It is told until it has the new ones, goes on running, and never reads fields of two versions."""
    number = (ROTATION.index((program, point))) + 1
    pid = show(host, reader, "MainPID")
    program.arm(host, point)
    keep(host, "told", password=f"p{number}", username=f"u{number}")
    host.wait_for(lambda: host.read(READ).endswith(f"p{number}u{number}"), 60, "the new version in the running service")
    host.wait_for(lambda: [grant["state"] for grant in grants(host, reader)] == ["adopted"], 60, "its adoption")
    assert re.fullmatch(r"(p(\d+)u\2)+", host.read(READ)), host.read(READ)
    assert show(host, reader, "MainPID") == pid
    assert program.died(host), f"nobody came to {point}"


# Everything an administrator changes, one after the other; whoever was told that it is done is written down.
LOAD = """
for i in $(seq 60); do
    case $((i % 4)) in
    0) keybearer user add u$i --no-password ;;
    1) printf 'quite long words %s\n' $i | keybearer user passwd ana --password-stdin ;;
    2) keybearer rule add rule$i who=ana service=sshd ;;
    *) printf 'value %s\n' $i | keybearer secret put kv/load/$i value ;;
    esac >/dev/null 2>&1 && echo $i
done >/root/acknowledged
touch /root/enough
"""

# The last password that was acknowledged, or one that came after it.
LOST = """
while read -r i; do
    case $((i % 4)) in
    0) keybearer user show u$i >/dev/null ;;
    1) last=$i ;;
    2) keybearer rule show rule$i >/dev/null ;;
    *) [ "$(keybearer secret get kv/load/$i value)" = "value $i" ] ;;
    esac || echo lost $i
done </root/acknowledged
for i in $(seq ${last:-1} 4 60); do
    printf 'quite long words %s\n' $i | pamtester sshd ana authenticate >/dev/null 2>&1 && found=$i && break
done
[ -n "$found" ] || [ -z "$last" ] || echo lost the password $last
"""


def test_what_the_store_acknowledged_survives_its_kill(host: Machine) -> None:
    """kill -9 of the store under load, at moments that the seed decides, and at each point of a commit."""
    seed = int(os.environ.get("KEYBEARER_TEST_SEED", random.randrange(2**32)))
    print(f"KEYBEARER_TEST_SEED={seed}")
    moments = random.Random(seed)
    host.run("keybearer user add ana --no-password")
    kills = 0
    with host.popen(LOAD):
        for point in ("committing", "committed", "noted", "") * 4:
            time.sleep(moments.random() * 0.4)
            if host.run("test -e /root/enough", check=False).returncode == 0:
                break
            host.run(["systemctl", "reset-failed", STORE.unit])
            if point:
                host.write(STORE.switch, point)
            else:
                host.run(["systemctl", "kill", "--signal=KILL", STORE.unit], check=False)
            kills += 1
        host.wait_for(lambda: host.run("test -e /root/enough", check=False).returncode == 0, 60, "the end of the load")
    STORE.died(host)  # whoever was not needed any more
    assert kills >= 5
    assert len(host.read("/root/acknowledged").splitlines()) >= 10
    assert host.run(LOST, timeout=120).stdout == ""
