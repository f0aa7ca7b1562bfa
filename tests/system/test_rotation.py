# SPDX-License-Identifier: Apache-2.0
"""A kept secret that gets a new version reaches the services that can be told."""

from __future__ import annotations

import pytest
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
