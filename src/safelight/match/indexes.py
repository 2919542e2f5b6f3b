"""The files of one version of a hash set: written once at import, sealed with digests, mapped read-only for matching.

    md5.keys sha1.keys sha256.keys sha512.keys   sorted digests, fixed width, duplicates included
    pdq.keys pdq.starts pdq.rows pdq.bands       the index of PDQ hashes, see `pdq_index.py`
    NAME.rows                                    row number of each key (unsigned, 4 bytes; 8 from 2**32 rows on), little-endian
    NAME.table                                   starts of the key prefixes (see `digests.py`), 8 bytes each
    positions categories marks qualities         one value a row: i64, u16 (number in the manifest), u8 (MARK_*), u8 (255 unknown)
    entries.parquet                              each assertion as stated in the source; row n of it is row n of the arrays

Canary rows come after the last row of entries.parquet and are marked.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from safelight.match.digests import bits_for, prefixes
from safelight.match.entries import WIDTHS

MARK_TRIVIAL, MARK_LOW_QUALITY, MARK_CANARY = 1, 2, 4
UNKNOWN_QUALITY = 255
ROW_ARRAYS: tuple[tuple[str, Any], ...] = (("positions", "<i8"), ("categories", "<u2"), ("marks", "u1"), ("qualities", "u1"))
FULL_CHECK = 256 << 20
"""Files up to this size are digested whole whenever a set is opened; larger ones at both ends and in 64 places between."""
_PAGES, _PAGE = 64, 4096

Bytes2D = NDArray[np.uint8]


class Sealed(msgspec.Struct, frozen=True):
    """Size and digests of a file as written: `sha256` of all, `quick` of all (small files) or of both ends and 64 pages."""

    size: int
    sha256: str
    quick: str


class SetDamaged(Exception):
    """A file of the library is not what was written. Nothing is matched with it; import the set again."""


def quick_digest(path: Path, size: int) -> str:
    """Return the digest that is checked at each opening."""
    digest = hashlib.sha256(size.to_bytes(8, "big"))
    with path.open("rb") as stream:
        if size <= FULL_CHECK:
            while block := stream.read(1 << 20):
                digest.update(block)
        else:
            for page in range(_PAGES + 1):
                stream.seek((size - _PAGE) * page // _PAGES)
                digest.update(stream.read(_PAGE))
    return digest.hexdigest()


def seal(path: Path) -> Sealed:
    """Flush a finished file to the disk and return its seal."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = path.stat().st_size
    return Sealed(size, digest, quick_digest(path, size))


def check(path: Path, sealed: Sealed, whole: bool = False) -> None:
    """Raise `SetDamaged` where a file is not what was written."""
    try:
        size = path.stat().st_size
        if size != sealed.size:
            raise SetDamaged(f"{path.name}: {size} bytes, {sealed.size} were written")
        if quick_digest(path, size) != sealed.quick:
            raise SetDamaged(f"{path.name}: the content is not what was written")
        if whole:
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != sealed.sha256:
                    raise SetDamaged(f"{path.name}: the content is not what was written")
    except OSError as error:
        raise SetDamaged(f"{path.name}: {error.strerror}") from error


def write_index(folder: Path, method: str, blocks: Iterator[Bytes2D], count: int, total_rows: int) -> int:
    """Write the index of one method (not PDQ) from sorted blocks of key + 8-byte big-endian row; return the number of distinct keys.

    `count`: keys in all blocks. Canary rows are part of it. Memory: one block; the table is written as the prefixes come.
    """
    from safelight.native import _rows

    width, number = WIDTHS[method], 4 if total_rows < 1 << 32 else 8
    last, distinct, place = b"", 0, 0
    with ExitStack() as files:
        keys_out, rows_out, table_out = (files.enter_context((folder / f"{method}.{n}").open("wb")) for n in ("keys", "rows", "table"))
        table = _Table(table_out, bits_for(count))
        for block in blocks:
            keys, rows, fresh = _rows.cut(np.ascontiguousarray(block), width + 8, number, last)
            keys_out.write(keys)
            rows_out.write(rows)
            table.add(np.frombuffer(keys, np.uint8).reshape(-1, width))
            last, distinct, place = keys[-width:], distinct + fresh, place + len(block)
        table.close()
    if place != count:
        raise AssertionError(f"{method}: {count} keys went in, {place} came out")
    return distinct


class _Table:
    """Writes the starts of the prefixes while sorted keys pass."""

    def __init__(self, out: BinaryIO, bits: int) -> None:
        self.out, self.bits = out, bits
        self.next = self.place = 0

    def add(self, keys: Bytes2D) -> None:
        if not len(keys):
            return
        own = prefixes(keys, self.bits)
        for low in range(self.next, int(own[-1]) + 1, 1 << 20):
            wanted = np.arange(low, min(low + (1 << 20), int(own[-1]) + 1))
            self.out.write((np.searchsorted(own, wanted, "left") + self.place).astype("<u8").tobytes())
        self.next = int(own[-1]) + 1
        self.place += len(keys)

    def close(self) -> None:
        for low in range(self.next, (1 << self.bits) + 1, 1 << 20):
            self.out.write(np.full(min(1 << 20, (1 << self.bits) + 1 - low), self.place, "<u8").tobytes())


def map_array(path: Path, dtype: str, width: int = 1) -> NDArray[Any]:
    """Map a file read-only as an array of `dtype`; (n, width) where width > 1."""
    size = path.stat().st_size
    if size == 0:
        return np.zeros((0, width) if width > 1 else 0, dtype)
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    array: NDArray[Any] = np.frombuffer(mapped, dtype)
    return array.reshape(-1, width) if width > 1 else array


class Index:
    """One mapped index of digests. `keys` (n, width) ascending; `rows` beside them."""

    def __init__(self, folder: Path, method: str, total_rows: int) -> None:
        self.method = method
        self.keys: Bytes2D = map_array(folder / f"{method}.keys", "u1", WIDTHS[method])
        self.rows = map_array(folder / f"{method}.rows", "<u4" if total_rows < 1 << 32 else "<u8")
        self.table = map_array(folder / f"{method}.table", "<u8")
        self.bits = (len(self.table) - 1).bit_length() - 1
        if len(self.table) != (1 << self.bits) + 1 or len(self.rows) != len(self.keys) or int(self.table[-1]) != len(self.keys):
            raise SetDamaged(f"{method}: keys, rows and table do not fit together")
        self.total_rows = total_rows

    def take(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row numbers at places of `rows`; raise `SetDamaged` for one beyond the set."""
        found: NDArray[np.int64] = self.rows[places].astype(np.int64)
        if len(found) and (int(found.max()) >= self.total_rows or int(found.min()) < 0):
            raise SetDamaged(f"{self.method}: a row number beyond the set")
        return found
