#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Includes follow the arrows that docs/HACKING.md lists under "Folders and arrows", and no others."""

from __future__ import annotations

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TREES = ("common", "cli", "directory", "docs", "helper", "nss_module", "pam_module", "tests")

# Libraries that read what comes from a network, and the folders that may.
LIBRARIES = {"curl": {"helper/store/vault"}, "json-c": {"helper/store/vault", "cli"}}


def expand(text: str) -> list[str]:
    """helper/{a,b} is helper/a and helper/b."""
    braces = re.match(r"(.*)\{(.*)\}(.*)", text)
    return [braces[1] + part + braces[3] for part in braces[2].split(",")] if braces else [text]


def arrows() -> dict[str, set[str]]:
    """Folder -> folders that it may include, from the page."""
    page = (TOP / "docs/HACKING.md").read_text()
    allowed: dict[str, set[str]] = {}
    for left, right in re.findall(r"^    (\S.*?) +-> +(.+?)(?: +\(.*\))?$", page, re.M):
        targets = {folder for part in re.split(r", (?![^{]*\})", right) for folder in expand(part.strip())}
        for source in re.split(r", ", left):
            allowed.setdefault(source, set()).update(targets)
    return allowed


def folder_of(path: str, allowed: dict[str, set[str]]) -> str:
    """The longest folder of the page that holds this file; helper/store/NAME stands for every store."""
    store = re.match(r"helper/store/([^/]+)/", path)
    if store:
        return "helper/store/NAME"
    parents = [str(parent) for parent in Path(path).parents]
    return next((parent for parent in parents if parent in allowed), parents[-2])


def may(path: str, included: str, allowed: dict[str, set[str]]) -> bool:
    """Whether a file may include another one."""
    source, target = folder_of(path, allowed), folder_of(included, allowed)
    if source == target == "helper/store/NAME":
        return Path(path).parent == Path(included).parent
    if source == target or source in ("tests", "docs"):
        return True
    if target == "tests":
        return False
    # An arrow to a single file (directory/nss_reader) allows that file only.
    wanted = allowed["everything"] | allowed.get(source, set())
    return any(target == folder or Path(included).with_suffix("") == Path(folder) for folder in wanted)


def main() -> int:
    """Prints every include that follows no arrow."""
    allowed = arrows()
    wrong = 0
    files = [file for tree in TREES for file in sorted((TOP / tree).rglob("*.[ch]"))]
    for file in files:
        path = str(file.relative_to(TOP))
        for number, line in enumerate(file.read_text().splitlines(), 1):
            library = re.match(r"\s*#\s*include <([^/>]+)/", line)
            folder = str(Path(path).parent)
            if library and not path.startswith("tests/") and folder not in LIBRARIES.get(library[1], {folder}):
                print(f"{path}:{number}: {library[1]} is not for this folder")
                wrong += 1
            include = re.match(r'\s*#\s*include "([^"]+)"', line)
            if include is None or "/" not in include[1]:
                continue
            if not may(path, include[1], allowed):
                print(f"{path}:{number}: no arrow from here to {include[1]}")
                wrong += 1
    print(f"{len(files)} files, {wrong} wrong")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main())
