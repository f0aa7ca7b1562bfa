# SPDX-License-Identifier: Apache-2.0
"""kill -9 at the worst moments: a unit has exactly what the store issued, or does not start until it has."""

from __future__ import annotations

import json

import pytest
from machine import Machine
from package import TOP
from service import add, define, drop_in, keep, restart, seen, service

POINTS = ("accepted", "fetched", "recorded", "sending", "sent", "closing")
SWITCH = "/run/keybearer/crash-at"
FOUND = "/run/found"  # a folder per start of the unit, with what it found

# Keeps what each start found, also of those that should not have come so far.
WITNESS = f"""\
[Service]
Type=exec
ExecStart=/bin/sh -ec 'mkdir -p {FOUND}; cp -r "$CREDENTIALS_DIRECTORY" "{FOUND}/$INVOCATION_ID"; exec sleep infinity'
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
    """A machine whose broker can be told where to die."""
    program = TOP / "build/deb" / release / "keybearerd-crash"
    own_machine.copy_in(program, "/usr/libexec/keybearer/keybearerd", 0o755)
    drop_in(own_machine, "keybearerd.service", {"Environment": f"KEYBEARER_CRASHPOINT_FILE={SWITCH}"})
    own_machine.run("systemctl restart keybearerd.service")
    own_machine.run("keybearer ca create hosts && keybearer ca role-set web ca=hosts domains=localhost server=yes")
    define(own_machine, "orders-tls", "pki/issue/web", "orders*.service", "Param.common_name=localhost")
    keep(own_machine, "orders", password="hard to guess")
    define(own_machine, "orders-db", "kv/orders", "orders*.service")
    return own_machine


def start_and_die(host: Machine, unit: str, point: str) -> None:
    """Starts the unit with a broker that dies once, at this point, and waits until the unit is up."""
    drop_in(host, unit, {"RestartSec": "200ms"})
    host.wait_for(lambda: host.active("keybearerd.service"))
    host.write(SWITCH, point)
    restart(host, unit, check=False)
    host.wait_for(lambda: host.active(unit), 20, f"{unit}, started again by systemd")
    assert host.run(["test", "-e", SWITCH], check=False).returncode == 1, f"nobody came to {point}"


@pytest.mark.parametrize("point", POINTS)
def test_a_unit_never_starts_with_less_than_was_issued(host: Machine, point: str) -> None:
    """Encrypted: every start that got so far found all fields of one certificate that the store knows."""
    unit = f"orders-{point}.service"
    host.run(["rm", "-rf", FOUND])
    service(host, unit, WITNESS)
    add(host, unit, "orders-tls")
    start_and_die(host, unit, point)
    known = {row["serial"] for row in json.loads(host.run("keybearer ca certificates hosts --json").stdout)}
    lines = host.wait_for(lambda: host.run(PROOF, check=False).stdout.splitlines(), what="what the unit found")
    assert all(line.startswith("issued") for line in lines), lines
    assert {line.split()[1] for line in lines} <= known
    assert {line.split()[2] for line in lines} == {"7"}, lines


@pytest.mark.parametrize("point", POINTS)
def test_a_plain_secret_can_be_cut_but_is_never_another(host: Machine, point: str) -> None:
    """Plain has a gap: who dies before the end leaves less, as the page says; never more, and never anything else."""
    unit = f"orders-plain-{point}.service"
    service(host, unit)
    add(host, unit, "--plain", "orders-db.password")
    start_and_die(host, unit, point)
    found = host.wait_for(lambda: seen(host, unit), what="what the unit found")
    assert "hard to guess".startswith(found["orders-db.password"])
    if point in ("sent", "closing"):
        assert found == {"orders-db.password": "hard to guess"}


# Secrets are kept one after the other; whoever was told that it is kept is written down.
LOAD = """
for i in $(seq 60); do
    printf 'value %s\\n' $i | keybearer secret put kv/load/$i value >/dev/null 2>&1 && echo $i
done >/root/acknowledged
touch /root/enough
"""
KILLS = """
n=0
for pause in 0.11 0.23 0.07 0.31 0.13 0.19 0.05 0.29 0.17 0.37 0.03 0.41; do
    sleep $pause
    [ ! -e /root/enough ] || break
    systemctl kill --signal=KILL keybearer-store-local.service && n=$((n + 1))
done
echo $n
"""
LOST = """
while read -r i; do
    [ "$(keybearer secret get kv/load/$i value)" = "value $i" ] || echo lost $i
done </root/acknowledged
"""


def test_what_the_store_acknowledged_survives_its_kill(host: Machine) -> None:
    """kill -9 of the store, again and again, while secrets are put into it."""
    with host.popen(LOAD):
        kills = int(host.run(KILLS).stdout)
        host.wait_for(lambda: host.run("test -e /root/enough", check=False).returncode == 0, 60, "the end of the load")
    assert kills >= 5
    assert len(host.read("/root/acknowledged").splitlines()) >= 10
    assert host.run(LOST, timeout=120).stdout == ""
