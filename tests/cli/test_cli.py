#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""keybearer, the program: what it prints, what it asks, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit
from typing import Any
from unittest.mock import patch

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/system"))

from wire import Page  # noqa: E402

PAGE = Page((TOP / "docs/PROTOCOL.md").read_text())
PROGRAM = (Path(os.environ.get("top_builddir", ".")) / "cli/keybearer").resolve()
VERSION = 1


def settings_folder() -> str:
    """Where this build looks for its settings, without the leading slash."""
    said = subprocess.run([PROGRAM, "--root=/nonexistent", "config", "check"], capture_output=True, text=True, check=True)
    return said.stdout.removeprefix("/nonexistent/").split("/keybearer.conf")[0]


SETTINGS = settings_folder()

Answer = dict[str, Any] | tuple[int, str]


def progress_frame(verb: int, chunk: bytes) -> bytes:
    """What comes before an answer, any number of times."""
    body = PAGE.records["progress"].pack(PAGE, {"done": 1, "total": 2, "chunk": chunk})
    frame = struct.pack("<III", VERSION, verb, 0xFFFFFFFF) + body
    return struct.pack("<I", len(frame)) + frame


class Broker(threading.Thread):
    """Listens below a folder, keeps what it was asked, and answers what the test gave it for each verb."""

    def __init__(self, root: Path, answers: dict[str, Answer | Callable[[dict[str, Any]], Answer]]) -> None:
        super().__init__(daemon=True)
        path = root / "run/keybearer/root.sock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.before_answer: Callable[[socket.socket, int], None] = lambda peer, verb: None
        self.start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                self.serve(peer)

    def serve(self, peer: socket.socket) -> None:
        """One request."""
        size, _, verb = struct.unpack("<III", peer.recv(12, socket.MSG_WAITALL))
        body = peer.recv(size - 8, socket.MSG_WAITALL) if size > 8 else b""
        name = next(name for name, v in PAGE.verbs.items() if v.number == verb)
        request = PAGE.verbs[name].request.unpack(PAGE, body)
        self.asked.append((name, request))
        self.before_answer(peer, verb)
        answer = self.answers[name]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, tuple):
            text = answer[1].encode()
            reply = struct.pack("<IIII", VERSION, verb, answer[0], len(text)) + text + b"\0"
        else:
            reply = struct.pack("<III", VERSION, verb, 0) + PAGE.verbs[name].reply.pack(PAGE, answer)
        peer.sendall(struct.pack("<I", len(reply)) + reply)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Cli(unittest.TestCase):
    """A folder that plays the system, and the program on it."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="kb-cli-"))
        self.addCleanup(shutil.rmtree, self.root)

    def broker(self, **answers: Any) -> Broker:
        broker = Broker(self.root, answers)
        self.addCleanup(broker.close)
        return broker

    def run_it(self, *words: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([PROGRAM, f"--root={self.root}", *words], input=given, capture_output=True, timeout=30)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def good(self, *words: str, stdin: str | bytes = b"") -> str:
        done = self.run_it(*words, stdin=stdin)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout

    def bad(self, status: int, says: str, *words: str, stdin: str | bytes = b"") -> None:
        done = self.run_it(*words, stdin=stdin)
        self.assertEqual(done.returncode, status, done)
        self.assertIn(says, done.stderr)
        self.assertEqual(done.stdout, "")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path.replace("etc/keybearer/", f"{SETTINGS}/", 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
        return file

    def credential(self, name: str, more: str = "", unit: str = "orders.service") -> Path:
        allow = f"[Allow]\nUnit={unit}\n" if unit else ""
        return self.write(f"etc/keybearer/credentials.d/{name}.conf", f"[Credential]\nPath=kv/{name}\n{more}{allow}")


class BadArguments(Cli):
    TABLE: tuple[tuple[tuple[str, ...], str], ...] = (
        ((), "what shall be done? see keybearer --help"),
        (("unti",), "did you mean `unit`?"),
        (("frobnicate",), "there is no `keybearer frobnicate`; see keybearer --help"),
        (("unit",), "`keybearer unit` needs to know what to do"),
        (("unit", "ad"), "there is no `keybearer unit ad`; did you mean `add`?"),
        (("unit", "frobnicate"), "there is no `keybearer unit frobnicate`; see keybearer unit --help"),
        (("unit", "add", "orders.service"), "something is missing; write: keybearer unit add UNIT CREDENTIAL[.FIELD]..."),
        (("grant", "list", "now"), '"now" is too much; write: keybearer grant list'),
        (("grant", "list", "--plain"), "`keybearer grant list` has no --plain"),
        (("grant", "list", "--jsno"), "unknown option --jsno; did you mean --json?"),
        (("grant", "list", "-x"), "unknown option -x"),
        (("grant", "list", "--json=yes"), "--json takes no value"),
        (("secret", "list", "--store"), "--store needs a value"),
        (("secret", "list", "--store=../x"), "--store=../x is no name of a store"),
        (("grant", "revoke", "twelve"), '"twelve" is no number of a grant'),
        (("grant", "revoke", "-1"), "unknown option -1"),
        (("grant", "revoke", "99999999999999999999"), "is no number of a grant"),
        (("unit", "add", "orders", "db"), '"orders" is no unit that can have credentials'),
        (("unit", "add", "orders.service", "../db"), '"./db" is no name of a field'),
        (("credential", "show", "a/b"), '"a/b" is no name of a credential'),
        (("secret", "put", "kv/a", "password=geheim"), "a value is never given here"),
        (("secret", "put", "kv/a", "pass word"), '"pass word" is no name of a field'),
        (("ca", "create", "web", "colour=red"), "`ca create` has no colour=; see its --help"),
        (("ca", "create", "web", "two"), '"two" is neither a name nor KEY=VALUE'),
        (("completion", "fish"), "there is no completion for fish"),
        (("setup",), "leave out --root"),
        (("setup", "--store=a/b"), '"a/b" is no name of a store'),
        (("setup", "--role=web"), "the local store has no servers"),
        (("setup", "--store=local", "--address=https://a"), "the local store has no servers"),
        (("doctor",), "leave out --root"),
    )

    def test_each_is_refused_with_its_cure(self) -> None:
        for words, says in self.TABLE:
            with self.subTest(words=words):
                self.bad(2, says, *words)

    def test_a_root_that_is_no_absolute_path_is_refused(self) -> None:
        done = subprocess.run([PROGRAM, "--root=here", "unit", "list"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--root=here is no absolute path", done.stderr)


class Directory(Cli):
    """Files of people, groups and rules, and the keys that sign them; what needs a server is in tests/system."""

    GOOD = "[Directory]\nCluster=prod\n[Person ana]\n[Group dba]\nMembers=ana\n[Rule doors]\nWho=@dba\n"

    def check(self, text: str) -> subprocess.CompletedProcess[str]:
        return self.run_it("directory", "check", "-", stdin=text)

    def test_a_file_that_is_good_is_counted(self) -> None:
        said = self.check(self.GOOD + "Factor=key,\n  otp\nUntil=2027-01-31\nFrom=2026-01-01 12:00:00\nFor=8h\n# end")
        self.assertEqual(said.stdout, "well formed: people 1, groups 1, rules 1, ids of the past 0\n")
        self.assertEqual((said.stderr, said.returncode), ("", 0))

    def test_what_is_wrong_is_said_with_its_line(self) -> None:
        for text, says in (
            ("", "-:1: Cluster= in [Directory] has to name the cluster"),
            ("Key=x\n" + self.GOOD, "-:1: this is no [Section]"),
            (self.GOOD + "[Persons x]\n", "-:8: [Persons] is none of"),
            (self.GOOD + "[Person]\n", "-:8: [Person] is none of"),
            (self.GOOD + "Whom=x\n", "-:8: [Rule] has no Whom="),
            (self.GOOD + "From=2026-01-01\nFrom=2026-01-01\n", "-:9: From= is given twice"),
            (self.GOOD + "From=tomorrow\n", '-:6: "tomorrow" is no date'),
            (self.GOOD + "For=ever\n", '-:6: "ever" is no time'),
            (self.GOOD + "Factor=eye\n", '-:6: "eye" is none of key, password, otp, none'),
            (self.GOOD + "[Person bea]\nDisabled=maybe\n", '"maybe" is neither yes nor no'),
            (self.GOOD + "[Person bea]\nId=x\n", '-:8: "x" is no id'),
            (self.GOOD + "[Person bea]\nId=7\n", "(person bea): the id is outside"),
            (self.GOOD + "[Person ana]\n", "(person ana)"),
            (self.GOOD + "[Group ops]\nMembers=nobody\n", "(group ops)"),
            (self.GOOD + "[Tombstone x]\n", '-:8: "x" is no id'),
            (self.GOOD + "[Person b\x1b]\n", "-:8: there is something that is no text"),
            (self.GOOD + "\0", "has a NUL in it"),
            ("[Directory]\nCluster=c\nIdRange=1\n", "IdRange= in [Directory] is two ids"),
            ("[Directory]\nCluster=c\nIdRange=0-9\n", "IdRange= in [Directory] has ids that belong to others"),
            ("[Directory]\nCluster=c\nValidFor=x\n", "ValidFor= in [Directory] is a time"),
            ("[Directory]\nCluster=c\nIdRange=65536-65536\n[Person a]\n[Person b]\n", "no id of IdRange= is left"),
        ):
            with self.subTest(text=text):
                done = self.check(text)
                self.assertIn(says, done.stderr)
                self.assertEqual((done.stdout, done.returncode), ("", 2))
        many = self.check(self.GOOD + "[Person]\n" * 30)
        self.assertIn("and 10 more problems", many.stderr)
        self.assertEqual(self.run_it("directory", "check", "/nonexistent/file").returncode, 6)

    def test_keys_are_made_once_and_for_their_owner_alone(self) -> None:
        key = self.root / "sign"
        self.assertEqual(self.run_it("directory", "key", str(key)).returncode, 0)
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.assertTrue(Path(f"{key}.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----\n"))
        self.assertIn("PRIVATE KEY", key.read_text())
        before = key.read_text()
        self.bad(7, "is there already", "directory", "key", str(key))
        self.assertEqual(key.read_text(), before)
        self.bad(3, "No such file", "directory", "key", str(self.root / "none/key"))
        people = self.write("people", self.GOOD)
        self.bad(2, "--key=FILE is missing", "directory", "publish", str(people))
        self.bad(2, "--settings=FILE is missing", "directory", "publish", f"--key={key}", str(people))
        self.bad(6, "/nonexistent/a.conf: No such file", "directory", "show", "--settings=/nonexistent/a.conf")
        key.chmod(0o644)
        self.bad(5, "can be read by others", "directory", "publish", f"--key={key}", str(people))


class Ends(Cli):
    def test_without_a_broker_it_says_so_and_ends_with_3(self) -> None:
        self.bad(3, "systemctl status keybearerd", "grant", "list")

    def test_a_broker_that_hangs_up_is_no_broker(self) -> None:
        path = self.root / "run/keybearer/root.sock"
        path.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
            self.bad(3, "keybearerd does not answer", "grant", "list")

    def test_the_status_of_a_refusal_is_the_exit_status(self) -> None:
        for status, expected in ((1, 3), (3, 4), (5, 5), (6, 6), (7, 2), (11, 7), (13, 1)):
            with self.subTest(status=status):
                self.root = Path(tempfile.mkdtemp(prefix="kb-cli-"))
                self.broker(session_end=(status, "because"))
                self.bad(expected, "keybearer: because", "session", "end", "x")
                shutil.rmtree(self.root)
        self.root.mkdir()

    def test_with_json_every_command_answers_in_json(self) -> None:
        """One value on stdout, whatever comes of it; a failure says in it what it is, as its exit status does."""
        table = (TOP / "cli/commands.def").read_text()
        commands = re.findall(r'^COMMAND\("([^"]*)", "([^"]*)",\s*"([^"]*)"', table, re.MULTILINE)
        self.assertGreater(len(commands), 60)
        examples = {"ID": "1", "SEQUENCE": "1", "FILE": "/nonexistent/file", "UNIT": "a.service"}
        for name, action, arguments in commands:
            wanted = [word.removesuffix("...").split("[")[0] for word in arguments.split() if not word.startswith("[")]
            given = [word.split("=")[0] + "=1" if "=" in word else examples.get(word, "one") for word in wanted]
            words = ["--json", name, *([action] if action else []), *given]
            with self.subTest(" ".join(words)):
                done = self.run_it(*words, stdin="a\n" * 4)
                said = json.loads(done.stdout)
                if done.returncode != 0:
                    self.assertTrue(said["error"] and said["message"])

    def test_with_json_a_refusal_is_an_object(self) -> None:
        self.broker(session_end=(5, "because"))
        done = self.run_it("--json", "session", "end", "x")
        self.assertEqual(json.loads(done.stdout), {"error": "denied", "message": "because"})
        self.assertEqual(done.returncode, 5)

    def test_an_answer_that_makes_no_sense_is_an_error(self) -> None:
        with patch.object(Broker, "serve", lambda _, peer: peer.sendall(b"\x08\0\0\0" + b"x" * 8)):
            self.broker(status={"facts": []})
            self.bad(1, "the answer of keybearerd makes no sense", "status")

    def test_a_closed_pipe_ends_it_quietly(self) -> None:
        self.broker(grant_revoke={})
        for words in (["--help"], ["grant", "revoke", "1"]):
            read, write = os.pipe()
            os.close(read)
            done = subprocess.run([PROGRAM, f"--root={self.root}", *words], stdout=write, stderr=subprocess.PIPE)
            os.close(write)
            self.assertEqual((done.returncode, done.stderr), (0, b""), words)

    def test_a_full_disk_is_no_closed_pipe(self) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the output could not be written: No space left on device", done.stderr)

    def test_who_is_not_root_is_told(self) -> None:
        copy = self.root / "keybearer"
        shutil.copy(PROGRAM, copy)
        self.root.chmod(0o755)
        user = {"user": 65534} if os.geteuid() == 0 else {}
        done = subprocess.run([copy, "grant", "list"], capture_output=True, text=True, **user)  # type: ignore[call-overload]
        self.assertEqual(done.returncode, 5)
        self.assertIn("needs root; try: sudo keybearer grant list", done.stderr)


class Results(Cli):
    NOW = int(time.time()) * 1_000_000
    GRANT = {"id": 7, "consumer": "orders.service", "instance": "ab", "credential": "db", "store": "local",
             "state": "issued", "lease": "f00", "issued": NOW - 9_000_000_000, "expires": NOW + 12_600_000_000,
             "renews": (1 << 64) - 1, "renewals": 2, "problem": "bad\x1b[2Jnews", "note": "old one still in use"}

    def test_grants_come_as_an_aligned_table(self) -> None:
        self.broker(grant_list={"grants": [self.GRANT], "more": False})
        head, row = self.good("grant", "list").splitlines()
        self.assertEqual(head.split()[:5], ["ID", "CONSUMER", "CREDENTIAL", "STORE", "STATE"])
        self.assertEqual(head.index("CREDENTIAL"), row.index("db "))
        self.assertIn("  2h 3", row)  # ...0min ago, or later
        self.assertIn("  in 3h ", row)
        self.assertIn("never", row)
        self.assertIn("bad?[2Jnews", row)

    def test_grants_come_as_json_with_the_numbers_as_they_are(self) -> None:
        self.broker(grant_list={"grants": [self.GRANT], "more": False})
        (grant,) = json.loads(self.good("grant", "list", "--json"))
        self.assertEqual((grant["id"], grant["expires"], grant["renews"]), (7, self.GRANT["expires"], None))

    def test_a_long_list_is_asked_for_in_portions(self) -> None:
        def answer(request: dict[str, Any]) -> Answer:
            first = request["after"] + 1
            return {"grants": [self.GRANT | {"id": i} for i in range(first, first + 2)], "more": first < 5}

        broker = self.broker(grant_list=answer)
        self.assertEqual([g["id"] for g in json.loads(self.good("grant", "list", "--json"))], [1, 2, 3, 4, 5, 6])
        self.assertEqual([request["after"] for _, request in broker.asked], [0, 2, 4])

    def test_nothing_is_said_to_be_nothing(self) -> None:
        self.broker(grant_list={"grants": [], "more": False}, session_list={"sessions": []})
        for words, says in ((("grant", "list"), "nothing is handed out"), (("session", "list"), "no session")):
            done = self.run_it(*words)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            self.assertIn(says, done.stderr)

    def test_sessions_are_listed_and_ended(self) -> None:
        session = {"handle": "h1", "user": "ana", "service": "sshd", "remote_host": "10.0.0.1", "leader": 42,
                   "opened": self.NOW}
        broker = self.broker(session_list={"sessions": [session]}, session_end={})
        self.assertIn("ana", self.good("session", "list"))
        self.assertEqual(self.good("session", "end", "h1", "h2"), "ended\n")
        self.assertEqual([request["handle"] for _, request in broker.asked[1:]], ["h1", "h2"])

    def test_facts_become_openmetrics(self) -> None:
        self.broker(status={"facts": [("version", "0.1"), ("started", "1500000"), ("grants", "3"), ("refusals", "7"),
                                      ("log_error", ""), ("login_mode", "observe"), ("journal_error", "no room"),
                                      ("directory_age_seconds", "9"), ("a.b", "4"), ("word", "no figure"),
                                      ("store.local", "up"), ("store.vault", "no route")]})
        lines = self.good("metrics").splitlines()
        self.assertEqual([line for line in lines if not line.startswith("# HELP")], [
            "# TYPE keybearer info", 'keybearer_info{version="0.1"} 1',
            "# TYPE keybearer_started_seconds gauge", "# UNIT keybearer_started_seconds seconds",
            "keybearer_started_seconds 1.500000",
            "# TYPE keybearer_grants gauge", "keybearer_grants 3",
            "# TYPE keybearer_refusals counter", "keybearer_refusals_total 7",
            "# TYPE keybearer_log_failing gauge", "keybearer_log_failing 0",
            "# TYPE keybearer_login_observing gauge", "keybearer_login_observing 1",
            "# TYPE keybearer_journal_failing gauge", "keybearer_journal_failing 1",
            "# TYPE keybearer_directory_age_seconds gauge", "# UNIT keybearer_directory_age_seconds seconds",
            "keybearer_directory_age_seconds 9",
            "# TYPE keybearer_a_b gauge", "keybearer_a_b 4",
            "# TYPE keybearer_store_up gauge", 'keybearer_store_up{store="local"} 1', 'keybearer_store_up{store="vault"} 0',
            "# EOF"])
        self.assertEqual(sum(line.startswith("# HELP") for line in lines), 9)
        self.assertEqual(json.loads(self.good("status", "--json"))["grants"], 3)

    WELL = {"version": "0.1.0", "started": str(NOW - 3_600_000_000), "login_mode": "enforce", "recovery_codes": "8",
            "recovery_used": "0", "credentials": "3", "grants": "5", "grants_failing": "0", "grants_revoking": "0",
            "refusals": "7", "requests_pending": "3", "units_waiting": "1", "log_records": "120", "log_waiting": "0",
            "log_lost": "0", "log_error": "", "journal_lag": "2", "journal_given_up": "0", "journal_blind": "0",
            "journal_error": "", "directory_version": "9", "directory_confirmed": str(NOW - 60_000_000),
            "directory_people": "12", "directory_old": "0", "directory_left_out": "0", "directory_problem": "",
            "store.local": "up", "store.vault": "not asked yet"}

    def test_status_is_sentences_for_a_person(self) -> None:
        version = self.good("--version").split()[1]
        self.broker(status={"facts": list((self.WELL | {"version": version}).items())})
        screen = self.good("status")
        for line in (rf"keybearerd +version {re.escape(version)}, started \S.* ago",
                     r"logins +decisions are enforced; 8 recovery codes left",
                     r"directory +version 9, 12 people; confirmed \S.* ago",
                     r"credentials +3 defined; 5 live grants",
                     r"requests +2 without an answer yet, and 1 unit; 7 refused since the start",
                     r"log +120 records on disk, 0 waiting; the journal lacks 2 of them",
                     r"store +local: open", r"store +vault: not asked yet"):
            self.assertRegex(screen, rf"(?m)^{line}$")
        self.assertNotIn("_", screen)
        self.assertNotIn("needs you", screen)

    def test_status_counts_one_as_one(self) -> None:
        one = {fact: "1" if value.isdigit() and int(value) < 1000 else value for fact, value in self.WELL.items()}
        self.broker(status={"facts": list(one.items())})
        screen = self.good("status")
        for words in ("1 recovery code left", "1 person;", "1 live grant\n", "1 unit;", "1 record on disk"):
            self.assertIn(words, screen)

    def test_status_says_what_needs_somebody_and_the_command(self) -> None:
        version = self.good("--version").split()[1]
        broker = self.broker()
        for fact, value, says, command in (
                ("version", "0.0.1", "still runs version 0.0.1", "systemctl restart keybearerd"),
                ("log_error", "no room", "the log cannot be written: no room", "keybearer doctor"),
                ("log_lost", "4", "were never written: 4", "keybearer audit verify"),
                ("journal_error", "gone", "the journal takes no records: gone", "keybearer doctor"),
                ("journal_blind", "1", "cannot be read back", "systemctl status systemd-journald"),
                ("journal_given_up", "2", "never came into the journal: 2", "keybearer audit show"),
                ("directory_problem", "bad", "could not be refreshed: bad", "keybearer doctor"),
                ("directory_old", "1", "nobody is let in", "keybearer doctor"),
                ("directory_left_out", "3", "people left out, since files of this host have their name or id: 3", "keybearer doctor"),
                ("login_mode", "observe", "Mode=observe: nobody is refused", "keybearer doctor"),
                ("recovery_codes", "0", "no recovery code is left", "keybearer recovery"),
                ("recovery_used", "1", "recovery codes that let somebody in: 1", "keybearer audit show event=break-glass-used"),
                ("grants_failing", "1", "grants that could not be renewed: 1", "keybearer doctor"),
                ("grants_revoking", "6", "grants that still have to be revoked in their store: 6", "keybearer grant list"),
                ("store.vault", "sealed\033[2J: do so", "the store vault gives nothing out: sealed?[2J: do so", "keybearer doctor")):
            facts = self.WELL | {"version": version} | {fact: value}
            broker.answers["status"] = {"facts": list(facts.items())}
            screen, needs = self.good("status").split("\nneeds you:\n")
            self.assertNotIn("do so", screen)  # why is said once, below
            self.assertRegex(needs, rf"^  .*{re.escape(says)}.*\n      # {command}.*\n$", fact)

    def test_a_credential_is_fetched_to_try_it(self) -> None:
        self.broker(credential_fetch={"fields": [("username", b"u1"), ("password", b"p1")], "ttl": 3600, "overlap": 1200})
        done = self.run_it("credential", "fetch", "db")
        self.assertEqual(done.stdout, "username: u1\npassword: p1\n")
        self.assertIn("a lease of 1h", done.stderr)
        self.assertEqual(self.good("credential", "fetch", "db", "password"), "p1")
        self.bad(6, "it has no field colour", "credential", "fetch", "db", "colour")


    def test_recovery_codes_are_shown_once(self) -> None:
        broker = self.broker(recovery={"codes": ["AAAAA-BBBBB", "CCCCC-DDDDD"]})
        done = self.run_it("recovery")
        self.assertEqual(done.stdout, "AAAAA-BBBBB\nCCCCC-DDDDD\n")
        self.assertIn("the ones before are void", done.stderr)
        self.assertEqual(json.loads(self.good("recovery", "2", "--json")), ["AAAAA-BBBBB", "CCCCC-DDDDD"])
        self.assertEqual([request["count"] for _, request in broker.asked], [8, 2])
        for wrong in ("0", "21", "two", ""):
            self.bad(2, f'"{wrong}" is no number from 1 to 20', "recovery", wrong)

    def test_a_secret_that_nobody_could_see_is_said_to_be_lost(self) -> None:
        slot = [("slot", "s"), ("kind", "recovery"), ("code", "AAAA-BBBB")]
        self.broker(recovery={"codes": ["AAAAA-BBBBB"]}, admin={"rows": [slot]})
        for words, cure in ((["recovery"], "run this again"), (["recovery", "--json"], "run this again"),
                            (["seal", "add", "s", "kind=recovery"], "keybearer seal remove s")):
            with open("/dev/full", "w") as full:
                done = subprocess.run([PROGRAM, f"--root={self.root}", *words], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn("could not be shown (No space left on device) and is lost", done.stderr)
            self.assertIn(cure, done.stderr)

    def test_nothing_is_made_for_a_closed_pipe(self) -> None:
        broker = self.broker(recovery={"codes": ["AAAAA-BBBBB"]})
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([PROGRAM, f"--root={self.root}", "recovery"], stdout=write, stderr=subprocess.PIPE, text=True)
        os.close(write)
        self.assertEqual((done.returncode, broker.asked), (2, []))
        self.assertIn("nobody reads the output: the old codes stay", done.stderr)


class Stores(Cli):
    def test_rows_of_the_table_become_requests_and_their_answers_tables(self) -> None:
        rows = [[("name", "web"), ("created", "0")], [("name", "mail"), ("created", str(Results.NOW))]]
        broker = self.broker(admin=lambda q: {"rows": [] if q["fields"] else rows})
        out = self.good("ca", "list").splitlines()
        self.assertEqual([line.split()[0] for line in out], ["NAME", "web", "mail"])
        self.assertEqual(out[1].split()[1], "never")
        self.assertEqual([q["fields"] for _, q in broker.asked], [[], [("after", b"mail")]])
        self.assertEqual({(q["store"], q["object"], q["action"]) for _, q in broker.asked}, {("local", "ca", "list")})

    def test_a_list_of_one_is_a_list_and_of_none_says_so(self) -> None:
        broker = self.broker(admin={"rows": [[("slot", "host"), ("kind", "systemd")]]})
        self.assertEqual(self.good("seal", "list"), "SLOT  KIND\nhost  systemd\n")
        broker.answers["admin"] = {"rows": [[("expires", "tomorrow"), ("created", "1")]]}
        self.assertIn("expires: tomorrow\ncreated: 29", self.good("user", "show", "ana"))
        broker.answers["admin"] = {"rows": []}
        self.assertIn("there are none", self.run_it("seal", "list").stderr)

    def test_the_store_is_the_one_of_the_settings_or_of_the_option(self) -> None:
        self.write("etc/keybearer/keybearer.conf", "[Credentials]\nStore=vault\n")
        broker = self.broker(admin={"rows": []})
        self.assertEqual(self.good("seal", "seal"), "done\n")
        self.good("seal", "seal", "--store=other")
        self.assertEqual([q["store"] for _, q in broker.asked], ["vault", "other"])

    def test_fields_are_sent_and_one_row_is_shown_as_lines(self) -> None:
        broker = self.broker(admin={"rows": [[("name", "web"), ("ttl", "90d")]]})
        self.assertEqual(self.good("ca", "role-set", "web", "ttl=90d", "domains=a.org b.org"), "name: web\nttl:  90d\n")
        self.assertEqual(broker.asked[0][1]["fields"], [("ttl", b"90d"), ("domains", b"a.org b.org")])
        self.assertEqual(broker.asked[0][1]["name"], "web")

    def test_a_key_is_the_same_in_small_and_capital_letters(self) -> None:
        """Files have Who=, as the design of rules does; on the wire there is one name."""
        broker = self.broker(admin={"rows": []})
        self.good("rule", "add", "dba", "Who=@DBA", "SERVICE=sshd sudo", "for=8h")
        self.good("seal", "add", "mine", "Kind=passphrase", stdin="correct horse\n")
        self.assertEqual(broker.asked[0][1]["fields"], [("who", b"@DBA"), ("service", b"sshd sudo"), ("for", b"8h")])
        self.assertEqual(broker.asked[1][1]["fields"], [("kind", b"passphrase"), ("secret", b"correct horse")])
        self.bad(2, "`rule add` has no Whom=", "rule", "add", "dba", "Whom=ana")

    def test_a_secret_is_asked_for_only_when_the_condition_holds(self) -> None:
        broker = self.broker(admin={"rows": []})
        self.good("seal", "add", "mine", "kind=recovery")
        self.good("seal", "add", "mine", "kind=passphrase", stdin="correct horse\n")
        self.assertEqual(broker.asked[0][1]["fields"], [("kind", b"recovery")])
        self.assertEqual(broker.asked[1][1]["fields"], [("kind", b"passphrase"), ("secret", b"correct horse")])


    def test_a_person_comes_with_a_password_and_the_range_of_this_host(self) -> None:
        self.write("etc/keybearer/keybearer.conf", "[Directory]\nStore=people\nIdRange=70000-70099\n")
        broker = self.broker(admin={"rows": []})
        self.good("user", "add", "ana", "full-name=Ana B", "--password-stdin", stdin="s3cret pass\n")
        self.good("user", "add", "bob", "--no-password")
        (_, ana), (_, bob) = broker.asked
        self.assertEqual(ana["fields"], [("full-name", b"Ana B"), ("range", b"70000-70099"), ("password", b"s3cret pass")])
        self.assertEqual((bob["name"], bob["store"], bob["fields"]), ("bob", "people", [("range", b"70000-70099")]))
        self.bad(2, "`user add` has no range=", "user", "add", "eve", "range=0-1", stdin="x\n")
        self.bad(2, "`user add` has no password=", "user", "add", "eve", "password=x", stdin="x\n")


    def test_a_backup_comes_in_pieces_and_replaces_nothing(self) -> None:
        def pieces(peer: socket.socket, verb: int) -> None:
            peer.sendall(progress_frame(verb, b"first ") + progress_frame(verb, b"second"))

        self.broker(admin={"rows": []}).before_answer = pieces
        file = self.root / "backup"
        self.assertIn("12 bytes", self.good("store", "backup", str(file)))
        self.assertEqual((file.read_bytes(), file.stat().st_mode & 0o777), (b"first second", 0o600))
        self.bad(7, "a backup never replaces a file", "store", "backup", str(file))
        self.bad(2, "No such file", "store", "backup", "/nonexistent/backup")

    def test_a_backup_that_finds_no_room_is_no_backup(self) -> None:
        self.broker(admin={"rows": []}).before_answer = lambda peer, verb: peer.sendall(progress_frame(verb, b"x" * 9))
        file = self.root / "backup"
        done = subprocess.run([PROGRAM, f"--root={self.root}", "store", "backup", file], capture_output=True, text=True,
                              restore_signals=False, preexec_fn=lambda: setrlimit(RLIMIT_FSIZE, (4, 4)))
        self.assertEqual(done.returncode, 1)
        self.assertIn("the backup could not be written: File too large", done.stderr)
        self.assertEqual([f.name for f in self.root.iterdir()], ["run"])

    def test_a_failed_backup_leaves_nothing(self) -> None:
        self.broker(admin=(3, "later"))
        self.bad(4, "later", "store", "backup", str(self.root / "backup"))
        self.assertEqual([f.name for f in self.root.iterdir()], ["run"])

    def test_a_backup_is_sent_in_pieces_and_then_taken(self) -> None:
        broker = self.broker(admin={"rows": []})
        file = self.root / "backup"
        file.write_bytes(b"x" * (512 * 1024) + b"rest")
        self.good("store", "restore", str(file), "paper", "--password-stdin", stdin="CODE\n")
        first, second, last = [request for _, request in broker.asked]
        self.assertEqual([f[1] for f in first["fields"]][0], b"0")
        self.assertEqual(second["fields"], [("offset", b"524288"), ("data", b"rest")])
        self.assertEqual((last["action"], last["name"], last["fields"]), ("restore", "paper", [("secret", b"CODE")]))
        self.bad(6, "No such file", "store", "restore", "/nonexistent/backup")
        file.write_bytes(b"")
        self.bad(2, "is empty", "store", "restore", str(file))

    def test_a_restore_leaves_what_opens_stores_as_it_was(self) -> None:
        sealed = {"rows": [[("opens-at-start", b"no")]]}
        broker = self.broker(admin=lambda request: sealed if request["action"] == "restore" else
                             (1, "no") if request["object"] == "seal" else {"rows": []})
        file = self.write("backup", "x")
        self.assertIn("opened by hand", self.good("store", "restore", str(file)))
        key = self.write("etc/credstore.encrypted/keybearer-store-local.root-key", "local's")
        self.assertIn("seal unseal --store=other", self.good("store", "restore", "--store=other", str(file)))
        self.assertTrue(key.exists())
        self.assertNotIn("seal", [request["object"] for _, request in broker.asked])
        self.run_it("store", "restore", str(file))
        self.assertFalse(key.exists())
        self.assertIn("seal", [request["object"] for _, request in broker.asked])


class Secrets(Cli):
    def fields(self, broker: Broker) -> list[tuple[str, bytes]]:
        return list(broker.asked[-1][1]["fields"])

    def test_values_come_from_lines_of_stdin_and_from_files(self) -> None:
        broker = self.broker(admin={"rows": [[("path", "kv/a"), ("version", "1")]]})
        blob = self.root / "blob"
        blob.write_bytes(b"\0\xff\n")
        out = self.good("secret", "put", "kv/a", "user", "key@" + str(blob), "password", stdin="ana\ns3cret\n")
        self.assertEqual(out, "path:    kv/a\nversion: 1\n")
        self.assertEqual(self.fields(broker),
                         [("field.user", b"ana"), ("field.key", b"\0\xff\n"), ("field.password", b"s3cret")])

    def test_cas_and_version_are_passed_on(self) -> None:
        broker = self.broker(admin={"rows": [[("a", "b")]]})
        self.good("secret", "put", "kv/a", "x@-", "--cas=0", stdin="all\nof\nit")
        self.assertEqual(self.fields(broker), [("cas", b"0"), ("field.x", b"all\nof\nit")])
        self.assertEqual(self.good("secret", "get", "kv/a", "-n", "3"), "a: b\n")
        self.assertEqual(self.fields(broker), [("version", b"3")])
        self.assertEqual(self.good("secret", "get", "kv/a", "a"), "b")
        self.assertEqual(json.loads(self.good("secret", "get", "kv/a", "a", "--json")), {"value": "b"})

    def test_bad_input_is_refused_before_anything_is_asked(self) -> None:
        broker = self.broker(admin={"rows": []})
        put = ("secret", "put", "kv/a")
        self.bad(2, 'stdin ended where "b" was wanted', *put, "a", "b", stdin="one\n")
        self.bad(2, '"a" is empty', *put, "a", stdin="\n")
        self.bad(2, "holds a NUL byte", *put, "a", stdin=b"x\0y\n")
        self.bad(2, "longer than 4095 bytes", *put, "a", stdin="x" * 5000)
        self.bad(6, "No such file", *put, "a@/nonexistent/file")
        big = self.root / "big"
        big.write_bytes(b"x" * (256 * 1024 + 1))
        self.bad(2, "is longer than 256 KiB", *put, f"a@{big}")
        self.assertEqual(broker.asked, [])

    def on_terminal(self, *words: str, typed: bytes) -> tuple[int, str]:
        """Runs it on a terminal of its own and types when it asks."""
        child, terminal = pty.fork()
        if child == 0:
            os.execv(PROGRAM, [str(PROGRAM), f"--root={self.root}", *words])
        seen, left = b"", typed.split(b"|")
        while True:
            if not select.select([terminal], [], [], 20)[0]:
                os.kill(child, signal.SIGKILL)
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
            if seen.endswith(b": ") and left:
                os.write(terminal, left.pop(0))
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()

    def test_on_a_terminal_it_is_asked_twice_and_never_shown(self) -> None:
        broker = self.broker(admin={"rows": []})
        status, seen = self.on_terminal("secret", "put", "kv/a", "pin", typed=b"gehx\x7feim\n|geheim\n")
        self.assertEqual((status, self.fields(broker)), (0, [("field.pin", b"geheim")]))
        self.assertIn("pin: ", seen)
        self.assertIn("pin, again: ", seen)
        self.assertNotIn("geh", seen)

    def test_two_that_differ_change_nothing(self) -> None:
        broker = self.broker(admin={"rows": []})
        status, seen = self.on_terminal("secret", "put", "kv/a", "pin", typed=b"one\n|two\n")
        self.assertEqual((status, broker.asked), (2, []))
        self.assertIn("the two are not the same", seen)

    def test_ctrl_c_gives_up_and_leaves_the_terminal_right(self) -> None:
        broker = self.broker(admin={"rows": []})
        status, seen = self.on_terminal("secret", "put", "kv/a", "pin", typed=b"on\x03")
        self.assertEqual((status, broker.asked), (2, []))
        self.assertIn("given up", seen)

    def test_a_signal_leaves_the_terminal_right(self) -> None:
        broker = self.broker(admin={"rows": []})
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            child, terminal = pty.fork()
            if child == 0:
                signal.signal(number, signal.SIG_DFL)  # who runs this in the background ignores some
                os.execv(PROGRAM, [str(PROGRAM), f"--root={self.root}", "secret", "put", "kv/a", "pin"])
            seen = b""
            while not seen.endswith(b"pin: "):
                seen += os.read(terminal, 100)
            self.assertFalse(termios.tcgetattr(terminal)[3] & termios.ECHO)
            os.kill(child, number)
            self.assertEqual(os.WTERMSIG(os.waitpid(child, 0)[1]), number)
            self.assertTrue(termios.tcgetattr(terminal)[3] & termios.ECHO, number)
            os.close(terminal)
        self.assertEqual(broker.asked, [])

    def test_without_a_terminal_of_its_own_it_does_not_ask(self) -> None:
        """A terminal is its stdin, and not its own: nothing could turn off the echo for sure."""
        broker = self.broker(admin={"rows": []})
        terminal, theirs = pty.openpty()
        with subprocess.Popen([PROGRAM, f"--root={self.root}", "secret", "put", "kv/a", "pin"], stdin=theirs,
                              stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            said = process.communicate(timeout=20)[1]
        self.assertEqual(process.returncode, 2)
        self.assertIn("/dev/tty", said)
        self.assertIn("through a pipe on stdin", said)
        self.assertEqual(broker.asked, [])
        os.close(terminal)
        os.close(theirs)


class Units(Cli):
    DROPIN = "etc/systemd/system/orders.service.d/50-keybearer.conf"

    def text(self) -> str:
        return (self.root / self.DROPIN).read_text()

    def test_the_drop_in_is_as_the_manual_says_and_a_second_run_changes_nothing(self) -> None:
        self.credential("db", "Field.username=user\nField.password=pass\n")
        first = self.good("unit", "add", "orders.service", "db")
        self.assertIn("systemctl restart orders.service", first)
        text = self.text()
        self.assertEqual(text,
                         "# Written by `keybearer unit add`, taken away by `keybearer unit remove orders.service`.\n"
                         "[Unit]\n# When a store was away, try for as long as it takes.\nStartLimitIntervalSec=0\n\n"
                         "[Service]\n"
                         "LoadCredentialEncrypted=db.username:/run/keybearer/encrypted.sock\n"
                         "LoadCredentialEncrypted=db.password:/run/keybearer/encrypted.sock\n"
                         "Environment=KEYBEARER_CREDENTIALS=/run/keybearer/units/%n/current\n"
                         "Restart=on-failure\nRestartSec=6s\n")
        self.assertIn("nothing to do", self.good("unit", "add", "orders.service", "db"))
        self.assertEqual(self.text(), text)

    def test_what_a_bare_name_means(self) -> None:
        self.credential("whole", "Format=env\n")
        self.credential("asked")
        broker = self.broker(credential_fetch={"fields": [("certificate", b"c"), ("private_key", b"k")], "ttl": 0, "overlap": (1 << 64) - 1})
        self.good("unit", "add", "orders.service", "whole", "asked", "whole.one")
        ids = [line.split("=", 1)[1].split(":")[0] for line in self.text().splitlines() if line.startswith("Load")]
        self.assertEqual(ids, ["whole", "asked.certificate", "asked.private_key", "whole.one"])
        self.assertEqual(len(broker.asked), 1)

    def test_without_a_broker_the_fields_have_to_be_named(self) -> None:
        self.credential("asked")
        self.bad(3, "keybearer unit add orders.service asked.FIELD...", "unit", "add", "orders.service", "asked")
        self.good("unit", "add", "orders.service", "asked.pin")

    def test_who_may_not_have_it_gets_nothing_unless_allowed(self) -> None:
        self.credential("db", unit="other.service")
        self.bad(5, "run this again with --allow", "unit", "add", "orders.service", "db.pin")
        self.assertFalse((self.root / self.DROPIN).exists())
        self.good("unit", "add", "--allow", "orders.service", "db.pin")
        self.good("unit", "add", "orders.service", "db.pin")
        self.assertIn("other.service orders.service", self.good("credential", "list"))
        self.assertIn("1 taken away", self.good("unit", "remove", "orders.service"))
        self.assertFalse((self.root / self.DROPIN).parent.exists())
        self.bad(5, "--allow", "unit", "add", "orders.service", "db.pin")

    def test_what_was_allowed_for_nothing_is_taken_back(self) -> None:
        self.credential("db", unit="other.service")
        self.credential("dbx", unit="other.service")
        allowed = self.root / SETTINGS / "credentials.d/db.conf.d/50-orders.service.conf"
        self.bad(6, "there is no credential gone", "unit", "add", "--allow", "orders.service", "db.pin", "gone.pin")
        self.assertFalse(allowed.exists())
        self.good("unit", "add", "--allow", "orders.service", "db.pin")
        text = allowed.read_text()
        self.bad(6, "there is no credential gone", "unit", "add", "--allow", "orders.service", "dbx.pin", "db.b", "gone.pin")
        self.assertEqual(allowed.read_text(), text)  # it was there before
        self.assertNotIn("dbx", self.text())
        (self.root / "etc/systemd/system").rename(self.root / "etc/systemd/away")
        (self.root / "etc/systemd/system").write_text("no folder")
        self.assertNotEqual(self.run_it("unit", "add", "--allow", "orders.service", "dbx.pin").returncode, 0)
        self.assertFalse((allowed.parent.parent / "dbx.conf.d/50-orders.service.conf").exists())

    def test_a_template_is_allowed_with_all_of_its_instances(self) -> None:
        self.credential("db", unit="other.service")
        self.good("unit", "add", "--allow", "web@.service", "db.pin")
        allowed = self.root / SETTINGS / "credentials.d/db.conf.d/50-web@.service.conf"
        self.assertIn("[Allow]\nUnit=web@*.service\n", allowed.read_text())
        self.assertIn("nothing to do", self.good("unit", "add", "--allow", "web@.service", "db.pin"))
        text = (self.root / "etc/systemd/system/web@.service.d/50-keybearer.conf").read_text()
        self.assertIn("/units/%n/current\n", text)
        self.assertIn("systemctl restart 'web@*.service'", self.good("unit", "remove", "web@.service"))
        self.assertFalse(allowed.exists())
        self.credential("few", unit="web@a*.service web@.service")
        self.bad(5, "run this again with --allow", "unit", "add", "web@.service", "few.pin")
        self.credential("many", unit="web@*.service")
        self.good("unit", "add", "web@.service", "many.pin")

    def test_what_lets_a_unit_have_it_still_is_said(self) -> None:
        self.credential("db")
        self.good("unit", "add", "orders.service", "db.a", "db.b")
        done = self.run_it("unit", "remove", "orders.service", "db.a")
        self.assertIn("1 taken away, 1 left", done.stdout)
        self.assertEqual(done.stderr, "")
        done = self.run_it("unit", "remove", "orders.service")
        self.assertIn("1 taken away, 0 left", done.stdout)
        self.assertEqual(done.stderr.count("a Unit= in the files of db lets orders.service have it still"), 1)
        self.good("unit", "add", "orders.service", "db.a")
        (self.root / SETTINGS / "credentials.d/db.conf").unlink()
        self.assertEqual(self.run_it("unit", "remove", "orders.service").stderr, "")

    def test_names_that_systemd_cannot_ask_for_are_refused(self) -> None:
        unit = "u" * 60 + ".service"
        self.credential("db", unit=unit)
        self.good("unit", "add", unit, "db." + "f" * 13)
        self.bad(2, "systemd cannot ask for more than 84", "unit", "add", unit, "db." + "f" * 14)

    def test_plain_is_asked_for_and_warned_of(self) -> None:
        self.credential("db")
        done = self.run_it("unit", "add", "--plain", "orders.service", "db.pin")
        self.assertEqual(done.returncode, 0)
        self.assertIn("warning: without encryption", done.stderr)
        self.assertIn("LoadCredential=db.pin:/run/keybearer/plain.sock\n", self.text())
        self.assertIn("plain", self.good("unit", "list", "orders.service"))
        done = self.run_it("unit", "add", "orders.service", "db.pin")
        self.assertIn("are encrypted from now on", done.stderr)
        self.assertIn("LoadCredentialEncrypted=db.pin:", self.text())

    def test_other_kinds_of_units_have_other_sections(self) -> None:
        self.credential("db", unit="*.socket *.mount")
        for unit, section in (("a.socket", "[Socket]"), ("a.mount", "[Mount]")):
            self.good("unit", "add", unit, "db.pin")
            text = (self.root / f"etc/systemd/system/{unit}.d/50-keybearer.conf").read_text()
            self.assertIn(section, text)
            self.assertNotIn("Restart", text)

    def test_one_credential_of_several_is_taken_away(self) -> None:
        self.credential("db")
        self.credential("dbx")
        self.good("unit", "add", "orders.service", "db.a", "db.b", "dbx.a")
        self.good("unit", "remove", "orders.service", "db.a")
        self.assertNotIn("db.a:", self.text())
        self.assertEqual(self.run_it("unit", "remove", "orders.service", "db").returncode, 0)
        self.assertEqual(json.loads(self.good("unit", "list", "--json")),
                         [{"unit": "orders.service", "credential": "dbx.a", "how": "encrypted"}])
        self.assertIn("nothing to do", self.good("unit", "remove", "orders.service", "db"))

    def test_an_unknown_credential_is_named(self) -> None:
        self.bad(6, "there is no credential db; write ", "unit", "add", "orders.service", "db")


class Settings(Cli):
    def test_all_mistakes_of_all_files_are_said_at_once(self) -> None:
        self.write("etc/keybearer/keybearer.conf", "[Login]\nMode=maybe\n")
        self.credential("good")
        self.write("etc/keybearer/credentials.d/bad.conf", "[Credential]\nPathh=kv/a\n")
        for words in (("config", "check"), ("credential", "check")):
            done = self.run_it(*words)
            self.assertEqual(done.returncode, 2)
            self.assertIn("keybearer.conf:2: Mode=maybe is none of enforce|observe", done.stderr)
            self.assertIn("bad.conf:2: unknown key Pathh= in [Credential]; did you mean Path=?", done.stderr)

    def test_good_ones_are_said_to_be_good(self) -> None:
        self.credential("good")
        self.assertIn("1 credential are well formed", self.good("config", "check"))
        self.assertEqual(self.good("credential", "check", "good"), "well formed\n")
        self.credential("nobody", unit="")
        self.assertIn("nobody may have it yet", self.run_it("credential", "check", "nobody").stderr)

    def test_an_overlap_that_does_not_fit_is_said(self) -> None:
        never = (1 << 64) - 1
        broker = self.broker()
        for how, overlap, said in (
                ("OnRotate=reload\nOverlap=3s", 2, "db: Overlap=3s is more than its lease has room for: an old one may end 2s after"),
                ("OnRotate=signal:HUP\nOverlap=3s", 0, "may end no time after"),
                ("OnRotate=reload\nOverlap=3s", 3, ""), ("OnRotate=reload", never, ""),
                ("OnRotate=restart", 0, ""), ("", 0, ""), ("OnRotate=reload\nProbe=/bin/true", 0, "")):
            broker.answers["credential_fetch"] = {"fields": [], "ttl": 10, "overlap": overlap}
            self.credential("db", f"[Rotation]\n{how}\n" if how else "")
            done = self.run_it("credential", "check", "db")
            self.assertEqual((done.returncode, done.stdout), (0, "well formed\n"))
            self.assertIn(said, done.stderr) if said else self.assertEqual(done.stderr, "", how)

    def test_a_credential_that_cannot_be_had_is_said(self) -> None:
        self.broker(credential_fetch=(5, "the store says no"))
        self.credential("db", "[Rotation]\nOnRotate=reload\n")
        self.assertIn("db: it could not be tried: the store says no", self.run_it("credential", "check", "db").stderr)

    STORE = ("[Store]\nType=vault\n[Server]\nAddress=https://bao1.example.org:8200\nAddress=https://bao2.example.org:8200\n"
             "[Login]\nMethod=approle\nRoleIdFile=/etc/role\nSecretIdFile=/etc/secret\n")

    def test_stores_are_checked_too(self) -> None:
        self.write("etc/keybearer/stores/prod.conf", self.STORE)
        self.assertIn("0 credentials and the settings of 1 store are well formed", self.good("config", "check"))
        self.write("etc/keybearer/stores/bad.conf", self.STORE.replace("SecretIdFile", "JwtFile"))
        self.write("etc/keybearer/stores/local.conf", "")
        done = self.run_it("config", "check")
        self.assertEqual(done.returncode, 2)
        self.assertIn("stores/bad.conf:9: JwtFile= does not belong to Method=approle; remove the line", done.stderr)
        self.assertIn("stores/local.conf: the local store has no settings; name the file otherwise", done.stderr)
        self.assertNotIn("prod.conf", done.stderr)

    def test_a_store_is_shown_so_that_it_can_be_read_again(self) -> None:
        self.write("etc/keybearer/stores/prod.conf", self.STORE)
        shown = self.good("config", "show", "prod")
        for line in ("\nAddress=https://bao1.example.org:8200\n  https://bao2.example.org:8200\n", "\nMethod=approle\n",
                     "#Mount=approle\n", "#MinimumTls=1.3\n"):
            self.assertIn(line, shown)
        self.write("etc/keybearer/stores/prod.conf", shown)
        self.good("config", "check")
        self.assertEqual(json.loads(self.good("config", "show", "prod", "--json"))["Store"]["Type"]["value"], "vault")
        self.bad(6, "there is no store test; write ", "config", "show", "test")
        self.bad(6, "the local store has no settings", "config", "show", "local")
        self.bad(2, "is no name of a store", "config", "show", "../prod")
        self.write("etc/keybearer/stores/prod.conf", "[Store]\nType=vault\n")
        self.bad(2, "Address= is missing in [Server]", "config", "show", "prod")

    def test_what_is_shown_can_be_read_again(self) -> None:
        self.write("etc/keybearer/keybearer.conf", "[Login]\nLinger=90s\n")
        shown = self.good("config", "show")
        self.assertIn("keybearer.conf:2\nLinger=1min 30s\n", shown)
        self.write("etc/keybearer/keybearer.conf", shown)
        self.good("config", "check")
        self.assertEqual(json.loads(self.good("config", "show", "--json"))["Login"]["Linger"]["value"], "1min 30s")

    def test_a_credential_is_shown_with_its_defaults(self) -> None:
        self.credential("db", "Field.u=x\nField.v=y\nTemplate=a\n  b\n")
        shown = self.good("credential", "show", "db")
        for line in ("#Store=local\n", "\nField.u=x\nField.v=y\n", "\nTemplate=a\n  b\n", "#RenewAt=2/3\n"):
            self.assertIn(line, shown)
        self.write("etc/keybearer/credentials.d/db.conf", shown)
        self.assertEqual(self.good("credential", "check", "db"), "well formed\n")


class Words(Cli):
    def test_help_names_every_command_and_a_command_its_options(self) -> None:
        text = self.good("--help")
        for line in ("unit add UNIT", "grant list", "--json", "--root=DIR"):
            self.assertIn(line, text)
        self.assertIn("--allow", self.good("unit", "add", "--help"))
        self.assertNotIn("--allow", self.good("unit", "remove", "--help"))
        self.assertIn("KEY=VALUE may set: common-name, ttl", self.good("ca", "create", "--help"))
        table: tuple[tuple[str, ...], ...] = ((), ("unit",), ("ca", "create"))
        for words in table:
            self.assertEqual(self.good("help", *words), self.good(*words, "--help"))
        self.assertRegex(self.good("--version"), r"^keybearer \d+\.\d+")

    def complete(self, *words: str) -> list[str]:
        script = self.good("completion", "bash")
        ask = f'COMP_WORDS=({" ".join(words)} ""); COMP_CWORD={len(words)}; _keybearer; echo "${{COMPREPLY[@]}}"'
        return subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, check=True).stdout.split()

    def test_bash_completes_objects_and_actions(self) -> None:
        self.assertIn("credential", self.complete("keybearer"))
        self.assertEqual(self.complete("keybearer", "grant"), ["list", "revoke"])
        self.assertEqual(self.complete("keybearer", "completion"), ["bash", "zsh"])
        self.assertTrue(self.good("completion", "zsh").startswith("#compdef keybearer\n"))


if __name__ == "__main__":
    unittest.main()
