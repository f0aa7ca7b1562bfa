# SPDX-License-Identifier: Apache-2.0
"""`keybearer metrics`: what a monitoring system reads, and that each figure moves with what it is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from machine import Machine
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from service import add, define, keep, restart, service

STORE = "keybearer-store-local.socket keybearer-store-local.service"
JOURNAL = "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service"


def figures(machine: Machine) -> dict[str, float]:
    """What the parser of Prometheus itself makes of it; it refuses what is no OpenMetrics."""
    found = {}
    text = machine.run("keybearer metrics").stdout
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        assert family.documentation, family.name
        for sample in family.samples:
            found[sample.name.removeprefix("keybearer_")] = sample.value
    return found


def reaches(machine: Machine, name: str, right: Callable[[float], bool], timeout: float = 30) -> None:
    """Waits until a figure is as it should be."""
    machine.wait_for(lambda: right(figures(machine)[name]), timeout, name)


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with a secret, a CA, and two units."""
    keep(own_machine, "orders", password="hard to guess")
    own_machine.run("keybearer ca create hosts common-name=Hosts && keybearer ca role-set web ca=hosts domains=localhost server=yes")
    for unit in ("orders.service", "web.service"):
        service(own_machine, unit, "[Service]\nType=exec\nExecStart=sleep infinity\n")
    define(own_machine, "orders", "kv/orders", "orders.service", "OnUnavailable=wait\nWaitSec=5min")
    define(own_machine, "web", "pki/issue/web", "web.service", "Param.common_name=localhost\nParam.ttl=6s")
    add(own_machine, "orders.service", "orders")
    add(own_machine, "web.service", "web")
    return own_machine


@pytest.fixture
def no_store(host: Machine) -> Iterator[None]:
    """The store is away, and the broker knows."""
    host.run(f"systemctl mask -q --now {STORE}; systemctl restart keybearerd")
    yield
    host.run(f"systemctl unmask -q {STORE}; systemctl start keybearer-store-local.socket")


def test_everything_an_alert_needs_is_there(host: Machine) -> None:
    """Log, grants, directory, answers and stores of a host that is well."""
    found = figures(host)
    assert found["info"] == found["store_up"] == 1
    assert found["directory_age_seconds"] < 100 and found["directory_confirmed_seconds"] > found["started_seconds"] - 100
    for quiet in ("log_failing", "log_lost_total", "log_waiting", "journal_failing", "journal_blind", "grants_failing",
                  "grants_overdue_seconds", "grants_revoking", "directory_failing", "directory_old", "units_waiting",
                  "login_observing", "recovery_used"):
        assert found[quiet] == 0, quiet
    assert found["requests_pending"] == 1


def test_a_refusal_is_counted(host: Machine) -> None:
    before = figures(host)["refusals_total"]
    service(host, "stranger.service", "[Service]\nType=oneshot\nLoadCredentialEncrypted=orders.password:"
            "/run/keybearer/encrypted.sock\nExecStart=true\n")
    restart(host, "stranger.service", check=False)
    assert figures(host)["refusals_total"] > before


def test_a_store_that_is_away_is_seen_and_who_waits_for_it(host: Machine, no_store: None) -> None:
    reaches(host, "store_up", lambda n: n == 0)
    reaches(host, "directory_failing", lambda n: n == 1)
    host.run("systemctl start --no-block orders.service")
    reaches(host, "units_waiting", lambda n: n == 1)
    first = figures(host)["directory_age_seconds"]
    reaches(host, "directory_age_seconds", lambda n: n > first)


def test_a_store_that_is_sealed_is_seen_and_what_opens_it(host: Machine) -> None:
    """It answers a greeting, and gives nothing out all the same."""
    reaches(host, "store_up", lambda n: n == 1)
    assert "\nstore        local: open\n" in host.run("keybearer status").stdout
    host.run("keybearer seal seal")
    reaches(host, "store_up", lambda n: n == 0, 10)
    assert re.search(r"\nneeds you:\n(.*\n)*  the store local gives nothing out: .*seal unseal.*\n      # keybearer doctor\n",
                     host.run("keybearer status").stdout)
    assert "state:   " in host.run("keybearer store status").stdout
    host.run("systemctl restart keybearer-store-local.service")
    reaches(host, "store_up", lambda n: n == 1, 15)


def test_a_renewal_that_fails_is_seen_and_how_long(host: Machine) -> None:
    reaches(host, "store_up", lambda n: n == 1)
    reaches(host, "units_waiting", lambda n: n == 0)
    restart(host, "web.service")
    assert figures(host)["grants"] >= 1
    host.run("keybearer ca role-remove web")
    reaches(host, "grants_failing", lambda n: n == 1)
    reaches(host, "grants_overdue_seconds", lambda n: n > 0)
    host.run("keybearer ca role-set web ca=hosts domains=localhost server=yes")
    reaches(host, "grants_failing", lambda n: n == 0, 90)
    host.run("systemctl stop web.service")


def test_a_journal_that_lags_is_seen(host: Machine) -> None:
    reaches(host, "journal_lag", lambda n: n == 0, 60)
    host.run(f"systemctl stop {JOURNAL}; rm -f /run/systemd/journal/socket; for i in 1 2 3; do keybearer audit anchor; done")
    reaches(host, "journal_failing", lambda n: n == 1)
    assert figures(host)["journal_lag"] >= 3
    host.run(f"systemctl start {JOURNAL}")
    reaches(host, "journal_lag", lambda n: n == 0, 60)
