# SPDX-License-Identifier: Apache-2.0
"""What the README tells a stranger to type works as it stands there."""

from __future__ import annotations

import re

from machine import Machine
from package import TOP

# What the commands ask for, a line each; whoever has a terminal is asked for it.
ANSWERS = {"keybearer secret put": "orders\nhard to guess\n", "keybearer user add": "several long words\n"}

# What a reader of the README has already.
BEFORE = """\
cd /root && mkdir -p build/deb/trixie && ln keybearer*.deb build/deb/trixie/
echo 'APT::Get::Assume-Yes "yes";' >/etc/apt/apt.conf.d/99yes
printf '[Service]\\nExecStart=sleep infinity\\n' >/etc/systemd/system/orders.service
systemctl daemon-reload
"""


def commands(title: str) -> list[str]:
    """The lines of code below a title of the README, without what builds the packages."""
    section = re.search(rf"^## {title}\n(.*?)^## ", (TOP / "README.md").read_text(), re.M | re.S)
    assert section
    return [line for line in re.findall(r"^    (.*)$", section[1], re.M) if not line.startswith("./dev")]


def test_readme_works_as_it_stands(bare_machine: Machine) -> None:
    bare_machine.run(BEFORE)
    typed = commands("Install it")
    assert len(typed) >= 8
    for command in typed:
        answer = next((text for begin, text in ANSWERS.items() if command.startswith(begin)), "")
        bare_machine.run(["sh", "-c", f"cd /root && {command}"], input=answer, timeout=120)
    handed = bare_machine.run("cat /run/credentials/orders.service/orders-db.password").stdout
    assert handed == "hard to guess"
    assert bare_machine.run("id -un ana").stdout.strip() == "ana"
    bare_machine.run("pamtester sshd ana acct_mgmt")
    assert bare_machine.run("pamtester su ana acct_mgmt", check=False).returncode != 0
    bare_machine.run("keybearer doctor && man -w keybearer")
