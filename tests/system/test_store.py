# SPDX-License-Identifier: Apache-2.0
"""The local store as an administrator meets it: sealed, unsealed, put back, restored, on a disk that is full."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import sqlite3

import pytest
from disk import Disk
from machine import Machine, Result
from package import INSTALL
from service import add, define, drop_in, keep, service, status

UNIT = "keybearer-store-local.service"
STATE = "/var/lib/keybearer-store-local"
ROOT_KEY = "/etc/credstore.encrypted/keybearer-store-local.root-key"
HOST_SECRET = "/var/lib/systemd/credential.secret"
# How a credential of systemd begins: what it is encrypted to.
HOST_KEY = bytes.fromhex("5a1c6a86df9d4096b1d5a65e0862f19a")
HOST_AND_TPM = bytes.fromhex("93a8940948744490 90caf2fc93cab553")
PASSPHRASE = "a passphrase nobody guesses"


def get(machine: Machine, path: str) -> Result:
    """The store's answer for a secret."""
    return machine.run(["keybearer", "secret", "get", path, "value"], check=False)


def restart(machine: Machine) -> None:
    """Another process of the store."""
    machine.run(["systemctl", "restart", UNIT])


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine whose store opens with a passphrase too."""
    own_machine.run(
        ["keybearer", "seal", "add", "--password-stdin", "mine", "kind=passphrase"], input=f"{PASSPHRASE}\n"
    )
    keep(own_machine, "a", value="acknowledged")
    return own_machine


@pytest.mark.core
def test_it_opens_by_itself_at_each_start(host: Machine) -> None:
    """systemd hands over the root key, encrypted to this host."""
    restart(host)
    assert get(host, "a").stdout.strip() == "acknowledged"


@pytest.mark.core
def test_where_there_is_a_tpm_it_takes_part(bare_machine: Machine, release: str) -> None:
    """The root key is bound to it then, if systemd can, and to this host's key: one without the other opens nothing."""
    has_one = bare_machine.run("test -e /dev/tpmrm0", check=False).returncode == 0
    takes_part = has_one and release != "bookworm"  # whose systemd cannot decrypt what is bound to no PCR
    bare_machine.run(INSTALL, timeout=120)
    if not has_one:
        bare_machine.run("touch /dev/tpmrm0")  # one that does not work
    setup = bare_machine.run("keybearer setup", timeout=120)
    said = setup.stdout
    assert ("the TPM of this host cannot be used" in setup.stderr) != takes_part
    assert ("the local store opens with this host's key and its TPM\n" in said) == takes_part
    kept = base64.b64decode(bare_machine.read(ROOT_KEY))
    assert kept[:16] == (HOST_AND_TPM if takes_part else HOST_KEY)
    keep(bare_machine, "a", value="bound")
    bare_machine.reboot()
    assert get(bare_machine, "a").stdout.strip() == "bound"
    decrypt = ["systemd-creds", "decrypt", "--name=root-key", ROOT_KEY, "-"]
    assert bare_machine.run(decrypt).stdout.startswith("host:")
    bare_machine.run("mv /dev/tpmrm0 /dev/tpm.away" if takes_part else f"mv {HOST_SECRET} {HOST_SECRET}.away")
    assert bare_machine.run(decrypt, check=False).returncode != 0


def test_without_its_credential_it_is_sealed_and_says_how_to_open_it(host: Machine) -> None:
    """The cure in the message is what works."""
    host.run(["mv", ROOT_KEY, "/root/root-key"])
    restart(host)
    sealed = get(host, "a")
    assert sealed.returncode == 3
    assert "keybearer seal unseal" in sealed.stderr
    host.run(["keybearer", "seal", "unseal", "--password-stdin"], input=f"{PASSPHRASE}\n")
    assert get(host, "a").stdout.strip() == "acknowledged"
    host.run(["mv", "/root/root-key", ROOT_KEY])


def test_passwords_are_hashed_beside_what_matters_more(host: Machine) -> None:
    """The threads of its pool are nice to the one that serves, in the sandbox too."""
    pid = host.run(["systemctl", "show", "-P", "MainPID", UNIT]).stdout.strip()
    nice = [int(word) for word in host.run(["ps", "-L", "-o", "ni=", "-p", pid]).stdout.split()]
    everybody = int(host.run("ps -o ni= -p 1").stdout)  # not 0 where the tests themselves are run by nice(1)
    assert nice[0] == everybody and len(nice) > 1 and set(nice[1:]) == {10}, nice


def greet(machine: Machine) -> None:
    """The broker says hello to its stores, as it does every minute: it hears what to keep, and tells what it kept."""
    machine.run(["systemctl", "restart", "keybearerd.service"])


@pytest.mark.parametrize("what", ["store.db", "."], ids=["file", "folder"])
def test_a_database_put_back_is_noticed(host: Machine, what: str) -> None:
    """Yesterday's file by the one beside it, yesterday's whole folder by what the broker has kept."""
    host.run(["systemctl", "stop", UNIT])
    host.run(["cp", "-a", STATE, "/var/tmp/yesterday"])
    restart(host)
    keep(host, "b", value="later")
    greet(host)
    host.wait_for(lambda: get(host, "b").returncode == 0, what="a broker that answers")
    host.run(["systemctl", "stop", UNIT])
    host.run(["cp", "-aT", f"/var/tmp/yesterday/{what}", f"{STATE}/{what}"])
    restart(host)
    greet(host)
    host.wait_for(lambda: "keybearer store accept" in get(host, "a").stderr, what="a store that knows it is old")
    assert get(host, "a").returncode == 3
    host.run(["keybearer", "store", "accept"])
    assert get(host, "a").stdout.strip() == "acknowledged"
    assert get(host, "b").returncode == 6
    host.run(["rm", "-r", "/var/tmp/yesterday"])


def test_keys_are_rotated_and_a_backup_comes_back(host: Machine) -> None:
    """While it runs; and after the restore it still opens by itself."""
    host.run(["keybearer", "store", "rotate-key"])
    host.run(["keybearer", "store", "backup", "/root/backup.kb"])
    assert "acknowledged" not in host.run(["strings", "/root/backup.kb"], check=False).stdout
    keep(host, "a", value="after the backup")
    host.run(["keybearer", "store", "restore", "/root/backup.kb"])
    assert get(host, "a").stdout.strip() == "acknowledged"
    restart(host)
    assert get(host, "a").stdout.strip() == "acknowledged"


# Starts a unit again and again, which keeps what it was given.
STARTS = "while [ ! -e /run/enough ]; do systemctl start eager.service || echo failed >>/run/got; done"
EAGER = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cat $CREDENTIALS_DIRECTORY/eager.value >>/run/got; echo >>/run/got'
"""


def rotate_on_a_terminal(machine: Machine) -> set[int]:
    """Rotates the keys, with a person who looks on; returns the percents that were shown."""
    shown = machine.dialogue("keybearer store rotate-key", timeout=120)
    assert shown.returncode == 0, shown.stdout
    return {int(percent) for percent in re.findall(r"\r *(\d+)% ", shown.stdout)}


def issued_meanwhile(machine: Machine) -> bool:
    """Whether the log has a grant between the beginning and the end of a rotation."""
    shown = machine.run("keybearer audit show --json").stdout.splitlines()
    rows = [row for row in map(json.loads, shown) if row.get("action") == "store rotate-key" or row["event"] == "grant-issued"]
    words = " ".join(row["event"] for row in rows)
    return re.search(r"admin-asked (grant-issued )+admin-done", words) is not None


def test_units_start_while_keys_are_rotated_and_a_terminal_sees_how_far(host: Machine) -> None:
    """What was sealed with the key before, and what is with the new one, is the same to them; in a pipe it is quiet."""
    host.run("for i in $(seq 70); do echo $i | keybearer secret put kv/many/$i value; done", timeout=120)
    define(host, "eager", "kv/a", "eager.service")
    service(host, "eager.service", EAGER)
    add(host, "eager.service", "eager")
    with host.popen(STARTS) as starter:
        try:
            host.wait_for(lambda: host.run("test -e /run/got", check=False).returncode == 0, 30, "a first start")
            percents = rotate_on_a_terminal(host)
            while not issued_meanwhile(host):
                percents |= rotate_on_a_terminal(host)
        finally:
            host.run("touch /run/enough")
        starter.wait()
    assert len(percents) > 1 and max(percents) <= 100
    assert "%" not in host.run("keybearer store rotate-key 2>&1").stdout
    assert set(host.read("/run/got").splitlines()) == {"acknowledged"}
    assert [get(host, f"many/{i}").stdout.strip() for i in (1, 70)] == ["1", "70"]
    host.run("rm /run/enough /run/got")


def test_the_backup_of_another_host_opens_by_itself_from_then_on(host: Machine, bare_machine: Machine) -> None:
    """The root key that the host keeps is for the store before: a new one takes its place, and setup finds nothing to do."""
    host.run(["keybearer", "store", "backup", "/root/moved.kb"])
    host.copy_out("/root/moved.kb", bare_machine.folder / "moved.kb")
    bare_machine.copy_in(bare_machine.folder / "moved.kb", "/root/moved.kb", 0o600)
    bare_machine.run(INSTALL, timeout=120)
    bare_machine.run("keybearer setup", timeout=120)
    before = bare_machine.run(["sha256sum", ROOT_KEY]).stdout
    restored = bare_machine.run(
        ["keybearer", "store", "restore", "--password-stdin", "/root/moved.kb"], input=f"{PASSPHRASE}\n"
    )
    assert "a new slot opens it with this host's key" in restored.stdout
    assert bare_machine.run(["sha256sum", ROOT_KEY]).stdout != before
    restart(bare_machine)
    assert get(bare_machine, "a").stdout.strip() == "acknowledged"
    assert bare_machine.run(["keybearer", "setup"]).stdout == "nothing to do: this host is set up\n"


def test_a_damaged_record_is_named_with_its_cure(host: Machine) -> None:
    """And the cure, typed as it is printed, is one."""
    keep(host, "broken", value="x")
    host.run(["systemctl", "stop", UNIT])
    copy = host.folder / "store.db"
    host.copy_out(f"{STATE}/store.db", copy)
    with contextlib.closing(sqlite3.connect(copy)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("UPDATE versions SET data = zeroblob(60) WHERE path = 'kv/broken'")
        db.commit()
    host.copy_in(copy, f"{STATE}/store.db", 0o600)
    host.run(["chown", "keybearer-local:", f"{STATE}/store.db"])
    restart(host)
    rotated = host.run(["keybearer", "store", "rotate-key"], check=False)
    assert rotated.returncode == 3
    cure = re.search(r"take it away: (keybearer secret destroy \S+ version=1)", rotated.stderr)
    assert cure, rotated.stderr
    host.run(cure[1].rstrip(";"))
    host.run(["keybearer", "store", "rotate-key"])
    assert get(host, "a").stdout.strip() == "acknowledged"


def test_a_full_disk_is_named_and_loses_nothing(host: Machine) -> None:
    """And when there is room again nobody has to restart anything."""
    host.run(["systemctl", "stop", UNIT])
    host.run(f"cp -a {STATE} /root/state && mount -t tmpfs -o size=3m,mode=700 tmpfs {STATE} && cp -aT /root/state {STATE}")
    host.run(["chown", "--reference=/root/state", STATE])
    restart(host)
    host.run(f"cat /dev/zero >{STATE}/filler", check=False)
    big = "".join(["v" * 200, "\n"])
    full = None
    for number in range(2000):
        full = host.run(["keybearer", "secret", "put", f"kv/big/{number}", "value"], input=big, check=False)
        if full.returncode != 0:
            break
    assert full is not None
    assert full.returncode == 3
    assert re.search("disk is full", full.stderr)
    assert get(host, "a").stdout.strip() == "acknowledged"
    host.run(["rm", f"{STATE}/filler"])
    keep(host, "c", value="room again")
    host.run(["systemctl", "stop", UNIT])
    host.run(["umount", STATE])
    restart(host)


READ_ONLY = "the disk is read-only: nothing was changed; mount it writable"
# Whose write is under way hears of the error itself.
FAILING = f"{READ_ONLY}|the disk reports errors: nothing was changed; look at the kernel's journal"
ALL = "keybearer-store-local.socket keybearer-store-local.service"
PASSWORD = "several long words"
ENTER = "pamtester sshd ana authenticate acct_mgmt"


def test_a_disk_that_goes_read_only_is_named_and_loses_nothing(host: Machine) -> None:
    """Under a store that runs, as a disk does that fails: what is kept is still given, people come in, and what would have
    to be written is refused with the reason, in a unit's own status too. Mounted again, all is as it was."""
    host.run("keybearer user add ana --password-stdin && keybearer rule add doors who=ana service=sshd", input=f"{PASSWORD}\n")
    host.run("keybearer ca create hosts && keybearer ca role-set web ca=hosts domains=localhost server=yes")
    define(host, "web-tls", "pki/issue/web", "web.service", "Param.common_name=localhost\nOnUnavailable=fail")
    service(host, "web.service")
    add(host, "web.service", "web-tls")
    drop_in(host, "web.service", {"Restart": "no"})
    host.run(f"systemctl stop {ALL}")
    with Disk(host, STATE) as disk:
        host.run("systemctl start keybearer-store-local.socket")
        keep(host, "before", value="on disk")
        disk.fail()
        for _ in range(2):
            refused = host.run("keybearer secret put kv/meanwhile value", input="x\n", check=False)
            assert refused.returncode == 3 and re.search(FAILING, refused.stderr), refused.stderr
        assert get(host, "before").stdout.strip() == "on disk"
        assert READ_ONLY in host.run("keybearer store backup /root/never.kb", check=False).stderr
        host.run(ENTER, input=f"{PASSWORD}\n")
        assert host.run(ENTER, input="wrong\n", check=False).returncode != 0
        assert host.run("systemctl start web.service", check=False).returncode != 0
        assert re.search(FAILING, status(host, "web.service"))
        restart(host)  # one that starts there gives nothing, and says the same
        assert get(host, "before").returncode == 3 and READ_ONLY in get(host, "before").stderr
        host.run(f"systemctl stop {ALL}")
        disk.mend()
        host.run("systemctl start keybearer-store-local.socket")
        assert get(host, "before").stdout.strip() == "on disk"
        assert get(host, "meanwhile").returncode == 6
        keep(host, "after", value="room again")
        host.run("systemctl start web.service")
        host.run(ENTER, input=f"{PASSWORD}\n")
        host.run(f"systemctl stop {ALL}")
    host.run("systemctl start keybearer-store-local.socket")
    assert get(host, "after").stdout.strip() == "room again"
