# SPDX-License-Identifier: Apache-2.0
"""Hostile peers on the real sockets of an installed broker: it refuses, serves everybody else, and never falls.

The tests are on this host and reach into the machine through /proc: a peer there has no pid that the broker knows,
and is as much root, or nobody, as it is here.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import json
import multiprocessing
import os
import resource
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

import pytest
from machine import Machine
from wire import Page, Refused, call, connect, receive_frame

PAGE = Page((Path(__file__).resolve().parents[2] / "docs/PROTOCOL.md").read_text())
NOBODY = 65534
READ_SECONDS = 5  # how long the broker gives a peer to send its request
CROWD = 1000
NOTICED = 8  # times as long: then root would notice; measured beside other work on the same processors
AT_LEAST = 0.0005  # seconds: what is shorter is no measure

# Sends a forged name of systemd's to a credential socket; prints how many bytes came back.
FORGE = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(b"\\0" + os.urandom(8).hex().encode() + b"/unit/" + sys.argv[2].encode())
s.settimeout(20)
s.connect("/run/keybearer/" + sys.argv[1])
n = 0
while data := s.recv(65536):
    n += len(data)
print(n)
"""


@contextlib.contextmanager
def inside(machine: Machine, uid: int = 0) -> Iterator[None]:
    """From here on, this process is in the machine's /run/keybearer, as that user."""
    before = os.getcwd()
    os.chdir(f"/proc/{machine.leader}/root/run/keybearer")
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.chdir(before)


def ask(machine: Machine, name: str, uid: int = 0, timeout: float = 10) -> socket.socket:
    """A connection to one of the broker's sockets."""
    with inside(machine, uid):
        return connect(name, timeout)


def status(machine: Machine) -> dict[str, str]:
    """What the broker says about itself."""
    return dict(call(ask(machine, "root.sock"), PAGE, "status")["facts"])


def word(machine: Machine, name: str, frame: bytes, uid: int = 0) -> str:
    """What a frame came to: the word of its status, or "" when the broker hung up without one."""
    with ask(machine, name, uid) as connection:
        connection.sendall(frame)
        answer = receive_frame(connection)
        if not answer:
            return ""
        try:
            PAGE.take_reply("status", answer[:8] + PAGE.verbs["status"].number.to_bytes(4, "little") + answer[12:])
        except Refused as refused:
            return refused.word
        return "ok"


def open_files(machine: Machine) -> int:
    """How many descriptors the broker has."""
    pid = machine.run("systemctl show -P MainPID keybearerd.service").stdout.strip()
    return int(machine.run(f"ls /proc/{pid}/fd | wc -l").stdout)


@pytest.fixture(autouse=True)
def same_broker(machine: Machine) -> Iterator[None]:
    """Whatever a test does: the broker that was there before answers afterwards, and holds nothing more open."""
    started, files = status(machine)["started"], open_files(machine)
    yield
    machine.wait_for(lambda: open_files(machine) <= files, READ_SECONDS + 5, "the broker closes what it opened")
    assert status(machine)["started"] == started


@pytest.fixture
def crowd(machine: Machine) -> Iterator[list[socket.socket]]:
    """A thousand connections to auth.sock, from which nothing comes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = [ask(machine, "auth.sock", NOBODY) for _ in range(CROWD)]
    yield connections
    for connection in connections:
        connection.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_frame_that_lies_is_refused(machine: Machine) -> None:
    """A number that is wrong: size, version, verb, size of a field."""
    good = PAGE.request("account", user="ana", service="sshd")
    lies = {
        (0, 7): "bad-request",
        (0, len(good) - 5): "bad-request",
        (0, 0xFFFFFFFF): "bad-request",
        (4, 0): "unsupported",
        (4, 99): "unsupported",
        (8, 0): "unsupported",
        (8, 0xFFFF): "unsupported",
        (12, 33): "bad-request",
        (12, 0xFFFFFFFF): "bad-request",
    }
    for name, uid in (("root.sock", 0), ("auth.sock", NOBODY)):
        served = word(machine, name, good, uid) != "unsupported"
        for (at, number), expected in lies.items():
            frame = good[:at] + struct.pack("<I", number) + good[at + 4 :]
            if number == len(good) - 5:
                frame = frame[:-1]
            if not served and (at == 12 or number == len(good) - 5):
                expected = "unsupported"  # the verb is looked at before its fields
            assert word(machine, name, frame, uid) == expected, (name, at, number)


def test_every_verb_is_refused_where_its_caller_may_not_call(machine: Machine) -> None:
    """Verbs of root on auth.sock, verbs of stores anywhere."""
    for verb in PAGE.verbs.values():
        frame = PAGE.request(verb.name)
        if "self" not in verb.callers:
            assert word(machine, "auth.sock", frame, NOBODY) in ("denied", "unsupported"), verb.name
            assert word(machine, "auth.sock", frame) in ("denied", "unsupported"), verb.name
        if "root" not in verb.callers:
            assert word(machine, "root.sock", frame) in ("denied", "unsupported"), verb.name


def test_nobody_asks_about_somebody_else(machine: Machine) -> None:
    """On auth.sock a person may speak of the own uid only; whether a name exists is not told either."""
    for verb in ("authenticate", "account", "change_password"):
        words = {word(machine, "auth.sock", PAGE.request(verb, user=user), NOBODY) for user in ("root", "ana", "")}
        assert words == {"denied"}, verb
    for handle in ("", "0" * 16, "x" * 64):
        assert word(machine, "auth.sock", PAGE.request("proceed", session=handle, answer=b"x"), NOBODY) == "expired"


def test_a_request_cut_anywhere_harms_nobody(machine: Machine) -> None:
    """Each beginning of a request, then nothing more."""
    frame = PAGE.request("account", user="ana", service="sshd")
    for size in range(len(frame)):
        with ask(machine, "auth.sock", NOBODY) as connection:
            connection.sendall(frame[:size])
    assert status(machine)


def test_every_truncation_of_every_request_is_refused(machine: Machine) -> None:
    """Whole frames in which the end of the fields is missing, of every verb that root may call."""
    for verb in PAGE.verbs.values():
        frame = PAGE.request(verb.name)
        if "root" in verb.callers:
            for size in range(12, len(frame)):
                assert word(machine, "root.sock", struct.pack("<I", size - 4) + frame[4:size]) in (
                    "bad-request",
                    "unsupported",
                ), (verb.name, size)


def test_root_socket_is_closed_to_everybody_else(machine: Machine) -> None:
    """root.sock and the credential sockets have mode 0600."""
    for name in ("root.sock", "encrypted.sock", "plain.sock"):
        with pytest.raises(PermissionError):
            ask(machine, name, NOBODY)


def test_slow_sender_is_given_up(machine: Machine) -> None:
    """A byte now and then does not stretch the time."""
    frame, began = PAGE.request("status"), time.monotonic()
    with ask(machine, "root.sock") as connection, contextlib.suppress(BrokenPipeError):
        for byte in frame + bytes(1000):
            connection.sendall(bytes([byte]))
            time.sleep(1)
            if byte == frame[-2]:
                break
        assert receive_frame(connection) == b""
    assert READ_SECONDS - 1 < time.monotonic() - began < READ_SECONDS * 3


def root_takes(machine: Machine, enough: Callable[[], bool] = lambda: True) -> float:
    """Seconds that an answer on root's socket takes: the middle of many, asked until there were enough."""
    times: list[float] = []
    while len(times) < 60 or (not enough() and sum(times) < 10):
        began = time.monotonic()
        assert status(machine)
        times.append(time.monotonic() - began)
    return statistics.median(times)


@contextlib.contextmanager
def storm(machine: Machine, frame: bytes, uid: int, count: int = 4) -> Iterator[Callable[[], int]]:
    """Processes that ask as fast as they can. Gives a function that says how many answers they have had.

    They leave the processor to others: what is measured beside them is the broker's patience, not the scheduler's.
    """
    context = multiprocessing.get_context("fork")
    answered = [RawValue(ctypes.c_ulong, 0) for _ in range(count)]

    def one(number: int) -> None:
        os.nice(19)
        os.chdir(f"/proc/{machine.leader}/root/run/keybearer")
        os.setresuid(uid, uid, uid)
        while True:
            with contextlib.suppress(OSError), connect("auth.sock", 10) as connection:
                connection.sendall(frame)
                answered[number].value += bool(receive_frame(connection))

    processes = [context.Process(target=one, args=(number,), daemon=True) for number in range(count)]
    for process in processes:
        process.start()
    try:
        yield lambda: sum(number.value for number in answered)
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_thousand_silent_peers_keep_nobody_out(machine: Machine, request: pytest.FixtureRequest) -> None:
    """More connections than there are places: whoever speaks is served on both sockets, and about as fast."""
    before = root_takes(machine)
    request.getfixturevalue("crowd")
    assert word(machine, "auth.sock", PAGE.request("status"), NOBODY) == "denied"
    beside = root_takes(machine)
    print(f"root's socket: {before:.6f} s, beside a silent crowd {beside:.6f} s")
    assert beside < NOTICED * max(before, AT_LEAST), (before, beside)


def test_storm_on_the_socket_of_all_does_not_delay_root(machine: Machine) -> None:
    """While others ask as fast as they can, root is answered, and about as fast as before."""
    ratios = []
    for _ in range(3):
        before = root_takes(machine)
        with storm(machine, PAGE.request("account", user="ana", service="sshd"), NOBODY) as answered:
            machine.wait_for(lambda: answered() > 100, 10, "the storm blows")
            before_it, enough = answered(), answered() + 300
            beside = root_takes(machine, lambda: answered() > enough)
            assert answered() > before_it + 100  # at 10 s, on a host with much else to do
        ratios.append(beside / max(before, AT_LEAST))
    print(f"root's socket beside a storm takes as long as before times {ratios}")
    assert min(ratios) < NOTICED, ratios  # one quiet moment of this host is enough to see it


def test_person_who_asks_without_end_does_not_fill_the_log(machine: Machine) -> None:
    """So many requests have a record, and no more; what they say of where they come from is in none."""
    machine.run("keybearer user add zoe --no-password")
    uid = int(machine.run("id -u zoe").stdout)
    frame = PAGE.request("account", user="zoe", service="sshd", remote_host="203.0.113.9", remote_user="root", tty="tty1")
    words = collections.Counter(word(machine, "auth.sock", frame, uid) for _ in range(300))
    machine.run("keybearer user remove zoe")
    shown = machine.run("keybearer audit show --json").stdout.splitlines()
    records = [record for record in map(json.loads, shown) if record.get("user") == "zoe"]
    assert set(words) == {"denied", "throttled"}
    assert words["throttled"] > 150
    assert len(records) <= words["denied"] + 2  # and one a minute for the rest
    assert {record["uid"] for record in records} == {str(uid)}
    assert "203.0.113.9" not in "".join(shown)


def test_hang_up_before_the_reply_is_harmless(machine: Machine) -> None:
    """The request is there in full, and nobody waits for its answer."""
    for verb in ("status", "grant_list", "anchor"):
        for _ in range(100):
            with ask(machine, "root.sock") as connection:
                connection.sendall(PAGE.request(verb))
    assert status(machine)


def test_half_close_and_second_request(machine: Machine) -> None:
    """Closing the writing half means nothing; what comes behind the first request is not read."""
    with ask(machine, "root.sock") as connection:
        connection.sendall(PAGE.request("status"))
        connection.shutdown(socket.SHUT_WR)
        assert PAGE.take_reply("status", receive_frame(connection))["facts"]
    with ask(machine, "root.sock") as connection:
        connection.sendall(PAGE.request("status") * 2)
        assert PAGE.take_reply("status", receive_frame(connection))["facts"]
        assert receive_frame(connection) == b""


def test_forged_name_of_a_unit_gets_nothing(machine: Machine) -> None:
    """A root process in no unit, and one in another unit, say that they are a unit's start."""
    for name, refusal in (("encrypted.sock", 0), ("plain.sock", 1 << 20)):
        for who in ("orders.service/orders-db", "keybearerd.service/x", "orders.service", "/", "a/" * 40):
            forged = ["python3", "-c", FORGE, name, who]
            assert int(machine.run(forged).stdout) == refusal, (name, who)
            assert int(machine.systemd_run(forged, unit="forger").stdout) == refusal, (name, who)
