"""ZooKeeper's own history: the transaction log of a server, which has each change in the order of its zxid.

The format is that of `FileTxnLog`, `TxnHeader` and the records of `zookeeper.jute`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CREATES = (1, 15, 19)
_DELETE, _MULTI, _CLOSE_SESSION = 2, 14, -11
_FILE_HEADER = 16


@dataclass(frozen=True, slots=True)
class Transaction:
    """One of them: the znodes that it has made, with their data, and those that it has deleted."""

    zxid: int
    created: dict[str, bytes]
    deleted: list[str]


class _Record:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(f"!{layout}", self._data, self._at)
        self._at += struct.calcsize(f"!{layout}")
        return found

    def buffer(self) -> bytes:
        (length,) = self.take("i")
        data = self._data[self._at : self._at + max(length, 0)]
        self._at += max(length, 0)
        return data

    @property
    def rest(self) -> bytes:
        return self._data[self._at :]


def read_history(directory: Path, below: str) -> list[Transaction]:
    """Return what has changed directly below a znode, by the server that has its files in this directory."""
    found = [each for log in sorted(directory.glob("**/log.*")) for each in _read_log(log.read_bytes(), f"{below}/")]
    return sorted(found, key=lambda each: each.zxid)


def _read_log(data: bytes, below: str) -> Iterator[Transaction]:
    at = _FILE_HEADER
    while at + 12 <= len(data):
        _checksum, length = struct.unpack_from("!qi", data, at)
        if length <= 0:
            return  # padding
        at += 12
        record = _Record(data[at : at + length])
        at += length + 1  # and a mark of its end
        _session, _xid, zxid, _time, kind = record.take("qiqqi")
        transaction = Transaction(zxid, {}, [])
        _apply(transaction, kind, record, below)
        if transaction.created or transaction.deleted:
            yield transaction


def _apply(transaction: Transaction, kind: int, record: _Record, below: str) -> None:
    if kind in _CREATES:
        path = record.buffer().decode()
        if path.startswith(below):
            transaction.created[path] = record.buffer()
    elif kind == _DELETE:
        path = record.buffer().decode()
        if path.startswith(below):
            transaction.deleted.append(path)
    elif kind == _MULTI:
        (count,) = record.take("i")
        for _ in range(count):
            (part,) = record.take("i")
            _apply(transaction, part, _Record(record.buffer()), below)
    elif kind == _CLOSE_SESSION and record.rest:
        (count,) = record.take("i")
        paths = [record.buffer().decode() for _ in range(count)]
        transaction.deleted.extend(path for path in paths if path.startswith(below))
