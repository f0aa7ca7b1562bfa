# SPDX-License-Identifier: Apache-2.0
"""The demo shows what is true: every step of it is right on every release."""

from __future__ import annotations

import sys
from pathlib import Path

from machine import Machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))


def test_every_step_of_the_demo_is_right(bare_machine: Machine) -> None:
    """Plays ./dev demo from beginning to end."""
    from player import Step, play
    from steps import STEPS

    assert play(bare_machine, STEPS) == sum(isinstance(step, Step) for step in STEPS)
