# SPDX-License-Identifier: Apache-2.0
"""Plays commands on a machine with their real output; one is ticked only when what it shows was checked."""

from __future__ import annotations

import re
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from machine import Machine, MachineError  # noqa: E402

WIDTH = 79
COLOUR = sys.stdout.isatty()


@dataclass(frozen=True)
class Chapter:
    """A headline, with a sentence on what the next steps show."""

    title: str
    text: str = ""


@dataclass(frozen=True)
class Step:
    """One command that the visitor sees, and what must be true of it.

    `says` is a pattern that its output must have, `never` one that it must not
    have, `exit` its exit code; `check` is a command, not shown, that must succeed
    within `within` seconds. Of a long output the first `lines` lines are shown.
    With `answers` it runs on a terminal, where they are typed as they are asked
    for: (pattern, text), and the text may be "@FILE", a file of the machine.
    """

    title: str
    command: str
    says: str = ""
    never: str = ""
    check: str = ""
    user: str = "root"
    input: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    exit: int = 0
    within: float = 10
    lines: int = 8


def paint(code: str, text: str) -> str:
    """The text in a colour, on a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def perform(machine: Machine, step: Step) -> tuple[str, str]:
    """Runs a step; returns its output, and why it is wrong or an empty text."""
    if step.answers:
        answers = [(asked, machine.read(text[1:]).strip() if text[0] == "@" else text) for asked, text in step.answers]
        try:
            result = machine.dialogue(step.command, *answers, user=step.user, timeout=60)
        except MachineError as error:
            return "", str(error)
    else:
        command = ["bash", "-c", f"cd ~ && {step.command}"]
        result = machine.run(command, user=step.user, input=step.input, check=False, timeout=120)
    output = (result.stdout + result.stderr).strip()
    if result.returncode != step.exit:
        return output, f"exit code {result.returncode}, not {step.exit}"
    if step.says and not re.search(step.says, output, re.MULTILINE):
        return output, f"no /{step.says}/ in it"
    if step.never and re.search(step.never, output, re.MULTILINE):
        return output, f"there is /{step.never}/ in it"
    end = time.monotonic() + step.within
    while step.check and machine.run(["bash", "-c", step.check], check=False).returncode:
        if time.monotonic() > end:
            return output, f"is not so: {step.check}"
        time.sleep(0.1)
    return output, ""


def fold(line: str, width: int = WIDTH - 4) -> list[str]:
    """A line in pieces that fit."""
    first, *rest = textwrap.wrap(line, width - 4, drop_whitespace=False) if len(line) > width else [line]
    return [first, *(f"    {piece.strip()}" for piece in rest)]


def show(step: Step, output: str, wrong: str, seconds: float) -> None:
    """One step on the screen: tick and title, the command, the first lines of what it said."""
    mark = paint("31", "✗") if wrong else paint("32", "✓")
    print(f"  {mark} {paint('1', step.title)}{' ' * (WIDTH - 12 - len(step.title))} {seconds:4.1f} s")
    prompt = "#" if step.user == "root" else "$"
    for line in step.command.splitlines():
        for piece in fold(f"{prompt} {line}"):
            print("    " + paint("36", piece))
        prompt = " "
    lines = output.splitlines()
    for line in lines if wrong else lines[: step.lines]:
        for piece in fold(line):
            print("    " + piece)
    if len(lines) > step.lines and not wrong:
        print(f"    ... {len(lines) - step.lines} more lines")
    if wrong:
        print("    " + paint("31", wrong))
    print(flush=True)


def play(machine: Machine, steps: list[Chapter | Step]) -> int:
    """Plays all steps, to the first that is wrong; returns how many were right."""
    right = 0
    for step in steps:
        if isinstance(step, Chapter):
            print(paint("1;34", f"\n{step.title}") + "\n" + paint("34", "─" * len(step.title)))
            if step.text:
                print(step.text + "\n")
            continue
        began = time.monotonic()
        output, wrong = perform(machine, step)
        show(step, output, wrong, time.monotonic() - began)
        if wrong:
            raise SystemExit(f"stopped at: {step.title}")
        right += 1
    return right
