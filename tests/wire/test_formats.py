#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What keybearer-log(5), keybearer-users(5) and keybearer-backup(5) say is so: readers made from these pages alone."""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import os
import re
import struct
import subprocess
import tempfile
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    return (TOP / "man" / name).read_text(encoding="utf-8")


def columns(name: str) -> dict[str, tuple[int, int]]:
    """Name -> offset and size, from a table of a page; what has no size goes to the end."""
    rows = re.findall(r"^\.It (\d+) Ta (\d*) ?Ta (?:Dq )?([\w ]+)", page(name), re.M)
    return {title.split(" ")[0]: (int(offset), int(size or 0)) for offset, size, title in rows}


class Bytes:
    """Little-endian integers and counted bytes, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def raw(self, size: int) -> bytes:
        assert self.at + size <= len(self.data), "cut"
        self.at += size
        return self.data[self.at - size : self.at]

    def u32(self) -> int:
        return int.from_bytes(self.raw(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.raw(8), "little")

    def counted(self) -> bytes:
        value = self.raw(self.u32())
        assert self.raw(1) == b"\0"
        return value

    @property
    def left(self) -> int:
        return len(self.data) - self.at


def counted(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value + b"\0"


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


# ---- keybearer-log(5) ----


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@dataclass
class Record:
    sequence: int
    time: int
    settled: bool
    event: str
    previous: bytes
    fields: dict[str, Any]
    whole: bytes


class LogPage:
    def __init__(self) -> None:
        text = page("keybearer-log.5")
        self.header = columns("keybearer-log.5")
        found = re.findall(r"^\.It (\d+) Li (\w+) , No (\w+)(?:, (\d+))?", text, re.M)
        self.fields = {int(number): (name, kind, int(most or 8)) for number, name, kind, most in found}
        self.events = {int(number): word for number, word in re.findall(r"^\.It (\d+) Cm ([a-z-]+) , No", text, re.M)}
        assert len(self.fields) > 40 and len(self.events) > 30

    def number(self, whole: bytes, name: str) -> int:
        offset, size = self.header[name]
        return int.from_bytes(whole[offset : offset + size], "little")

    def record(self, whole: bytes) -> Record:
        assert self.number(whole, "size") == len(whole) <= 16384
        assert self.number(whole, "crc") == crc32c(whole[8:])
        fields: dict[str, Any] = {}
        reader, last = Bytes(whole[self.header["fields"][0] :]), 0
        while reader.left:
            number, value = reader.u32(), reader.counted()
            name, kind, most = self.fields[number]
            assert number > last and len(value) <= most
            last = number
            fields[name] = value.decode() if kind in ("text", "secret") else int.from_bytes(value, "little")
        offset, size = self.header["previous"]
        return Record(
            self.number(whole, "sequence"),
            self.number(whole, "time"),
            bool(self.number(whole, "flags") & 1),
            self.events[self.number(whole, "event")],
            whole[offset : offset + size],
            fields,
            whole,
        )

    def records(self, folder: Path) -> Iterator[tuple[str, Record]]:
        for path in sorted(folder.glob("*.kblog")):
            reader = Bytes(path.read_bytes())
            while reader.left:
                size = int.from_bytes(reader.data[reader.at : reader.at + 4], "little")
                yield path.name, self.record(reader.raw(size))


# ---- keybearer-users(5) ----


def fnv1a(data: bytes, start: int, prime: int, mask: int) -> int:
    for byte in data:
        start = (start ^ byte) * prime & mask
    return start


def mix(x: int) -> int:
    x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return x ^ x >> 16


class Users:
    def __init__(self, data: bytes) -> None:
        self.data = data
        head = Bytes(data)
        assert head.raw(8) == b"KBUSERS1"
        self.number, size, checksum = head.u64(), head.u64(), head.u64()
        self.lowest, self.highest = head.u32(), head.u32()
        assert head.raw(8) == bytes(8) and size == len(data)
        without = data[:24] + bytes(8) + data[32:]
        assert checksum == fnv1a(without, 14695981039346656037, 1099511628211, (1 << 64) - 1)
        self.sections = [(head.u32(), head.u32()) for _ in range(9)]
        assert all(offset % 4 == 0 for offset, _ in self.sections)

    def element(self, section: int, index: int, size: int) -> Bytes:
        offset, count = self.sections[section]
        assert index < count
        return Bytes(self.data[offset + size * index : offset + size * (index + 1)])

    def text(self, at: int) -> Bytes:
        return Bytes(self.data[self.sections[8][0] + at :])

    def user(self, index: int) -> dict[str, Any]:
        e = self.element(0, index, 24)
        uid, at = e.u32(), e.u32()
        lengths = struct.unpack("<4H", e.raw(8))
        first, n = e.u32(), e.u32()
        text = self.text(at)
        name, star, full_name, home, shell = (text.raw(k + 1)[:-1].decode() for k in (lengths[0], 1, *lengths[1:]))
        groups = [self.element(6, i, 4).u32() for i in range(first, first + n)]
        assert star == "*" and self.lowest <= uid <= self.highest
        return {"name": name, "id": uid, "full": full_name, "home": home, "shell": shell, "groups": groups}

    def group(self, index: int) -> dict[str, Any]:
        e = self.element(1, index, 24)
        gid, at, size, length, first, n = (e.u32() for _ in range(6))
        whole = self.text(at).raw(size)
        offsets = [self.element(7, i, 4).u32() for i in range(first, first + n)]
        members = [whole[o:].split(b"\0")[0].decode() for o in offsets]
        assert whole[length : length + 3] == b"\0*\0" and whole[-1] == 0
        assert whole == b"".join(w.encode() + b"\0" for w in (whole[:length].decode(), "*", *members))
        return {"name": whole[:length].decode(), "id": gid, "members": members}

    def find(self, table: int, wanted: str | int) -> dict[str, Any] | None:
        by_id = isinstance(wanted, int)
        key = wanted if isinstance(wanted, int) else fnv1a(wanted.encode(), 2166136261, 16777619, 0xFFFFFFFF)
        slots = self.sections[table][1]
        assert slots & slots - 1 == 0
        for step in range(slots):
            slot = self.element(table, (mix(key) + step) % slots, 8)
            has, index = slot.u32(), slot.u32()
            if index == 0:
                return None
            entry = self.user(index - 1) if table < 4 else self.group(index - 1)
            if has == key and entry["id" if by_id else "name"] == wanted:
                return entry
        raise AssertionError("a table without an empty slot")


# ---- keybearer-backup(5) ----


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return mac(mac(salt, secret), info + b"\1")  # RFC 5869 for 32 bytes


class Crypto:
    """The two primitives that Python does not bring, from the libraries themselves."""

    def __init__(self) -> None:
        self.lib = ctypes.CDLL("libcrypto.so.3")
        self.argon2 = ctypes.CDLL("libargon2.so.1")
        for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm", "EVP_PKEY_new_raw_private_key", "EVP_PKEY_new_raw_public_key"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.EVP_PKEY_CTX_new.restype = ctypes.c_void_p

    def pointer(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        return ctypes.c_void_p(getattr(self.lib, name)(*arguments))

    def open(self, key: bytes, nonce: bytes, associated: bytes, sealed: bytes) -> bytes | None:
        """AES-256-GCM; None when it does not belong to the key."""
        context, n = self.pointer("EVP_CIPHER_CTX_new"), ctypes.c_int()
        out = ctypes.create_string_buffer(len(sealed))
        self.lib.EVP_DecryptInit_ex(context, self.pointer("EVP_aes_256_gcm"), None, key, nonce)
        self.lib.EVP_DecryptUpdate(context, None, ctypes.byref(n), associated, len(associated))
        self.lib.EVP_DecryptUpdate(context, out, ctypes.byref(n), sealed, len(sealed) - 16)
        self.lib.EVP_CIPHER_CTX_ctrl(context, 0x11, 16, sealed[-16:])
        good = self.lib.EVP_DecryptFinal_ex(context, ctypes.create_string_buffer(16), ctypes.byref(n)) == 1
        self.lib.EVP_CIPHER_CTX_free(context)
        return out.raw[: len(sealed) - 16] if good else None

    def x25519(self, private: bytes, public: bytes | None) -> bytes:
        """The shared secret; the public half when there is nobody to share it with."""
        ours = self.pointer("EVP_PKEY_new_raw_private_key", 1034, None, private, ctypes.c_size_t(32))
        out, size = ctypes.create_string_buffer(32), ctypes.c_size_t(32)
        if public is None:
            assert self.lib.EVP_PKEY_get_raw_public_key(ours, out, ctypes.byref(size)) == 1
            return out.raw
        theirs = self.pointer("EVP_PKEY_new_raw_public_key", 1034, None, public, ctypes.c_size_t(32))
        context = self.pointer("EVP_PKEY_CTX_new", ours, None)
        assert self.lib.EVP_PKEY_derive_init(context) == 1
        assert self.lib.EVP_PKEY_derive_set_peer(context, theirs) == 1
        assert self.lib.EVP_PKEY_derive(context, out, ctypes.byref(size)) == 1
        return out.raw

    def argon2id(self, secret: bytes, salt: bytes, passes: int, kib: int, lanes: int) -> bytes:
        out, size = ctypes.create_string_buffer(32), ctypes.c_size_t
        arguments = (secret, size(len(secret)), salt, size(len(salt)), out, size(32))
        assert self.argon2.argon2id_hash_raw(passes, kib, lanes, *arguments) == 0
        return out.raw


@dataclass
class Slot:
    name: str
    kind: str
    parameters: bytes
    box: bytes
    mac: bytes


def recovery_seed(code: str) -> bytes:
    digits = code.upper().replace("-", "").replace("O", "0").replace("I", "1").replace("L", "1")
    values = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(c) for c in digits]
    bits = "".join(f"{value:05b}" for value in values)
    code_bytes = int(bits[:160], 2).to_bytes(20, "big")
    check = int.from_bytes(hashlib.sha256(code_bytes).digest(), "big")
    assert len(values) == 36 and bits[160:] == f"{check:0256b}"[:20]
    return hkdf(code_bytes, b"keybearer local store", b"recovery code")


class Backup:
    def __init__(self, data: bytes) -> None:
        self.crypto = Crypto()
        whole = Bytes(data)
        assert whole.raw(8) == b"KBSTORE1"
        header = Bytes(whole.raw(whole.u32()))
        self.id = header.counted().decode()
        self.created, self.changes, self.generation, self.size = (header.u64() for _ in range(4))
        self.salt = header.counted()
        n, size = header.u32(), header.u32()
        assert header.left == size
        self.slots = [self.slot(Bytes(header.counted())) for _ in range(n)]
        assert header.left == 0 and len(self.salt) == 16
        self.head = hashlib.sha256(data[: whole.at]).digest()
        self.pieces = []
        while whole.left:
            self.pieces.append(whole.raw(whole.u32()))

    @staticmethod
    def slot(fields: Bytes) -> Slot:
        name, kind = fields.counted().decode(), fields.counted().decode()
        slot = Slot(name, kind, fields.counted(), fields.counted(), fields.counted())
        assert fields.left == 0 and len(slot.box) == 80 and len(slot.mac) == 32
        return slot

    def seed(self, slot: Slot, secret: str) -> bytes:
        if slot.kind == "recovery":
            return recovery_seed(secret)
        if slot.kind == "systemd":
            assert secret.startswith(slot.name + ":")
            return bytes.fromhex(secret.split(":")[1])
        costs = Bytes(slot.parameters)
        salt = costs.counted()
        return self.crypto.argon2id(secret.encode(), salt, costs.u32(), costs.u32(), costs.u32())

    def root_key(self, slot: Slot, secret: str) -> bytes | None:
        seed = self.seed(slot, secret)
        label = counted(slot.name.encode()) + struct.pack("<Q", self.generation)
        auth = hkdf(seed, b"keybearer local store", b"slot")
        assert mac(auth, label + counted(slot.box)) == slot.mac
        public, sealed = slot.box[:32], slot.box[32:]
        shared = self.crypto.x25519(seed, public)
        key = hkdf(shared, public + self.crypto.x25519(seed, None), b"keybearer box")
        return self.crypto.open(key, bytes(12), label, sealed)

    def database(self, root_key: bytes) -> bytes:
        key = hkdf(root_key, self.salt, b"keybearer backup")
        plain = []
        for number, piece in enumerate(self.pieces):
            last = number + 1 == len(self.pieces)
            nonce = (b"\x80" if last else b"\0") + bytes(3) + number.to_bytes(8, "big")
            opened = self.crypto.open(key, nonce, self.head, piece)
            assert opened is not None and len(opened) <= 65536
            plain.append(opened)
        return b"".join(plain)


# ---- the tests ----


class Formats(unittest.TestCase):
    known: dict[str, str]
    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        program = Path(os.environ.get("top_builddir", ".")) / "tests/wire/formats"
        here = tempfile.TemporaryDirectory(prefix="keybearer-test.")
        cls.addClassCleanup(here.cleanup)
        cls.folder = Path(here.name)
        shown = subprocess.run([program, cls.folder], stdout=subprocess.PIPE, text=True, check=True).stdout
        cls.known = dict(re.findall(r"^([a-z-]+): (.*)$", shown, re.M))

    def test_the_log_is_one_chain_of_records(self) -> None:
        previous, expected = bytes(32), 1
        names: dict[str, int] = {}
        for name, record in LogPage().records(self.folder / "log"):
            self.assertEqual(record.sequence, expected)
            self.assertEqual(record.previous, previous)
            names.setdefault(name, record.sequence)
            previous, expected = hashlib.sha256(record.whole).digest(), expected + 1
        self.assertEqual(len(names), 2)
        for name, first in names.items():
            self.assertEqual(name, f"{first:020}.kblog")

    def test_records_say_what_was_written(self) -> None:
        records = [record for _, record in LogPage().records(self.folder / "log")]
        issued = next(record for record in records if record.event == "grant-issued")
        self.assertTrue(issued.settled)
        self.assertEqual(issued.time, 1700000000000000)
        wanted = {"subject": "orders.service", "object": "db", "unit": "orders.service", "pid": 71, "credential": "db"}
        wanted |= {"lease": "pki/7", "issued": 1700000000000000, "expires": (1 << 64) - 1}
        self.assertEqual(issued.fields, wanted)
        refused = next(record for record in records if record.event == "login-refused")
        self.assertEqual((refused.fields["user"], refused.fields["detail"]), ("a\\x0ab", "grüß"))

    def test_a_file_begins_with_its_checkpoint(self) -> None:
        firsts: dict[str, Record] = {}
        for name, record in LogPage().records(self.folder / "log"):
            firsts.setdefault(name, record)
        log = (self.folder / "log/identity").read_bytes()[:16].hex()
        self.assertEqual([record.event for record in firsts.values()], ["checkpoint", "checkpoint"])
        self.assertEqual({record.fields["log"] for record in firsts.values()}, {log})

    def test_anchors_prove_what_is_before_them(self) -> None:
        _, version, log, first = self.known["first-key"].split(":")
        key, number, line = bytes.fromhex(first), 1, ""
        for _, record in LogPage().records(self.folder / "log"):
            if record.event != "anchor":
                continue
            message = counted(b"keybearer anchor 1") + counted(log.encode())
            message += struct.pack("<QQ", number, record.sequence) + record.previous
            self.assertEqual(record.fields["anchor"], number)
            self.assertEqual(record.fields["mac"], mac(key, message).hex())
            line = f"kb-anchor:1:{log}:{number}:{record.sequence}:{record.previous.hex()}:{record.fields['mac']}"
            key, number = mac(key, b"next"), number + 1
        self.assertEqual((version, number), ("1", 4))
        self.assertEqual(line, self.known["anchor"])
        self.assertEqual((self.folder / "log/key").read_bytes(), struct.pack("<Q", number) + key)

    def test_names_are_found_by_name_and_by_id(self) -> None:
        users = Users((self.folder / "nss/users-1").read_bytes())
        generation = int.from_bytes((self.folder / "nss/generation").read_bytes(), "little")
        ana = {"name": "ana", "id": 70001, "full": "Ana", "home": "/home/ana", "shell": "/bin/bash", "groups": [80001]}
        self.assertEqual((users.number, generation), (2, 2))
        self.assertEqual((users.lowest, users.highest), (65536, 99999))
        self.assertEqual(users.find(2, "ana"), ana)
        self.assertEqual(users.find(3, 70001), ana)
        self.assertEqual(users.find(4, "dba"), {"name": "dba", "id": 80001, "members": ["ana", "cyd"]})
        self.assertEqual(users.find(5, 80003), {"name": "empty", "id": 80003, "members": []})
        self.assertEqual(users.find(5, 70002), {"name": "ben", "id": 70002, "members": []})
        strangers: tuple[tuple[int, str | int], ...] = ((2, "dan"), (3, 80001), (4, "an"), (5, 80004))
        for table, nobody in strangers:
            self.assertIsNone(users.find(table, nobody))

    def test_names_are_sorted(self) -> None:
        users = Users((self.folder / "nss/users-1").read_bytes())
        people = [users.user(i)["name"] for i in range(users.sections[0][1])]
        groups = [users.group(i)["name"] for i in range(users.sections[1][1])]
        self.assertEqual(people, ["ana", "ben", "cyd"])
        self.assertEqual(groups, ["ana", "bees", "ben", "cyd", "dba", "empty"])

    def test_any_slot_opens_a_backup(self) -> None:
        backup = Backup((self.folder / "backup").read_bytes())
        self.assertEqual((backup.id, backup.generation), (self.known["id"], 1))
        self.assertEqual(backup.changes, int(self.known["changes"]))
        self.assertEqual(backup.created, 1700000000000000)
        self.assertEqual([slot.kind for slot in backup.slots], ["passphrase", "recovery", "systemd"])
        for slot in backup.slots:
            with self.subTest(slot.kind):
                root_key = backup.root_key(slot, self.known[slot.kind])
                self.assertEqual(root_key and root_key.hex(), self.known["root-key"])

    def test_a_backup_holds_the_database(self) -> None:
        backup = Backup((self.folder / "backup").read_bytes())
        database = backup.database(bytes.fromhex(self.known["root-key"]))
        self.assertGreater(len(backup.pieces), 2)
        self.assertEqual(len(database), backup.size)
        self.assertEqual(database[:16], b"SQLite format 3\0")
        self.assertIn(b"kv/large", database)


if __name__ == "__main__":
    unittest.main()
