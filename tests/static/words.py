#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a text names is there: commands, pages, keys, figures; and what a table has, its page has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("top_builddir", TOP / "build/gcc"))
FOLDERS = ("cli", "common", "conf", "directory", "docs", "helper", "man", "nss_module", "packaging", "pam_module")

# Keys of systemd and of others that our texts speak of.
FOREIGN = set(
    """DynamicUser Environment LoadCredential LoadCredentialEncrypted MaxLevelStore MemoryMax MemorySwapMax Restart
    RestartSec StartLimitIntervalSec Storage TimeoutStartSec""".split()
)


def read(path: str) -> str:
    return (TOP / path).read_text(encoding="utf-8")


def texts() -> Iterator[tuple[str, str]]:
    """Every file that somebody reads, or that prints something; strings of C in one piece."""
    files = [TOP / "README.md", TOP / "SECURITY.md"]
    for folder in FOLDERS:
        files += sorted(path for path in (TOP / folder).rglob("*") if path.is_file())
    for path in files:
        name = str(path.relative_to(TOP))
        if re.search(r"\.(md|in|[ch]|def|conf|socket|mount)$|^man/.*\.[1-8]$|keybearer\.p[a-z]+$", name):
            text = path.read_text(encoding="utf-8")
            yield name, re.sub(r'"\s*\n\s*"', "", text).replace("\\n", " ") if re.search(r"\.(c|h|def)$", name) else text


def complain(name: str, what: str) -> int:
    print(f"{name}: {what}")
    return 1


# ---- commands ----

# How a command looks where nothing else can be meant: in backticks, after a prompt, as a macro, on a line of code.
COMMAND = re.compile(r"(`|^\.(?:Ic|Ql|Dl)[ #]+|^[#$] |^    )?\bkeybearer ((?:--?[a-z-]+ )*)([a-z]+)(?: ([a-z][a-z-]*))?", re.M)


def commands() -> dict[str, set[str]]:
    """Object -> actions, from the command's own help."""
    shown = subprocess.run([BUILD / "cli/keybearer", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    table: dict[str, set[str]] = {}
    for line in re.findall(r"^  ([a-z].*?)(?:  |$)", shown, re.M):
        words = line.split()
        actions = table.setdefault(words[0], set())
        if len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]):
            actions.add(words[1])
    return table


def check_commands() -> int:
    table = commands()
    wrong = 0
    for name, text in texts():
        for match in COMMAND.finditer(text):
            sure, _, first, second = match.groups()
            actions = table.get(first)
            if actions is None:
                wrong += complain(name, f"there is no `keybearer {first}`") if sure else 0
            elif actions and second and second not in actions:
                wrong += complain(name, f"there is no `keybearer {first} {second}`")
    return wrong if table else complain("keybearer --help", "lists no command")


# ---- pages ----


def check_pages() -> int:
    there = {(path.stem, path.suffix[1:]) for path in (TOP / "man").glob("*.[1-8]")}
    named = re.compile(r"\b((?:keybearer|pam_keybearer|libnss_keybearer)[a-z.-]*?)(?:\((\d)\)| (\d)\b)")
    wrong = 0
    for name, text in texts():
        for page, section, of_xr in named.findall(text):
            if (section or f".Xr {page} {of_xr}" in text) and (page, section or of_xr) not in there:
                wrong += complain(name, f"there is no page {page}({section or of_xr})")
    wrong += sum(complain(f"man/{p}.{s}", "nobody installs it") for p, s in there if f"/{p}.{s}" not in read("man/Makemodule.am"))
    return wrong


# ---- keys of settings ----


def check_keys() -> int:
    """`Key=` in a document or page is one of ours or of a list of others'."""
    tables = "".join(read(f"helper/config/{table}.def") for table in ("broker", "credential", "store_vault"))
    ours = set(re.findall(r'^KEY\("\w+", "([\w.]+)"', tables, re.M))
    ours |= set(re.findall(r'\{"(\w+)", (?:ONE|WORDS)\}', read("cli/directory_text.c")))
    assert len(ours) > 70
    wrong = 0
    for name, text in texts():
        if name.endswith(".md"):
            named = re.findall(r"`([A-Z]\w+)=[^`]*`", text)
        elif name.startswith("man/"):
            named = re.findall(r"^\.(?:Ic|Cm|Li) ([A-Z]\w+)(?: Ns )?=", text, re.M)
        else:
            named = re.findall(r"\b([A-Z][a-z]+[A-Z]\w+)= ", text) if name.endswith(("events.def", "metrics.def")) else []
        wrong += sum(complain(name, f"there is no key {key}=") for key in sorted(set(named) - ours - FOREIGN - {"Key"}))
    return wrong


# ---- a table, and the page that has to have all of it ----


def plain(page: str) -> str:
    """A page without its macros, so that words stand as they are read."""
    return re.sub(r"^\.[A-Z][a-z]\b|\b(Ns|No|Li|Cm|Ar|Ic|Op|Pa|Pq)\b|\\e?", " ", read(page), flags=re.M)


def lacking(page: str, words: list[str], least: int) -> int:
    assert len(words) >= least, f"the table of {page} is not where it was"
    text = plain(page)
    return sum(complain(page, f"says nothing of {word}") for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text))


def check_tables() -> int:
    rows = re.findall(r'\b(?:ROW|SLOW|LONG)\(\s*"([a-z]+)",\s*"([a-z-]+)",\s*"[^"]*",\s*"([^"]*)"', read("helper/store/local/admin.c"))
    administration = sorted({word.rstrip("!*") for row in rows for word in [row[1], *row[2].split()]})
    arguments = [word.rstrip("=") for word in re.findall(r'^ +\{"([a-z_]+=?)",', read("pam_module/args.c"), re.M)]
    variables = re.findall(r'"(KEYBEARER_[A-Z]+)"', read("pam_module/state.c"))
    dropin = sorted(set(re.findall(r"(?<![A-Z_])([A-Z][A-Za-z]+)=", read("cli/dropin.c"))))
    figures = re.findall(r'^FIGURE\("\w+", (\w+), "(\w+)"', read("cli/metrics.def"), re.M)
    names = {name + ("_total" if kind == "COUNT" else "") for kind, name in figures} | {"store_up"}
    woken = set(re.findall(r"`([a-z_]+)(?:\{[^`]*)?`", re.findall(r"^\| figure.*?\n\n", read("docs/RUNBOOK.md"), re.M | re.S)[0]))
    return (
        lacking("man/keybearer-store-local.8", administration, 40)
        + lacking("man/pam_keybearer.8", arguments, 8)
        + lacking("man/pam_keybearer.8", variables, 2)
        + lacking("man/keybearer.1.in", dropin, 5)
        + sum(complain("docs/RUNBOOK.md", f"there is no figure {name}") for name in sorted(woken - names))
    )


def main() -> int:
    if not (BUILD / "cli/keybearer").exists():
        return 77
    return min(1, check_commands() + check_pages() + check_keys() + check_tables())


if __name__ == "__main__":
    sys.exit(main())
