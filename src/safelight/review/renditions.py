"""Small pictures out of the packs of a case: the only bytes of pictures that the server ever reads, and within bounds only.

Nothing is parsed here; that it begins and ends as a JPEG is all that is looked at. `verify` compares whole packs with the ledger.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable

from safelight.case import Case
from safelight.facts.layout import Layout
from safelight.table.table import Table

MAGIC = 0x504B4C53
LEVELS = ("protected", "drawing", "small")
MOST = 1 << 18
"""Bytes of one rendition; those that Safelight makes have a few thousand."""
OPEN = 64


class Packs:
    """Reads renditions; keeps the last packs open."""

    def __init__(self, case: Case) -> None:
        self._layout = Layout(case.folder)
        self._open: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, table: Table, row: int, level: str) -> bytes:
        """Return the JPEG of a content at a level; empty where there is none or it is not what it should be."""
        where = table.renditions[level]
        at, size = int(where.at[row]), int(where.size[row])
        exhibit, pack = table.pack_exhibit.name(row), int(table.pack[row])
        if exhibit is None or pack < 0 or at < 0 or not 0 < size <= MOST:
            return b""
        with self._lock:
            fd = self._pack(exhibit, pack)
            jpeg = os.pread(fd, size, at) if fd >= 0 else b""
        return jpeg if len(jpeg) == size and jpeg.startswith(b"\xff\xd8\xff") and jpeg.endswith(b"\xff\xd9") else b""

    def _pack(self, exhibit: str, pack: int) -> int:
        key = (exhibit, pack)
        if key not in self._open:
            try:
                self._open[key] = os.open(self._layout.pack(exhibit, pack), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                return -1
            while len(self._open) > OPEN:
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(key)
        return self._open[key]

    def close(self) -> None:
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])


def packed(pictures: Iterable[bytes]) -> bytes:
    """Return pictures as one answer: magic, number, lengths, bytes; all numbers u32, little endian."""
    listed = list(pictures)
    return struct.pack(f"<II{len(listed)}I", MAGIC, len(listed), *map(len, listed)) + b"".join(listed)
