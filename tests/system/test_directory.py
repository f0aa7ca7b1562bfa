# SPDX-License-Identifier: Apache-2.0
"""The directory on a host that has accounts of its own, and disks and stores that are slow or gone."""

from __future__ import annotations

import pytest
from machine import Machine

PASSWORD = "several long words"
LOCAL = "bea:x:1777:1777::/home/bea:/bin/sh"


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with ana and bea."""
    for user in ("ana", "bea"):
        own_machine.run(f"keybearer user add {user} --password-stdin", input=f"{PASSWORD}\n")
    own_machine.run("keybearer rule add doors who='ana bea' service='cron sudo'")
    return own_machine


def account(host: Machine, user: str) -> str:
    """What pam_acct_mgmt() says to cron."""
    result = host.run(["pamtester", "cron", user, "acct_mgmt"], check=False)
    return (result.stdout + result.stderr).strip()


def by_keybearer(host: Machine, name: str) -> str:
    """What our file of names alone says."""
    return host.run(f"getent -s keybearer passwd {name}", check=False).stdout.strip()


def test_who_becomes_the_hosts_own_is_ours_no_more(host: Machine) -> None:
    """A local account takes over from a person of the same name, with the store away, and the log says so; once
    it is gone, the person is back."""
    assert by_keybearer(host, "bea").startswith("bea:*:")
    host.run("systemctl stop keybearer-store-local.socket keybearer-store-local.service")
    host.run(f"echo '{LOCAL}' >>/etc/passwd")
    host.wait_for(lambda: by_keybearer(host, "bea") == "", 20, "bea is ours no more")
    assert host.run("getent passwd bea").stdout.strip() == LOCAL
    assert by_keybearer(host, "ana").startswith("ana:*:")
    assert "account management done" in account(host, "ana")
    host.wait_for(lambda: "because this host's files have them: bea" in host.messages("keybearerd.service"), 20,
                  "the journal says who was left out")
    assert host.run("keybearer metrics").stdout.count("keybearer_directory_left_out 1") == 1
    host.run("sed -i /^bea:x:1777:/d /etc/passwd")
    host.wait_for(lambda: by_keybearer(host, "bea").startswith("bea:*:"), 20, "bea is back")
    assert "account management done" in account(host, "bea")
    host.run("systemctl start keybearer-store-local.socket")
