# SPDX-License-Identifier: Apache-2.0
"""What every system test shares: the releases, the packages, and machines to use up.

    machine        booted once per release; tests share it and leave it as it was
    own_machine    booted once per test module, for tests that change much
    fresh_machine  booted for one test, which may break it
    bare_machine   the same without our package, which lies in /root

All but the last have our package installed and `keybearer setup` done.

    servers        the machine for the store's servers, with nothing running in it yet; the same for all releases
    postgres, slapd, openbao    one that runs there; openbao is a single node
    three          an OpenBao of three nodes, for one test module
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import RELEASES, Machine, Run, tree
from network import Network
from openbao import OpenBao, Servers
from package import copy_packages, install
from postgres import Postgres
from slapd import Slapd
from virtual import VirtualMachine

MACHINES = ("machine", "own_machine", "fresh_machine", "bare_machine")
LONG = bool(os.environ.get("KEYBEARER_TEST_LONG"))

# What files take, in seconds: only how even the parts of --part are depends on it. A test of any other takes this:
SECONDS_OF_A_TEST = 4
SECONDS = {
    "test_adoption": 200,
    "test_cluster": 130,
    "test_credential": 50,
    "test_crash": 80,
    "test_crash_login": 45,
    "test_demo": 30,
    "test_doctor": 100,
    "test_install": 200,
    "test_leases": 190,
    "test_log": 75,
    "test_login": 90,
    "test_people": 80,
    "test_proxy": 30,
    "test_vault_directory": 100,
    "test_vault_login": 220,
    "test_vault_people": 90,
}


def part(text: str) -> tuple[int, int]:
    """What --part says: which, of how many."""
    which, number = (int(word) for word in text.split("/"))
    if not 1 <= which <= number:
        raise ValueError(text)
    return which, number


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--release", action="append", choices=RELEASES, help="a release of Debian (default: all)")
    parser.addoption("--part", type=part, default=(1, 1), metavar="N/M", help="the Nth of M parts, whole files each")
    parser.addoption("--vm", action="store_true", help="the tests marked core, under Debian's own kernel")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs each test once per release."""
    if "release" in metafunc.fixturenames:
        releases = metafunc.config.getoption("release") or RELEASES
        metafunc.parametrize("release", releases, scope="session")


def is_meant(item: pytest.Item, vm: bool) -> bool:
    """Whether a test is for these machines."""
    own_kernel = item.get_closest_marker("own_kernel")
    return bool(own_kernel or item.get_closest_marker("core")) if vm else not own_kernel


def files_of_part(items: list[pytest.Item], which: int, number: int) -> set[Path]:
    """Whole files, since their tests share machines: the longest first, each to the part that has the least to do."""
    tests = Counter(item.path for item in items)
    seconds = {path: SECONDS.get(path.stem, n * SECONDS_OF_A_TEST) for path, n in tests.items()}
    parts: list[list[Path]] = [[] for _ in range(number)]
    for path in sorted(seconds, key=lambda path: (-seconds[path], path)):
        min(parts, key=lambda paths: sum(seconds[path] for path in paths)).append(path)
    return set(parts[which - 1])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what takes long unless it was asked for; a virtual machine is slow, so it gets the core only.

    Tests run as they stand in their files: pytest would go through all files once per parameter, and boot the
    machine of each of them again every time.
    """
    items.sort(key=lambda item: (RELEASES.index(item.callspec.params["release"]), item.path, item.location[1] or 0))  # type: ignore[attr-defined]
    meant = [item for item in items if is_meant(item, config.getoption("--vm"))]
    files = files_of_part(meant, *config.getoption("--part"))
    meant = [item for item in meant if item.path in files]
    config.hook.pytest_deselected(items=[item for item in items if item not in meant])
    items[:] = meant
    for item in items:
        if item.get_closest_marker("long") and not LONG:
            item.add_marker(pytest.mark.skip(reason="long: ./dev test --long"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Adds the end of the machine's journal to the report of a test that failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when != "call" or not report.failed:
        return
    for name, value in getattr(item, "funcargs", {}).items():
        if name in MACHINES and value.running:
            log = value.run("journalctl --no-pager -o short-precise -n 40", check=False).stdout
            report.sections.append((f"journal of {name}", log))


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """All machines of this test run; they end with it."""
    with Run() as it:
        yield it


@pytest.fixture(scope="session")
def base(release: str, request: pytest.FixtureRequest) -> Path:
    """The folder of Debian that machines are laid over."""
    return tree(release, "vm" if request.config.getoption("--vm") else "machine")


@pytest.fixture(scope="session")
def kind(request: pytest.FixtureRequest) -> type[Machine]:
    """What machines are made of."""
    return VirtualMachine if request.config.getoption("--vm") else Machine


@pytest.fixture(scope="session")
def installed(run: Run, release: str, base: Path) -> tuple[Path, ...]:
    """The folders of a machine with our package installed and set up, shut down again."""
    machine = run.machine(base)
    install(machine, release)
    return machine.freeze()


@pytest.fixture(scope="session")
def machine(run: Run, installed: tuple[Path, ...], kind: type[Machine]) -> Iterator[Machine]:
    """One machine for all tests of a release that leave no trace."""
    with run.machine(*installed, kind=kind) as it:
        yield it


@pytest.fixture(scope="module")
def own_machine(run: Run, installed: tuple[Path, ...], kind: type[Machine]) -> Iterator[Machine]:
    """One machine for all tests of a module."""
    with run.machine(*installed, kind=kind) as it:
        yield it


@pytest.fixture
def fresh_machine(run: Run, installed: tuple[Path, ...], kind: type[Machine]) -> Iterator[Machine]:
    """A machine for one test."""
    with run.machine(*installed, kind=kind) as it:
        yield it


@pytest.fixture
def bare_machine(run: Run, release: str, base: Path, kind: type[Machine]) -> Iterator[Machine]:
    """A machine that never had our package, which waits in /root."""
    with run.machine(base, kind=kind) as it:
        copy_packages(it, release)
        yield it


@pytest.fixture(scope="session")
def network(run: Run, release: str) -> Iterator[Network]:
    """The network in which hosts reach the servers."""
    with Network(run.folder / "network") as it:
        yield it


@pytest.fixture(scope="session")
def servers(run: Run, network: Network) -> Iterator[Servers]:
    """The machine for the store's servers."""
    it = Servers.boot(run, network)
    with it.machine:
        yield it


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Postgres:
    """A database that runs."""
    return Postgres(servers).start()


@pytest.fixture(scope="session")
def slapd(servers: Servers) -> Slapd:
    """A directory service that runs, with nobody in it."""
    return Slapd(servers).start()


@pytest.fixture(scope="session")
def openbao(servers: Servers) -> OpenBao:
    """An OpenBao of one node, which tests share: each takes mounts of its own."""
    return OpenBao(servers, "one").start()


@pytest.fixture(scope="module")
def three(servers: Servers) -> Iterator[OpenBao]:
    """An OpenBao of three nodes."""
    it = OpenBao(servers, "three").start()
    yield it
    it.remove()
