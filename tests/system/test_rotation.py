# SPDX-License-Identifier: Apache-2.0
"""A kept secret that gets a new version reaches the services that can be told."""

from __future__ import annotations

import re

import pytest
from conftest import LONG
from machine import Machine
from service import add, define, grants, keep, restart, service, show

FOLDER = "/run/keybearer/units/orders-told.service/current"

# Writes down what its folder has, at its start and at every reload.
READER = """\
[Service]
Type=exec
User=daemon
ExecStart=/bin/sh -c 'trap "cat $KEYBEARER_CREDENTIALS/orders-told.* >>/tmp/read" HUP; \\
    cat $KEYBEARER_CREDENTIALS/orders-told.* >/tmp/read; while :; do sleep 0.1; done'
ExecReload=/bin/kill -HUP $MAINPID
"""


# Trusts whom it has read at its start, if it likes the name, and takes half a second to start.
TRUSTING = """\
[Service]
Type=exec
ExecStartPre=/bin/sh -c 'echo "begin %i $(cat $CREDENTIALS_DIRECTORY/authority)" >>/tmp/roll; sleep 0.5'
ExecStartPre=/bin/sh -c '! grep -q bad $CREDENTIALS_DIRECTORY/authority'
ExecStart=/bin/sleep infinity
ExecStartPost=/bin/sh -c 'echo "up %i" >>/tmp/roll'
"""
UNITS = 50
AT_ONCE = 5


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A service that reads its user name and password from its folder."""
    keep(own_machine, "told", password="p1", username="u1")
    define(own_machine, "orders-told", "kv/told", "orders-told.service", rotation="OnRotate=reload\nCheckSec=1s\nOverlap=1s")
    service(own_machine, "orders-told.service", READER)
    add(own_machine, "orders-told.service", "orders-told.username", "orders-told.password")
    restart(own_machine, "orders-told.service")
    own_machine.wait_for(lambda: own_machine.read("/tmp/read") == "p1u1", what="the first version")
    return own_machine


def test_a_new_version_is_published_and_the_unit_reloaded(host: Machine) -> None:
    """Within CheckSec=: user and password change together, and the process stays."""
    pid = show(host, "orders-told.service", "MainPID")
    keep(host, "told", password="p2", username="u2")
    host.wait_for(lambda: host.read("/tmp/read") == "p1u1p2u2", 30, "the second version in the running service")
    assert show(host, "orders-told.service", "MainPID") == pid
    host.wait_for(lambda: bool(grants(host, "orders-told.service")[0]["state"] == "adopted"), 30, "its adoption")
    assert len(grants(host, "orders-told.service")) == 1


def test_a_changed_definition_is_published_and_the_unit_reloaded(host: Machine) -> None:
    """After a reload of the broker, and not in the middle of a start."""
    keys = "Field.username=username\nField.password=username"
    define(host, "orders-told", "kv/told", "orders-told.service", keys, "OnRotate=reload\nCheckSec=1s\nOverlap=1s")
    host.wait_for(lambda: host.read("/tmp/read").endswith("u2u2"), 60, "the new definition in the running service")
    assert host.run(f"stat -c %U:%a {FOLDER}/orders-told.password").stdout == "daemon:400\n"


def rolled(host: Machine, name: str) -> set[str]:
    """Units that were started with this one."""
    return set(re.findall(rf"begin (\d+) {name}\n", host.read("/tmp/roll")))


def most_at_once(host: Machine) -> int:
    """How many were being started at the same time, so far."""
    now = most = 0
    for line in host.read("/tmp/roll").splitlines():
        now += 1 if line.startswith("begin") else -1
        most = max(most, now)
    return most


def test_a_roll_of_an_authority_stops_at_the_first_that_cannot_be_restarted(host: Machine) -> None:
    """No more than MaxParallel= of fifty units at once; after a failure all others stay as they are."""
    keep(host, "authority", name="one")
    rotation = f"OnRotate=restart\nCheckSec=1s\nMaxParallel={AT_ONCE}"
    define(host, "authority", "kv/authority", "trusting@*.service", "Format=raw", rotation)
    service(host, "trusting@.service", TRUSTING)
    add(host, "trusting@.service", "authority")
    units = [f"trusting@{n}.service" for n in range(UNITS)]
    host.run(["systemctl", "start", *units], timeout=120)
    host.write("/tmp/roll", "")
    keep(host, "authority", name="two")
    host.wait_for(lambda: len(rolled(host, "two")) == UNITS, 180, "all units with the second one")
    host.wait_for(lambda: host.read("/tmp/roll").count("up") == UNITS, 30, "the last one")
    assert 2 <= most_at_once(host) <= AT_ONCE
    before = {grant["id"] for grant in grants(host, "trusting@")}
    keep(host, "authority", name="bad")
    host.wait_for(lambda: rolled(host, "bad"), 30, "the first that fails")
    host.run("sleep 15")
    failed = rolled(host, "bad")
    assert 1 <= len(failed) <= AT_ONCE
    assert len(before & {grant["id"] for grant in grants(host, "trusting@")}) == UNITS - len(failed)
    assert host.run(["systemctl", "is-active", *units], check=False).stdout.split().count("active") == UNITS - len(failed)
    if LONG:  # those that failed come up by themselves, and when they stay up the others follow
        keep(host, "authority", name="three")
        host.wait_for(lambda: len(rolled(host, "three")) == UNITS, 400, "all units with the one that is good")
    host.run(["systemctl", "stop", *units], timeout=120)
