# SPDX-License-Identifier: Apache-2.0
"""The broker while what it depends on comes and goes."""

from __future__ import annotations

import time

import pytest
from machine import Machine
from service import add, define, restart, service, show

# Counts its reloads.
SERVER = """\
[Service]
ExecStart=/bin/sleep infinity
ExecReload=/bin/sh -c 'echo >>/run/reloads'
"""
PRIVATE = "/run/systemd/private"


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with a unit whose certificate is renewed every few seconds."""
    own_machine.run("keybearer ca create hosts common-name='Test CA'")
    own_machine.run("keybearer ca role-set web ca=hosts domains=localhost server=yes ttl=1h")
    more = "Param.common_name=localhost\nParam.ttl=20s"
    define(own_machine, "web-tls", "pki/issue/web", "web.service", more, "RenewAt=0.2\nOnRotate=reload\nOverlap=1s")
    service(own_machine, "web.service", SERVER)
    add(own_machine, "web.service", "web-tls")
    restart(own_machine, "web.service")
    return own_machine


def reloads(host: Machine) -> int:
    """How often the unit was reloaded."""
    return int(host.run("wc -l </run/reloads 2>/dev/null || echo 0").stdout)


def more_reloads(host: Machine, than: int, timeout: float = 60) -> None:
    """Waits for a reload."""
    host.wait_for(lambda: reloads(host) > than, timeout, "the unit is reloaded")


def test_rotation_goes_on_after_pid1_was_reexecuted(host: Machine) -> None:
    """An upgrade of systemd cuts the broker's connection to it; the next rotation makes a new one."""
    more_reloads(host, 0)
    host.run("systemctl daemon-reexec")
    more_reloads(host, reloads(host))
    more_reloads(host, reloads(host))
    assert show(host, "keybearerd.service", "NRestarts") == {"NRestarts": "0"}


def test_a_pid1_that_cannot_be_reached_is_found_again(host: Machine) -> None:
    """The broker answers while nobody can reach PID 1, and rotation goes on once somebody can."""
    host.run(f"mv {PRIVATE} {PRIVATE}.away && kill -9 $(pidof keybearerd)")
    host.wait_for(lambda: host.run("keybearer status", check=False).returncode == 0, 30, "the broker is back")
    before = reloads(host)
    time.sleep(8)  # several times of a renewal
    assert reloads(host) == before
    began = time.monotonic()
    assert host.run("keybearer status").returncode == 0
    assert time.monotonic() - began < 5
    host.run(f"mv {PRIVATE}.away {PRIVATE}")
    more_reloads(host, before)
    assert show(host, "web.service", "ActiveState") == {"ActiveState": "active"}
