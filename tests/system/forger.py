# SPDX-License-Identifier: Apache-2.0
"""Root who alters the log and knows how it is made: keybearer-log(5), for the attacker.

Records are their bytes, in a list. Sequence numbers count from 1, places in the list from 0.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

HEADER = struct.Struct("<IIQQII32s")  # size, checksum, sequence, time, flags, event, hash of the record before
ANCHOR = 63  # number of the event


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """Castagnoli's, as in RFC 3720."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclass
class Forger:
    """A file of the log, in the hands of somebody who may do anything to it."""

    records: list[bytes]

    @classmethod
    def of(cls, data: bytes) -> Forger:
        """Takes a file apart; what is no whole record is a mistake of this page or of ours."""
        records: list[bytes] = []
        previous = bytes(32)
        while data:
            size, crc, sequence, _, _, _, link = HEADER.unpack_from(data)
            record, data = data[:size], data[size:]
            assert len(record) == size and crc == crc32c(record[8:]) and sequence == len(records) + 1
            assert link == previous, "the first file of a log begins with zeros, and each record names the one before"
            previous = hashlib.sha256(record).digest()
            records.append(record)
        return cls(records)

    def data(self) -> bytes:
        """The file."""
        return b"".join(self.records)

    def anchors(self) -> list[int]:
        """Sequence numbers of the anchors."""
        return [n for n, record in enumerate(self.records, 1) if HEADER.unpack_from(record)[5] == ANCHOR]

    def mend(self, first: int = 1) -> None:
        """Makes numbers, chain and checksums right again, from this record on."""
        for n in range(first, len(self.records) + 1):
            record = self.records[n - 1]
            size, _, _, time, flags, event, _ = HEADER.unpack_from(record)
            before = hashlib.sha256(self.records[n - 2]).digest() if n > 1 else bytes(32)
            rest = struct.pack("<QQII32s", n, time, flags, event, before) + record[HEADER.size :]
            self.records[n - 1] = struct.pack("<II", size, crc32c(rest)) + rest

    # what he does to record n

    def change(self, n: int) -> None:
        """Another last letter of the last field."""
        record = self.records[n - 1]
        self.records[n - 1] = record[:-2] + bytes([record[-2] ^ 1]) + record[-1:]

    def remove(self, n: int) -> None:
        del self.records[n - 1]

    def swap(self, n: int) -> None:
        """With the one behind it."""
        self.records[n - 1 : n + 1] = reversed(self.records[n - 1 : n + 1])

    def cut(self, n: int) -> None:
        """It and all that follow."""
        del self.records[n - 1 :]
