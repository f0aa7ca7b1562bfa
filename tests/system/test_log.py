# SPDX-License-Identifier: Apache-2.0
"""journald gets every record, whatever happens to it, and nobody waits for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import Machine, Run, tree

TOP = Path(__file__).resolve().parents[2]
WRITER = "/root/log-writer"
UNIT = "orders.service"


@pytest.fixture(scope="session")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the broker as a program of its own."""
    program = tmp_path_factory.mktemp("log") / "log-writer"
    sources = [path for folder in ("common", "helper/log") for path in TOP.glob(f"{folder}/*.c")]
    sources = [path for path in sources if path.name != "catalog.c"]
    command: list[str | Path] = ["cc", "-std=gnu11", "-O1", "-D_GNU_SOURCE", '-DPACKAGE_VERSION="test"', f"-I{TOP}", "-o", program]
    subprocess.run([*command, TOP / "tests/system/log-writer.c", *sources, "-lcrypto", "-lsystemd"], check=True)
    return program


@pytest.fixture
def host(run: Run, release: str, writer: Path) -> Iterator[Machine]:
    """A machine with nothing of ours but the writer."""
    with run.machine(tree(release)) as it:
        it.copy_in(writer, WRITER, 0o755)
        it.run("mkdir -m 700 /root/log")
        yield it


def write(host: Machine, count: int, seconds: int) -> dict[str, Any]:
    """Writes records, and says what became of them."""
    result = host.run([WRITER, "/root/log", str(count), str(seconds)], timeout=seconds + 60)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def numbers(host: Machine, log: str) -> list[int]:
    """The sequence numbers that the journal has, each once."""
    return sorted({int(entry["KEYBEARER_SEQ"]) for entry in host.journal("", f"KEYBEARER_LOG={log}")})


def complete(host: Machine, answer: dict[str, Any]) -> bool:
    """Whether the journal has every record up to the last that was confirmed, and no number is missing."""
    found = numbers(host, answer["log"])
    return answer["lag"] == 0 and found == list(range(1, len(found) + 1)) and len(found) >= answer["confirmed"]


def test_every_record_is_in_the_journal_and_in_the_units(host: Machine) -> None:
    answer = write(host, 300, 30)
    assert complete(host, answer), answer
    assert answer["resent"] == 0
    shown = host.messages(UNIT)
    assert shown.count("orders.service was not given db") == 300


def test_a_restart_repeats_nothing(host: Machine) -> None:
    write(host, 50, 30)
    answer = write(host, 50, 30)
    assert complete(host, answer), answer
    entries = host.journal("", f"KEYBEARER_LOG={answer['log']}")
    assert len(entries) == len(numbers(host, answer["log"]))


def test_a_frozen_journald_blocks_nobody_and_gets_everything_later(host: Machine) -> None:
    host.run("pkill -STOP -x systemd-journal")
    answer = write(host, 2000, 1)
    assert answer["lag"] > 0 and answer["error"] < 0
    assert answer["slowest"] < 5_000_000
    host.run("pkill -CONT -x systemd-journal")
    assert complete(host, write(host, 1, 60))


def test_a_stopped_journald_gets_everything_later(host: Machine) -> None:
    host.run("systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald", check=False)
    host.run("rm -f /run/systemd/journal/socket")
    answer = write(host, 500, 1)
    assert answer["lag"] > 0
    host.run("systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald")
    host.run("systemctl restart systemd-journald")
    assert complete(host, write(host, 1, 90))


def test_a_journald_killed_again_and_again_misses_nothing(host: Machine) -> None:
    # four times: after five in ten seconds systemd itself would leave it dead
    with host.popen("for i in 1 2 3 4; do pkill -KILL -x systemd-journal; sleep 0.4; done") as killer:
        write(host, 2000, 1)
        killer.wait()
    answer = write(host, 1, 90)
    assert complete(host, answer), answer


def test_a_limit_of_rates_delays_but_loses_nothing(host: Machine) -> None:
    host.write("/etc/systemd/journald.conf.d/limit.conf", "[Journal]\nRateLimitIntervalSec=5s\nRateLimitBurst=100\n")
    host.run("systemctl restart systemd-journald")
    result = host.systemd_run([WRITER, "/root/log", "1500", "150"], timeout=240)
    answer = json.loads(result.stdout)
    assert answer["resent"] > 0, "the limit was never met"
    assert complete(host, answer), answer
    assert host.journal("", f"KEYBEARER_LOG={answer['log']}", "KEYBEARER_EVENT=journal-gap-filled")
