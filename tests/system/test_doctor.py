# SPDX-License-Identifier: Apache-2.0
"""What `keybearer doctor` finds, and that the command it prints mends it: as printed, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from machine import Machine, MachineError

STATE = "/var/lib/keybearer"

LOG = f"{STATE}/log"
KEY = "/var/lib/systemd/credential.secret"
PHRASE = "a long phrase with 7 words in it"
ROLE = "ca=doctors domains=localhost server=yes ttl=1h"

STOP = "systemctl stop 'keybearer*.socket' keybearerd keybearer-store-local; "
START = "; systemctl start keybearer-root.socket keybearer-auth.socket " \
        "keybearer-encrypted.socket keybearer-plain.socket keybearer-store-local.socket keybearerd"

# A disk of its own for the log, with the log on it, and nearly nothing free. It stays: what is well afterwards is
# well on it.
FILL = (f"{STOP} mkdir -p /mnt/disk && mount -t tmpfs -o size=4m,mode=0700 tmpfs /mnt/disk && cp -a {LOG}/. /mnt/disk && "
        f"mount --bind /mnt/disk {LOG} {START}; cat /dev/zero >{LOG}/ballast; "
        "for i in $(seq 40); do "
        "timeout 2 keybearer audit anchor >/dev/null && sleep 0.2 || break; done; true")

# A read-only disk under a folder, with what was in it, before anybody writes there. It stays, too.
READ_ONLY = (f"{STOP} cp -a %s /root/copy && mount -t tmpfs -o size=16m tmpfs %s && cp -aT /root/copy %s && rm -r /root/copy && "
             f"mount -o remount,ro %s {START}")
STORE = "/var/lib/keybearer-store-local"

# A unit with a certificate that is to be renewed after two seconds.
SHORT_LIVED = f"""
keybearer ca show doctors >/dev/null 2>&1 || keybearer ca create doctors common-name=Doctors >/dev/null
keybearer ca role-set doctor {ROLE} >/dev/null
printf '[Credential]\nPath=pki/issue/doctor\nParam.common_name=localhost\nParam.ttl=%s\n[Allow]\nUnit=ill.service\n' $TTL \
    >/etc/keybearer/credentials.d/ill.conf
systemctl reload keybearerd
printf '[Service]\nType=exec\nExecStart=sleep infinity\n' >/etc/systemd/system/ill.service
keybearer unit add ill.service ill
systemctl restart ill.service
"""

# An old list in the place of the CA's.
OLD_LIST = f"""
keybearer ca show doctors >/dev/null 2>&1 || keybearer ca create doctors common-name=Doctors >/dev/null
mkdir -p /root/old && cd /root/old && : >index && echo 01 >number
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=old -keyout key -out ca 2>/dev/null
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n' >conf
openssl ca -config conf -gencrl -keyfile key -cert ca -crl_lastupdate 20200101000000Z -crl_nextupdate 20200102000000Z \
    -out {STATE}/pki/local.doctors.crl 2>/dev/null
"""

# What the broker keeps of the directory, as if the store had confirmed it for the last time an hour ago.
OLD_DIRECTORY = f"""
systemctl mask -q --now keybearer-store-local.socket keybearer-store-local.service
systemctl stop keybearerd
rm -f {STATE}/directory/confirmed
python3 - <<'END'
path = "{STATE}/directory/current"
data = bytearray(open(path, "rb").read())
at = 4 + int.from_bytes(data[:4], "little") + 1 + 8 + 8  # the store's name and its NUL, the version, its own end
data[at:at + 8] = (int.from_bytes(data[at:at + 8], "little") - 3600 * 10**6).to_bytes(8, "little")
open(path, "wb").write(data)
END
printf '[Directory]\nMaxAge=1min\n' >/etc/keybearer/keybearer.conf
systemctl start keybearerd
"""

# Files that others own too, as the package left them: rows do not have to live with what earlier ones did.
AS_INSTALLED = """
[ -e /root/login ] || { mkdir /root/login && cp -a --parents /etc/pam.d /etc/nsswitch.conf /etc/ssh/sshd_config \
    /var/lib/pam /root/login; }
cp -a /root/login/. /
"""

# A store that has lost what opens it by itself is opened by hand: each row can count on a slot for that.
BY_HAND = f"keybearer seal list | grep -q by-hand || echo '{PHRASE}' | keybearer seal add by-hand kind=passphrase --password-stdin"

# What an administrator types where a command asks.
ANSWERS = f"{PHRASE}\n"

# The check that has to find it, what breaks the host for it, and what a person decides where the check says so.
BREAKS: tuple[tuple[str, ...], ...] = (
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
    # as if it had been installed, and the one before still ran
    ("keybearerd is the one installed", "sed -i 's/0\\.1\\.0/0.1.9/g' /usr/bin/keybearer /usr/libexec/keybearer/keybearerd"),
    ("keybearerd answers", "systemctl mask -q --now keybearerd.service"),
    ("the store answers", "keybearer seal seal"),
    # opened by hand, since the file that opens it by itself is gone
    ("the store answers", "rm /etc/credstore.encrypted/keybearer-store-local.root-key; systemctl stop keybearer-store-local"),
    ("the store answers", "echo nonsense >/etc/credstore.encrypted/keybearer-store-local.root-key; "
     "systemctl stop keybearer-store-local"),
    # one that was wanted, and that cannot be mended from here
    ("other stores answer", "printf '[Store]\nType=vault\n[Server]\nAddress=https://127.0.0.1:9\n[Login]\nMethod=token\nTokenFile=/t\n' "
     ">/etc/keybearer/stores/prod.conf; chgrp keybearer-vault /etc/keybearer/stores/prod.conf; "
     "chmod 0640 /etc/keybearer/stores/prod.conf; systemctl restart keybearerd",
     "rm /etc/keybearer/stores/prod.conf; systemctl disable -q --now keybearer-store-vault@prod.socket "
     "keybearer-store-vault@prod.service; systemctl restart keybearerd"),
    # another host's key, or a new one, in the place of this host's
    ("keybearerd has this host's key", f"rm {KEY}; systemd-creds setup"),
    ("what stores gave to keep can be opened", f"{STOP} rm {KEY}; systemd-creds setup {START}; sleep 1"),
    ("the log is written", FILL, f"rm {LOG}/ballast"),
    ("the log is written", READ_ONLY.replace("%s", LOG)),
    ("the store answers", READ_ONLY.replace("%s", STORE)),
    ("the journal takes records", "systemctl stop systemd-journald.socket systemd-journald-dev-log.socket "
     "systemd-journald; rm -f /run/systemd/journal/socket; keybearer audit anchor >/dev/null; sleep 2"),
    ("grants are renewed", f"TTL=6s; {SHORT_LIVED} keybearer ca role-remove doctor; sleep 5",
     f"keybearer ca role-set doctor {ROLE}"),
    ("grants are revoked", f"TTL=1h; {SHORT_LIVED} systemctl mask -q --now keybearer-store-local.socket "
     "keybearer-store-local.service; systemctl stop ill.service; sleep 2"),
    ("revocation lists are good", OLD_LIST),
    ("the directory is good", "systemctl mask -q --now keybearer-store-local.socket keybearer-store-local.service; "
     "systemctl restart keybearerd; sleep 1"),
    ("the directory is young enough", OLD_DIRECTORY),
    ("there are recovery codes", f"systemctl stop keybearerd; rm {STATE}/keep/login.recovery; systemctl start keybearerd"),
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
    ("there is a file of names", f"rm {STATE}/nss/users-1"),
    ("PAM: a denial counts", "sed -i '/pam_keybearer/d' /etc/pam.d/common-account"),
    ("PAM: a denial counts", "sed -i '/pam_keybearer/s/default=bad/default=ignore/' /etc/pam.d/common-account"),
    ("PAM: nothing jumps over a denial", "sed -i '/pam_unix/s/success=1/success=3/' /etc/pam.d/common-account"),
    ("PAM: nothing jumps over a denial", "sed -i '1i account sufficient pam_unix.so' /etc/pam.d/common-account"),
    ("PAM: passwords", "sed -i '/pam_keybearer/d' /etc/pam.d/common-auth"),
    ("PAM: change of password", "sed -i '/pam_keybearer/d' /etc/pam.d/common-password"),
    ("PAM: sessions", "sed -i '/pam_keybearer/d' /etc/pam.d/common-session"),
    ("PAM: sessions of jobs", "sed -i '/pam_keybearer/d' /etc/pam.d/common-session-noninteractive"),
    ("sshd asks PAM", "sed -i 's/^UsePAM yes/UsePAM no/' /etc/ssh/sshd_config"),
    ("people's names are looked up", "sed -i '/^passwd:/s/ keybearer//' /etc/nsswitch.conf"),
    ("people's names are looked up", "sed -i '/^passwd:/s/ keybearer/ [NOTFOUND=return] keybearer/' /etc/nsswitch.conf"),
    ("people's names are looked up", "sed -i '/^passwd:/d' /etc/nsswitch.conf"),
    ("people's names are looked up", "sed -i '/^passwd:/s/ files keybearer/ keybearer files/' /etc/nsswitch.conf"),
    ("groups' names are looked up", "sed -i '/^group:/s/ keybearer//' /etc/nsswitch.conf"),
    ("nobody else answers for our people", "keybearer user add ana --no-password; "
     "mkdir -p /etc/userdb && echo '{\"userName\":\"ana\",\"uid\":70000,\"gid\":70000}' >/etc/userdb/ana.user && "
     "grep -q '^passwd:.*systemd' /etc/nsswitch.conf || sed -i '/^passwd:/s/$/ systemd/' /etc/nsswitch.conf", "rm /etc/userdb/ana.user"),
    # edited by hand, so that pam-auth-update keeps its hands off
    ("PAM: passwords", "sed -i '/pam_keybearer/d;s/^auth.*pam_deny/auth optional pam_echo.so\\n&/' /etc/pam.d/common-auth && "
     "sed -i '/per-package modules (the .Primary/a auth optional pam_echo.so' /etc/pam.d/common-auth",
     "sed -i '0,/^auth.*success=1/s//auth [success=4 ignore=ignore user_unknown=ignore default=die] pam_keybearer.so\\n&/' "
     "/etc/pam.d/common-auth"),
)

# What needs a server beside the host is broken and mended where there is one.
ELSEWHERE = {"servers let credentials be fetched"}  # test_policies.py

# What stays as it is when somebody follows the advice: nothing that others put there may be lost.
NSSWITCH_OF_OTHERS = "passwd: files [NOTFOUND=return] sss # o'clock\ngroup: files [SUCCESS=merge] systemd\nhosts: files dns\n"
NSSWITCH_MENDED = ("passwd: files keybearer [NOTFOUND=return] sss # o'clock\n"
                   "group: files [SUCCESS=merge] keybearer [SUCCESS=merge] systemd\nhosts: files dns\n")



def rows(machine: Machine) -> list[dict[str, Any]]:
    """Everything doctor has looked at, in its order."""
    said = machine.run("keybearer doctor --json", check=False, timeout=120)
    all_rows: list[dict[str, Any]] = json.loads(said.stdout)
    assert said.returncode == (0 if all(row["well"] for row in all_rows) else 1)
    return all_rows


def findings(machine: Machine) -> list[dict[str, Any]]:
    """What doctor has found."""
    return [row for row in rows(machine) if not row["well"]]


def follow(machine: Machine, wrong: list[dict[str, Any]]) -> None:
    """Types what is printed, in the order in which it is printed."""
    for row in wrong:
        assert row["cause"] and row["cure"]
        machine.run(row["cure"], env={"EDITOR": "sed -i s/Logn/Login/"}, input=ANSWERS, check=False, timeout=90)


def test_every_check_has_a_script_that_breaks_the_host_for_it(own_machine: Machine) -> None:
    """Nobody adds a check whose cure was never tried."""
    assert {row["check"] for row in rows(own_machine)} == {check for check, *_ in BREAKS} | ELSEWHERE


def test_a_host_that_was_set_up_is_well(own_machine: Machine) -> None:
    """After `keybearer setup` there is nothing to find."""
    assert findings(own_machine) == []
    assert "WRONG" not in own_machine.run("keybearer doctor").stdout


@pytest.mark.parametrize("row", BREAKS, ids=[f"{i}: {row[0]}" for i, row in enumerate(BREAKS)])
def test_what_is_printed_mends_what_was_broken(own_machine: Machine, row: tuple[str, ...]) -> None:
    """Broken by the script, found by the check, well after the printed commands, in the order they are printed."""
    check, script, *decision = row
    own_machine.run(AS_INSTALLED)
    own_machine.run(BY_HAND)
    own_machine.run(script, timeout=120)

    def seen() -> list[dict[str, Any]]:
        wrong = findings(own_machine)
        return wrong if check in [row["check"] for row in wrong] else []

    wrong = own_machine.wait_for(seen, 20, f"that something is found: {check}")
    (found,) = (row for row in wrong if row["check"] == check)
    assert ("then" in found) >= bool(decision)
    follow(own_machine, wrong)
    for command in decision:
        own_machine.run(command)
    left: list[dict[str, Any]] = []

    def well() -> bool:
        left[:] = findings(own_machine)
        return not left

    try:
        own_machine.wait_for(well, 30)
    except MachineError:
        assert left == []


def test_the_switch_keeps_what_others_wrote(fresh_machine: Machine) -> None:
    """Sources, order, what is done after each, and comments stay; we come where we are asked."""
    fresh_machine.write("/etc/nsswitch.conf", NSSWITCH_OF_OTHERS)
    follow(fresh_machine, findings(fresh_machine))
    assert fresh_machine.read("/etc/nsswitch.conf") == NSSWITCH_MENDED
    assert findings(fresh_machine) == []


def test_what_it_prints_fits_a_terminal(fresh_machine: Machine) -> None:
    """No line is longer than 80 columns but a command, which has to be pasted in one piece."""
    fresh_machine.run("systemctl stop keybearerd keybearer-root.socket; sed -i s/keybearer// /etc/nsswitch.conf")
    said = fresh_machine.run("keybearer doctor", check=False).stdout
    assert said.count("WRONG") >= 3
    assert [line for line in said.splitlines() if len(line) > 80 and not line.startswith("        # ")] == []
