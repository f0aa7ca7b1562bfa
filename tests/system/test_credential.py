# SPDX-License-Identifier: Apache-2.0
"""A service starts with its secret, or does not start and says why."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from machine import Machine
from service import (
    add,
    define,
    drop_in,
    fails_without_credentials,
    grants,
    keep,
    restart,
    seen,
    service,
    settings,
    show,
    status,
)

CROWD = 100
STORE = ("keybearer-store-local.socket", "keybearer-store-local.service")

# Ways a service is confined, each of which changes who reads the credential, or where.
SANDBOXES = {
    "root": settings(),
    "user": settings(User="daemon"),
    "dynamic": settings(DynamicUser="yes"),
    "private": settings(User="daemon", PrivateUsers="yes", PrivateMounts="yes", PrivateTmp="yes", ProtectSystem="strict"),
}


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with one secret that every orders*.service may have."""
    keep(own_machine, "orders", username="orders", password="hard to guess")
    define(own_machine, "orders-db", "kv/orders", "orders*.service")
    return own_machine


@pytest.fixture
def away(host: Machine) -> Iterator[Machine]:
    """The same while its store does not run."""
    host.run(["systemctl", "mask", "--runtime", "--now", *STORE])
    yield host
    come_back(host)


def come_back(host: Machine) -> None:
    """The store runs again."""
    host.run(["systemctl", "unmask", "--runtime", *STORE])
    host.run(["systemctl", "start", STORE[0]])


def refused(host: Machine, unit: str, *why: str) -> None:
    """The unit does not start, and its own status says which credential and why."""
    drop_in(host, unit, {"Restart": "no"})
    assert restart(host, unit, check=False).returncode != 0
    assert fails_without_credentials(host, unit)
    host.wait_for(lambda: all(word in status(host, unit) for word in why), what=f"{why} in the status of {unit}")


@pytest.mark.core
@pytest.mark.parametrize("how", ["--encrypted", "--plain"])
@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_a_unit_reads_its_secret(host: Machine, sandbox: str, how: str) -> None:
    """All fields and nothing else are in its folder, whoever it runs as, encrypted on the way or not."""
    unit = f"orders-{sandbox}{how}.service"
    service(host, unit, more=SANDBOXES[sandbox])
    add(host, unit, "orders-db", *([how] if how == "--plain" else []))
    restart(host, unit)
    assert seen(host, unit) == {"orders-db.username": "orders", "orders-db.password": "hard to guess"}
    key = "LoadCredential" if how == "--plain" else "LoadCredentialEncrypted"
    assert f"{key}=orders-db.password:/run/keybearer/{how[2:]}.sock" in host.run(["systemctl", "cat", unit]).stdout
    host.run(["systemctl", "stop", unit])
    host.wait_for(lambda: not grants(host, unit), what="the grant of a unit that was stopped")


def test_a_whole_secret_comes_in_the_form_that_its_file_says(host: Machine) -> None:
    """NAME is all fields, as Template= or Format= writes them."""
    define(host, "orders-url", "kv/orders", "orders-url.service", "Template=db://{{username}}:{{password}}@db")
    define(host, "orders-json", "kv/orders", "orders-url.service", "Format=json")
    service(host, "orders-url.service")
    add(host, "orders-url.service", "orders-url", "orders-json")
    restart(host, "orders-url.service")
    assert seen(host, "orders-url.service") == {
        "orders-url": "db://orders:hard to guess@db",
        "orders-json": '{"password":"hard to guess","username":"orders"}',
    }


def test_one_start_is_one_grant(host: Machine) -> None:
    """Every process of a start asks again for every field, and all of them get the same one lease."""
    unit = "orders-many.service"
    service(host, unit, more=settings(ExecStartPre="/bin/true") * 3)
    add(host, unit, "orders-db")
    restart(host, unit)
    before = grants(host, unit)
    assert len(before) == 1 and before[0]["state"] == "issued"
    restart(host, unit)
    after = host.wait_for(lambda: [g for g in grants(host, unit) if g["id"] != before[0]["id"]])
    assert len(after) == 1 and after[0]["instance"] != before[0]["instance"]


def test_a_start_sees_one_version_of_a_secret(host: Machine) -> None:
    """A secret that changes in the middle of a start is the old one to the end of it, and the new one afterwards."""
    unit = "orders-turn.service"
    keep(host, "turn", username="old", password="old")
    define(host, "orders-turn", "kv/turn", unit)
    host.write("/root/turn", "#!/bin/sh\nprintf 'new\\nnew\\n' | keybearer secret put kv/turn username password\n", 0o755)
    service(host, unit, more=settings(ExecStartPre="+/root/turn"))
    add(host, unit, "orders-turn")
    restart(host, unit)
    assert host.run("keybearer secret get kv/turn password").stdout == "new"
    assert seen(host, unit) == {"orders-turn.username": "old", "orders-turn.password": "old"}
    restart(host, unit)
    assert seen(host, unit) == {"orders-turn.username": "new", "orders-turn.password": "new"}


def test_an_instance_of_a_template_has_its_own_grant(host: Machine) -> None:
    """a@b.service is a unit like any other."""
    service(host, "orders@.service")
    for name in ("orders@one.service", "orders@two.service"):
        add(host, name, "orders-db")
        restart(host, name)
        assert seen(host, name)["orders-db.password"] == "hard to guess"
        assert len(grants(host, name)) == 1


def test_unit_add_lets_the_broker_read_what_is_new(host: Machine) -> None:
    """A file written a moment ago needs no reload by hand, whether its fields are named or the store's."""
    for name, words in (("orders-new", "orders-new"), ("orders-newer", "orders-newer.password")):
        text = "[Credential]\nPath=kv/orders\n[Allow]\nUnit=orders*.service\n"
        host.write(f"/etc/keybearer/credentials.d/{name}.conf", text)
        service(host, f"{name}.service")
        add(host, f"{name}.service", words)
        restart(host, f"{name}.service")
        assert seen(host, f"{name}.service")[f"{name}.password"] == "hard to guess"


def test_a_second_run_of_unit_add_changes_nothing(host: Machine) -> None:
    """It says so, and leaves file and systemd alone."""
    service(host, "orders-twice.service")
    add(host, "orders-twice.service", "orders-db")
    before = host.run("stat -c '%i %y' /etc/systemd/system/orders-twice.service.d/*").stdout
    assert "nothing to do" in add(host, "orders-twice.service", "orders-db").stdout
    assert host.run("stat -c '%i %y' /etc/systemd/system/orders-twice.service.d/*").stdout == before


def test_names_that_systemd_cannot_ask_for_are_refused_at_once(host: Machine) -> None:
    """Unit and credential share what fits into an address; unit add says so, and writes nothing."""
    unit = f"orders-{'x' * 70}.service"
    result = add(host, unit, "orders-db", check=False)
    assert result.returncode == 2 and "shorten one of the names" in result.stderr
    assert host.run(["test", "-e", f"/etc/systemd/system/{unit}.d"], check=False).returncode == 1


def test_what_systemd_does_not_read_leaves_nothing_behind(host: Machine) -> None:
    """Neither the drop-in nor the permission of --allow; and what was there before stays as it was."""
    service(host, "unread.service")
    keep(host, "unread", password="x")
    define(host, "unread", "kv/unread")
    define(host, "unread-too", "kv/unread")
    host.write("/root/broken/systemctl", '#!/bin/sh\n[ "$1" != daemon-reload ] || exit 1\nexec /usr/bin/systemctl "$@"\n')
    host.run("chmod +x /root/broken/systemctl")
    files = "cd /etc && find systemd/system/unread.service.d keybearer/credentials.d -type f -exec sha256sum {} + | sort"
    for broken, whole in (("add --allow unread.service unread.password", "add --allow unread.service unread.password"),
                          ("add --allow unread.service unread-too.password", ""), ("remove unread.service", "")):
        before = host.run(files, check=False).stdout
        failed = host.run(f"PATH=/root/broken:$PATH keybearer unit {broken}", check=False)
        assert failed.returncode == 1 and "nothing is changed" in failed.stderr
        assert host.run(files, check=False).stdout == before
        host.run(f"keybearer unit {whole}" if whole else "true")
    restart(host, "unread.service")
    assert seen(host, "unread.service") == {"unread.password": "x"}


def test_a_unit_that_is_not_allowed_does_not_start(host: Machine) -> None:
    """unit add warns; who edits the unit by hand is refused, and the unit's own status says why."""
    service(host, "billing.service")
    warned = add(host, "billing.service", "orders-db", check=False)
    assert warned.returncode == 5 and "--allow" in warned.stderr
    for how in ("LoadCredentialEncrypted", "LoadCredential"):
        socket = "encrypted" if how.endswith("Encrypted") else "plain"
        service(host, "billing.service", more=f"{how}=orders-db.password:/run/keybearer/{socket}.sock\n")
        refused(host, "billing.service", "was not given orders-db", "denied")


def test_an_unknown_credential_does_not_start_a_unit(host: Machine) -> None:
    """Neither a name that no file has, nor a secret that the store does not have, nor a field of one."""
    define(host, "orders-gone", "kv/never-kept", "orders*.service")
    for name in ("nobody-knows", "orders-gone.password", "orders-db.pin"):
        load = f"LoadCredentialEncrypted={name}:/run/keybearer/encrypted.sock\n"
        service(host, "orders-odd.service", more=load)
        refused(host, "orders-odd.service", f"was not given {name.partition('.')[0]}")


IMITATE = """
import socket, sys
path, unit = sys.argv[1:]
peer = socket.socket(socket.AF_UNIX)
peer.bind(b"\\0" + b"0123456789abcdef/unit/" + unit.encode() + b"/orders-db.password")
peer.connect("/run/keybearer/" + path)
peer.settimeout(10)
data = b""
while chunk := peer.recv(1 << 16):
    data += chunk
print(len(data), b"hard to guess" in data)
"""


def test_an_imitation_of_a_unit_gets_nothing(host: Machine) -> None:
    """The socket is root's, and root in another unit's cgroup, or in none, is not the unit it names."""
    service(host, "orders-victim.service")
    add(host, "orders-victim.service", "orders-db")
    restart(host, "orders-victim.service")
    host.write("/root/imitate", IMITATE, 0o755)
    for path, answer in (("encrypted.sock", "0 False"), ("plain.sock", "1048576 False")):
        command = ["python3", "/root/imitate", path, "orders-victim.service"]
        script = host.read("/root/imitate")
        anybody = host.run(["python3", "-c", script, path, "orders-victim.service"], user="daemon", check=False)
        assert anybody.returncode == 1 and "PermissionError" in anybody.stderr
        assert host.run(command).stdout.strip() == answer
        inside = host.systemd_run(command, unit=f"imitator-{path}".removesuffix(".sock"))
        assert inside.stdout.strip() == answer
        host.wait_for(lambda path=path: "names a unit whose cgroup it is not in" in host.messages(  # type: ignore[misc]
            f"imitator-{path}".removesuffix(".sock") + ".service"))
    assert len(grants(host, "orders-victim.service")) == 1


def test_a_store_that_is_away_fails_a_unit_that_does_not_wait(away: Machine) -> None:
    """OnUnavailable=fail: at once, and the reason is the store."""
    define(away, "orders-now", "kv/orders", "orders-now.service", "OnUnavailable=fail")
    service(away, "orders-now.service", more="LoadCredentialEncrypted=orders-now.password:/run/keybearer/encrypted.sock\n")
    began = time.monotonic()
    refused(away, "orders-now.service", "was not given orders-now", "unreachable")
    assert time.monotonic() - began < 8


def test_a_unit_waits_for_a_store_that_comes_back(away: Machine) -> None:
    """OnUnavailable=wait: its start takes longer, and then it has the secret."""
    define(away, "orders-wait", "kv/orders", "orders-wait.service", "OnUnavailable=wait\nWaitSec=50s")
    service(away, "orders-wait.service")
    add(away, "orders-wait.service", "orders-wait.password")
    away.run("systemctl start --no-block orders-wait.service")
    away.wait_for(lambda: show(away, "orders-wait.service", "ActiveState") == {"ActiveState": "activating"})
    come_back(away)
    away.wait_for(lambda: away.active("orders-wait.service"), 40, "the unit that waits")
    assert seen(away, "orders-wait.service") == {"orders-wait.password": "hard to guess"}
    assert show(away, "orders-wait.service", "NRestarts") == {"NRestarts": "0"}


def test_a_stale_secret_does_while_the_store_is_away(host: Machine) -> None:
    """OnUnavailable=stale: the last one that was handed out."""
    unit = "orders-stale.service"
    define(host, "orders-stale", "kv/orders", unit, "OnUnavailable=stale\nStaleSec=1h")
    service(host, unit)
    add(host, unit, "orders-stale.password")
    restart(host, unit)
    host.run(["systemctl", "mask", "--runtime", "--now", *STORE])
    try:
        restart(host, unit)
        assert seen(host, unit) == {"orders-stale.password": "hard to guess"}
    finally:
        come_back(host)


def running(host: Machine, units: list[str]) -> int:
    """How many of these units are up."""
    return host.run(["systemctl", "is-active", *units], check=False).stdout.splitlines().count("active")


def restarts(host: Machine, units: list[str]) -> list[int]:
    """How often systemd started each of them anew."""
    return [int(line) for line in host.run(["systemctl", "show", "--property=NRestarts", "--value", *units]).stdout.split()]


def cpu_seconds(host: Machine, unit: str) -> float:
    """What the main process of a unit has worked since its start."""
    pid = show(host, unit, "MainPID")["MainPID"]
    user, system = host.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / 100


# How long the store is away, and what the units' and the credential's files say of time.
OUTAGES = [
    pytest.param(5, "4s", "2s", {"RestartSec": "3s"}, id="short"),
    pytest.param(20 * 60, "90s", "1min", {}, id="20-minutes", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("away_for", "timeout", "wait", "restart_as"), OUTAGES)
def test_a_crowd_comes_up_by_itself_after_its_store(
    host: Machine, away_for: int, timeout: str, wait: str, restart_as: dict[str, str]
) -> None:
    """A hundred units outlive a store that is away longer than their timeout and three restarts."""
    define(host, "orders-crowd", "kv/orders", "orders-crowd@*.service", f"OnUnavailable=wait\nWaitSec={wait}")
    service(host, "orders-crowd@.service", more=settings(TimeoutStartSec=timeout))
    units = [f"orders-crowd@{n}.service" for n in range(CROWD)]
    add(host, "orders-crowd@.service", "orders-crowd.password")
    drop_in(host, "orders-crowd@.service", restart_as)
    host.run(["systemctl", "mask", "--runtime", "--now", *STORE])
    worked = cpu_seconds(host, "keybearerd.service")
    try:
        began = time.monotonic()
        host.run(["systemctl", "start", "--no-block", *units])
        host.wait_for(lambda: min(restarts(host, units)) >= 3, 60 + away_for, "three restarts of every unit")
        host.wait_for(lambda: time.monotonic() - began > away_for, away_for)
        assert running(host, units) == 0
        starts = sum(restarts(host, units)) + CROWD
        worked = cpu_seconds(host, "keybearerd.service") - worked
    finally:
        come_back(host)
    assert worked < starts * 0.05, f"{starts} starts without a store cost {worked} s of the processor"
    host.wait_for(lambda: running(host, units) == CROWD, 120, "all units of the crowd")
    assert len(grants(host, "orders-crowd@")) == CROWD
    assert seen(host, units[-1]) == {"orders-crowd.password": "hard to guess"}
    host.run("systemctl stop 'orders-crowd@*'")
    host.wait_for(lambda: not grants(host, "orders-crowd@"), 20, "the grants of units that were stopped")
