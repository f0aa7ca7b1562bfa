#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""keybearer audit: the log as people and programs read it, and what is proven about it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from test_cli import PROGRAM, Cli  # noqa: E402

MAKE_LOG = (Path(os.environ.get("top_builddir", ".")) / "tests/cli/audit-log").resolve()


def log_folder() -> str:
    """Where this build looks for its log, without the leading slash."""
    said = subprocess.run([PROGRAM, "--root=/nonexistent", "audit", "show"], capture_output=True, text=True)
    found = re.search(r"there is no log in /nonexistent/(\S+);", said.stderr)
    assert found, said
    return found.group(1)


class Audit(Cli):
    """A log of six records: checkpoint, issued, refused, account refused, anchor, revoked."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.root / log_folder()
        self.folder.mkdir(parents=True)
        made = subprocess.run([MAKE_LOG, self.folder], capture_output=True, text=True, check=True)
        self.first_key, self.anchor = made.stdout.splitlines()

    def rows(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.good("--json", "audit", *words).splitlines()]

    def sequences(self, *words: str) -> list[int]:
        return [row["sequence"] for row in self.rows("show", *words)]

    def change(self, offset: int) -> None:
        """Another byte in the middle of the file."""
        file = next(self.folder.glob("*.kblog"))
        data = bytearray(file.read_bytes())
        data[offset] ^= 1
        file.write_bytes(data)


class Show(Audit):
    def test_a_record_is_a_line(self) -> None:
        lines = self.good("audit", "show").splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual(lines[2], "2023-11-14T22:13:22Z        3  grant-refused          web.service was not given db: denied")

    def test_filters_are_globs_and_all_must_fit(self) -> None:
        for words, expected in (
            ((), [1, 2, 3, 4, 5, 6]),
            (("unit=orders.service",), [2, 6]),
            (("unit=*.service", "credential=db"), [2, 3, 6]),
            (("unit=*.service", "reason=denied"), [3]),
            (("event=*refused",), [3, 4]),
            (("grant=2",), [2, 6]),
            (("USER=ana",), [4]),
            (("user=nobody",), []),
            (("--last=2",), [5, 6]),
            (("--last=2", "event=grant-*"), [3, 6]),
            (("--last=99",), [1, 2, 3, 4, 5, 6]),
            (("--last=0",), []),
        ):
            with self.subTest(words=words):
                self.assertEqual(self.sequences(*words), expected)

    def test_json_has_microseconds_and_no_secret(self) -> None:
        row = self.rows("show", "--last=1", "event=grant-issued")[0]
        self.assertEqual(row["time"], 1700000001000000)
        self.assertEqual((row["grant"], row["outcome"], row["subject"]), (2, "permitted", "orders.service"))
        self.assertRegex(row["lease"], "^[0-9a-f]{32}$")
        self.assertNotIn("pki/7", self.good("--json", "audit", "show") + self.good("audit", "show"))

    def test_what_makes_no_sense_is_refused(self) -> None:
        self.bad(2, '"colour=red" is no KEY=GLOB', "audit", "show", "colour=red")
        self.bad(2, '"unit" is no KEY=GLOB', "audit", "show", "unit")
        self.bad(2, '"many" is no number of records', "audit", "show", "--last=many")
        self.bad(2, '"x" is no sequence number', "audit", "explain", "x")
        self.bad(6, "there is no record 99", "audit", "explain", "99")

    def test_a_damaged_place_is_told_and_the_rest_shown(self) -> None:
        self.change(300)
        done = self.run_it("audit", "show")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 5))
        self.assertIn("damaged", done.stderr)

    def test_explain_says_what_to_do(self) -> None:
        text = self.good("audit", "explain", "3")
        self.assertIn("A credential was refused.", text)
        self.assertIn("[Allow] of the credential's file", text)
        self.assertIn("time: 2023-11-14T22:13:22Z", text)
        self.assertIn("unit: web.service", text)
        self.assertEqual(self.rows("explain", "3")[0]["reason"], "denied")

    def test_without_a_log_its_cure_is_told(self) -> None:
        (self.folder / "identity").unlink()
        for words in (("show",), ("follow",), ("explain", "1"), ("verify",)):
            self.bad(6, "keybearer setup makes it", "audit", *words)


class Follow(Audit):
    def test_it_begins_before_the_end_and_goes_on(self) -> None:
        command = [str(PROGRAM), f"--root={self.root}", "audit", "follow", "--last=1"]
        file = next(self.folder.glob("*.kblog"))
        data = file.read_bytes()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout
            self.assertIn("grant-revoked", follower.stdout.readline())
            # the last record once more, as a writer would add one: whole, behind the others
            size = int.from_bytes(data[:4], "little")
            with open(file, "ab") as log:
                log.write(data[:size])
            self.assertIn("checkpoint", follower.stdout.readline())
            follower.terminate()


class Verify(Audit):
    def key_file(self, text: str) -> str:
        path = self.root / "first-key"
        path.write_text(text)
        return str(path)

    def test_the_bound_depends_on_the_means(self) -> None:
        self.assertIn("Proven: nothing against somebody with root", self.good("audit", "verify"))
        proven = "records 1 to 4 are complete and unaltered, by"
        self.assertIn(f"{proven} an anchor", self.good("audit", "verify", self.anchor))
        self.assertIn(f"{proven} the first key", self.good("audit", "verify", f"--first-key={self.key_file(self.first_key)}"))
        self.assertIn(f"{proven} the first key", self.good("audit", "verify", "--first-key=-", stdin=self.first_key + "\n"))
        self.assertIn(f"{proven} an anchor", self.good("audit", "verify", "--anchors=-", stdin=f"\n{self.anchor}\n\n"))

    def test_what_is_found_is_the_exit_status_and_in_json(self) -> None:
        self.change(300)
        done = self.run_it("--json", "audit", "verify", self.anchor)
        self.assertEqual(done.returncode, 7)
        result = json.loads(done.stdout)
        self.assertEqual((result["problems"], result["findings"][0]["problem"]), (1, "damaged"))
        self.assertEqual(result["proven"], 2)

    def test_what_is_no_anchor_or_key_is_refused(self) -> None:
        self.bad(2, "is no anchor", "audit", "verify", "kb-anchor:1:nonsense")
        self.bad(2, "is no anchor", "audit", "verify", "--anchors=-", stdin="nonsense")
        self.bad(2, "is no first key", "audit", "verify", "--first-key=-", stdin="nonsense")
        self.bad(2, "stdin cannot be both", "audit", "verify", "--first-key=-", "--anchors=-")
        self.bad(6, "No such file", "audit", "verify", "--first-key=/nonexistent")
        self.bad(6, "No such file", "audit", "verify", "--anchors=/nonexistent")

    def test_an_anchor_comes_from_the_broker(self) -> None:
        self.broker(anchor={"anchor": self.anchor})
        self.assertEqual(self.good("audit", "anchor"), self.anchor + "\n")
        self.assertEqual(json.loads(self.good("--json", "audit", "anchor")), {"anchor": self.anchor})


if __name__ == "__main__":
    unittest.main()
