# SPDX-License-Identifier: Apache-2.0
"""The table of figures: what is compared with what, and how much worse than the other ours may be.

A figure is a ratio of two things measured in turns in the same run, ours over the other: below 1 we are ahead.
`bound` is what ./dev bench --check fails beyond. It leaves room for a noisy machine, not for a regression.
`wanted` is where we want to be, and says so where we are not yet.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One row."""

    key: str
    section: str
    title: str
    other: str
    unit: str
    bound: float
    wanted: float | None = None


FIGURES = [
    Figure("person", "names", "getpwnam_r, a person", "a module that answers a constant", "us", 1.5, 1.15),
    Figure("person-id", "names", "getpwuid_r, a person", "a module that answers a constant", "us", 1.5, 1.15),
    Figure("nobody", "names", "getpwnam_r, nobody", "a module that answers a constant", "us", 1.5, 1.15),
    Figure("group", "names", "getgrnam_r, a person's group", "a module that answers a constant", "us", 1.5, 1.2),
    Figure("groups", "names", "getgrouplist", "a module that answers a constant", "us", 1.5, 1.2),
    Figure("person-files", "names", "getpwnam_r, a person", "`files`", "us", 0.05),
    Figure("nobody-files", "names", "getpwnam_r, nobody", "`files`", "us", 0.05),
    Figure("everybody-files", "names", "getgrnam_r, a group of 10,000", "`files`", "us", 0.5),
    Figure("person-nscd", "names", "getpwnam_r, a person", "nscd that has it in memory", "us", 60),
    Figure("nobody-nscd", "names", "getpwnam_r, nobody", "nscd that has it in memory", "us", 60),
    Figure("new-nobody-nscd", "names", "getpwnam_r, nobody, a new name each time", "nscd", "us", 0.1),
    Figure("raw-encrypted", "units", "one request, encrypted, its grant in the log", "a static server", "us", 2.4, 1.5),
    Figure("raw-plain", "units", "one request, plain, its grant in the log", "a static server", "us", 2.2, 1.5),
    Figure("start-encrypted", "units", "`systemctl start`, encrypted", "systemd's own encrypted file", "ms", 1.5, 1.15),
    Figure("start-plain", "units", "`systemctl start`, plain", "a plain file", "ms", 1.5, 1.15),
    Figure("start-encrypted-file", "units", "`systemctl start`, encrypted", "a plain file", "ms", 1.6, 1.15),
    Figure("hundred", "units", "100 units at once, encrypted", "systemd's own encrypted files", "ms", 2.0, 1.15),
    Figure("login", "logins", "a login, from start to end", "pam_unix, same hash", "ms", 1.6, 1.15),
    Figure("login-auth", "logins", "pam_authenticate of it", "pam_unix, same hash", "ms", 1.6, 1.15),
    Figure("ready", "processes", "broker: from start to READY", "a program that is ready at once, same sandbox", "ms", 4, 2),
    Figure("memory-idle", "processes", "memory of all processes", "journald of the same host", "MiB", 2),
    Figure("memory-1000", "processes", "the same, 1,000 grants", "journald of the same host", "MiB", 3),
]


@dataclass
class Sample:
    """What a run has of one figure: a value of ours and one of the other's per turn."""

    ours: list[float] = field(default_factory=list)
    other: list[float] = field(default_factory=list)

    def add(self, ours: float, other: float) -> None:
        """One turn."""
        self.ours.append(ours)
        self.other.append(other)

    @property
    def ratios(self) -> list[float]:
        """Turn by turn: a neighbour that comes and goes is in both."""
        return [a / b for a, b in zip(self.ours, self.other)]

    @property
    def ratio(self) -> float:
        """The one that counts."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The middle half of the turns."""
        ratios = self.ratios
        if len(ratios) < 2:
            return ratios[0], ratios[0]
        low, _, high = statistics.quantiles(ratios, n=4)
        return low, high


Samples = dict[str, Sample]


def from_turns(turns: dict[str, list[float]], ours: str, other: str, scale: float = 1) -> Sample:
    """A sample out of what each of several took in its turns."""
    sample = Sample()
    for a, b in zip(turns[ours], turns[other]):
        sample.add(a * scale, b * scale)
    return sample


def by_name(lines: Sequence[str], column: int = 1) -> dict[str, list[float]]:
    """Lines of a name and numbers: one of the numbers, per name, in order."""
    turns: dict[str, list[float]] = {}
    for line in lines:
        words = line.split()
        turns.setdefault(words[0], []).append(float(words[column]))
    return turns
