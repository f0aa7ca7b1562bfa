# SPDX-License-Identifier: Apache-2.0
"""What `keybearer doctor` finds, and that the command it prints mends it: as printed, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from machine import Machine

STATE = "/var/lib/keybearer"

# The check that has to find it, and what breaks the host for it.
BREAKS: tuple[tuple[str, str], ...] = (
    ("settings are well formed", "printf '[Logn]\nMode=enforce\n' >/etc/keybearer/keybearer.conf"),
    # lazily: another service's view of the mounts may still hold it for a while
    ("keys lie in memory only", "systemctl stop 'keybearer*.socket' keybearerd keybearer-store-local; "
                                "umount --lazy /run/keybearer"),
    ("socket for root's processes", "systemctl stop keybearer-root.socket"),
    ("socket for everyone", "systemctl disable -q --now keybearer-auth.socket"),
    ("socket for units", "systemctl mask -q --now keybearer-encrypted.socket"),
    ("socket for units, plain", "systemctl stop keybearer-plain.socket"),
    ("socket of the local store", "systemctl stop keybearer-store-local.socket"),
    ("keybearerd is enabled", "systemctl disable -q keybearerd.service"),
    ("keybearerd answers", "systemctl mask -q --now keybearerd.service"),
    ("the store answers", "keybearer seal seal"),
    ("decisions are enforced", "rm -rf /etc/keybearer/keybearer.conf.d; "
     "printf '[Login]\nMode=observe\n' >/etc/keybearer/keybearer.conf; systemctl reload keybearerd"),
    ("nobody came in by a recovery code", "keybearer user add rex --no-password; code=$(keybearer recovery 1 | "
     "grep -oE '([0-9A-Z]{5}-){4}[0-9A-Z]{5}'); systemctl mask -q --now keybearer-store-local.socket "
     "keybearer-store-local.service; printf 'x\\n%s\\n' $code | pamtester sshd rex authenticate; systemctl unmask -q "
     "keybearer-store-local.socket keybearer-store-local.service; systemctl start keybearer-store-local.socket"),
    ("the log is root's alone", f"chmod 0755 {STATE}/log"),
    ("what stores gave to keep is root's alone", f"chmod 0770 {STATE}/keep"),
    ("the directory is root's alone", f"chown daemon {STATE}/directory"),
    ("names can be read by all", f"chmod 0700 {STATE}/nss"),
    ("there is a file of names", f"rm {STATE}/nss/generation"),
    ("PAM: a denial counts", "sed -i '/pam_keybearer/d' /etc/pam.d/common-account"),
    ("PAM: a denial counts", "sed -i '/pam_keybearer/s/default=bad/default=ignore/' /etc/pam.d/common-account"),
    ("PAM: nothing jumps over a denial", "sed -i '1i account sufficient pam_unix.so' /etc/pam.d/common-account"),
    ("PAM: nothing jumps over a denial", "sed -i '/pam_unix/s/success=1/success=3/' /etc/pam.d/common-account"),
    ("PAM: passwords", "sed -i '/pam_keybearer/d' /etc/pam.d/common-auth"),
    ("PAM: change of password", "sed -i '/pam_keybearer/d' /etc/pam.d/common-password"),
    ("PAM: sessions", "sed -i '/pam_keybearer/d' /etc/pam.d/common-session"),
    ("people's names are looked up", "sed -i '/^passwd:/s/ keybearer//' /etc/nsswitch.conf"),
    ("people's names are looked up", "sed -i '/^passwd:/s/ files keybearer/ keybearer files/' /etc/nsswitch.conf"),
    ("groups' names are looked up", "sed -i '/^group:/s/ keybearer//' /etc/nsswitch.conf"),
    ("nobody else answers for our people", "keybearer user add ana --no-password; "
     "mkdir -p /etc/userdb && echo '{\"userName\":\"ana\",\"uid\":70000,\"gid\":70000}' >/etc/userdb/ana.user && "
     "grep -q '^passwd:.*systemd' /etc/nsswitch.conf || sed -i '/^passwd:/s/$/ systemd/' /etc/nsswitch.conf"),
)


def findings(machine: Machine) -> list[dict[str, Any]]:
    """What doctor has found, in its order."""
    said = machine.run("keybearer doctor --json", check=False, timeout=120)
    rows: list[dict[str, Any]] = json.loads(said.stdout)
    wrong = [row for row in rows if not row["well"]]
    assert said.returncode == (1 if wrong else 0)
    return wrong


def test_a_host_that_was_set_up_is_well(own_machine: Machine) -> None:
    """After `keybearer setup` there is nothing to find."""
    assert findings(own_machine) == []
    assert "WRONG" not in own_machine.run("keybearer doctor").stdout


@pytest.mark.parametrize(("check", "script"), BREAKS, ids=[f"{i}: {row[0]}" for i, row in enumerate(BREAKS)])
def test_what_is_printed_mends_what_was_broken(own_machine: Machine, check: str, script: str) -> None:
    """Broken by the script, found by the check, well after the printed commands, in the order they are printed."""
    own_machine.run(script)
    wrong = findings(own_machine)
    assert check in [row["check"] for row in wrong]
    for row in wrong:
        assert row["cause"] and row["cure"]
        own_machine.run(row["cure"], env={"EDITOR": "sed -i s/Logn/Login/"}, check=False, timeout=90)
    assert findings(own_machine) == []
