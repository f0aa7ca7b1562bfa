# SPDX-License-Identifier: Apache-2.0
"""Hostile peers on the real sockets of an installed broker: it refuses, serves everybody else, and never falls.

The tests are on this host and reach into the machine through /proc: a peer there has no pid that the broker knows,
and is as much root, or nobody, as it is here.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Machine
from wire import Page, Refused, call, connect, receive_frame

PAGE = Page((Path(__file__).resolve().parents[2] / "docs/PROTOCOL.md").read_text())
NOBODY = 65534
READ_SECONDS = 5  # how long the broker gives a peer to send its request
CROWD = 1000

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


def test_thousand_silent_peers_keep_nobody_out(machine: Machine, crowd: list[socket.socket]) -> None:
    """More connections than there are places: whoever speaks is served, on both sockets, at once."""
    began = time.monotonic()
    assert status(machine)
    assert word(machine, "auth.sock", PAGE.request("status"), NOBODY) == "denied"
    assert time.monotonic() - began < READ_SECONDS / 2


def test_storm_on_the_socket_of_all_does_not_delay_root(machine: Machine) -> None:
    """While others ask as fast as they can, root is answered, and about as fast as before."""
    stop = threading.Event()
    answered = [0] * 4
    frame = PAGE.request("status")

    def storm(number: int) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), connect(path, 10) as connection:
                connection.sendall(frame)
                answered[number] += bool(receive_frame(connection))

    path = f"/proc/{machine.leader}/root/run/keybearer/auth.sock"
    threads = [threading.Thread(target=storm, args=(number,)) for number in range(len(answered))]
    for thread in threads:
        thread.start()
    try:
        times = []
        for _ in range(100):
            began = time.monotonic()
            assert status(machine)
            times.append(time.monotonic() - began)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(answered) > 100
    assert sorted(times)[95] < 0.5, times


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
