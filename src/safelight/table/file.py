"""One file of columns: a header, then the bytes of each column as they lie in memory. Written once, mapped read-only.

    8 bytes   b"SAFELTAB"
    8 bytes   length of the header, little-endian
    header    JSON: {"columns": {name: [dtype, shape, offset]}, "numbers": {name: int}}
    columns   each from an offset that 64 divides; numbers little-endian

A text column NAME of n texts is two columns: NAME.at (n + 1 offsets, i8) and NAME.text (their UTF-8, one behind the other).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from safelight.durable import Digesting, write_logged

Array = NDArray[Any]

MAGIC = b"SAFELTAB"
ALIGN = 64
COPY = 1 << 20
PIECE = 1 << 16
"""Rows that are worked on at a time while a table is made."""
REST_ROWS = 1 << 18
"""Rows after which the pages that were touched are given back."""


class Damaged(Exception):
    """A file of the table is not what was written. It is made again."""


class Header(msgspec.Struct):
    """What stands at the beginning of a file: columns as (dtype, shape, offset), and single numbers."""

    columns: dict[str, tuple[str, list[int], int]]
    numbers: dict[str, int]


class Scratch:
    """A folder for columns in the making: arrays that are mapped, and columns that grow. Their bytes are the page cache's affair."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._arrays: dict[str, np.memmap[Any, Any]] = {}
        self._rows = 0
        self.others: list[Mapped] = []

    def array(self, name: str, dtype: str, shape: int | tuple[int, ...], fill: Any = None) -> Array:
        """Return a new mapped array. Room for it is taken first, so that a full disk is an error here and not a signal later."""
        wanted = (shape,) if isinstance(shape, int) else shape
        size = int(np.prod(wanted)) * np.dtype(dtype).itemsize
        if size == 0:
            return np.zeros(wanted, dtype)
        path = self.folder / name
        with path.open("wb") as f:
            os.posix_fallocate(f.fileno(), 0, size)
        made = np.memmap(path, dtype, "r+", shape=wanted)
        self._arrays[name] = made
        if fill is not None:
            for start in range(0, wanted[0], PIECE):
                made[start : start + PIECE] = fill
        self.rest()
        return made.view(np.ndarray)

    def growing(self, name: str, dtype: str, width: int = 0) -> Growing:
        return Growing(self, name, dtype, width)

    def rest(self) -> None:
        """Take the pages of all columns out of this process; they stay in the page cache or go to the disk."""
        for array in self._arrays.values():
            array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
        for other in self.others:
            other.rest()

    def pieces(self, rows: int) -> Iterator[slice]:
        """Yield slices of `PIECE` rows that cover so many, and rest now and then."""
        for part in pieces(rows):
            yield part
            self.worked(part.stop - part.start)

    def worked(self, rows: int) -> None:
        """Take notice of so many rows that were worked on, and rest now and then."""
        self._rows += rows
        if self._rows >= REST_ROWS:
            self._rows = 0
            self.rest()

    def mapped(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Return the column of a finished file."""
        self._arrays[name] = np.memmap(self.folder / name, dtype, "r", shape=shape)
        return self._arrays[name].view(np.ndarray)


class Growing:
    """A column of unknown length: pieces are appended, and at the end it is mapped."""

    def __init__(self, scratch: Scratch, name: str, dtype: str, width: int) -> None:
        self._scratch, self._name, self._dtype, self._width = scratch, name, np.dtype(dtype), width
        self._file = (scratch.folder / name).open("wb")
        self.rows = 0

    def add(self, piece: Array) -> None:
        self._file.write(np.ascontiguousarray(piece, self._dtype).data.cast("B") if len(piece) else b"")
        self.rows += len(piece)

    def close(self) -> Array:
        """Return the whole column, mapped read-only."""
        self._file.close()
        shape = (self.rows, self._width) if self._width else (self.rows,)
        return self._scratch.mapped(self._name, self._dtype, shape) if self.rows else np.zeros(shape, self._dtype)


def pieces(rows: int, size: int = 0) -> Iterator[slice]:
    """Yield slices of `size` (else `PIECE`) rows that cover so many."""
    size = size or PIECE
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def write(path: Path, columns: dict[str, Array], numbers: dict[str, int], scratch: Scratch, log: Any) -> None:
    """Write a file of columns. `log` is given (path, size, SHA-256) once the bytes are durable; then the file gets its name."""
    header, at = Header({}, numbers), 0
    names = sorted(columns)
    for _ in range(2):  # offsets depend on the length of the header, which depends on the offsets: room for both is taken
        start = _aligned(len(MAGIC) + 8 + len(_encoded(header)) + 24 * len(names))
        at = start
        for name in names:
            array = columns[name]
            header.columns[name] = (array.dtype.newbyteorder("<").str, list(array.shape), at)
            at = _aligned(at + array.nbytes)
    said = _encoded(header)

    def fill(out: Digesting) -> None:
        out.write(MAGIC + len(said).to_bytes(8, "little") + said)
        for name in names:
            out.write(b"\0" * (header.columns[name][2] - out.size))
            array = columns[name]
            for part in pieces(len(array), max(1, COPY * max(1, len(array)) // max(1, array.nbytes))):
                out.write(np.ascontiguousarray(array[part]).data.cast("B"))  # type: ignore[arg-type]
            scratch.worked(len(array))
        out.write(b"\0" * (at - out.size))

    path.parent.mkdir(exist_ok=True)
    write_logged(path, fill, lambda _, out: log(path, out.size, out.sha256))


def _encoded(header: Header) -> bytes:
    return msgspec.json.encode(header, order="deterministic")


def _aligned(at: int) -> int:
    return -(-at // ALIGN) * ALIGN


class Mapped:
    """A file of columns that was checked, mapped: `columns` by name, `numbers` by name."""

    def __init__(self, path: Path, size: int, sha256: str) -> None:
        """Raise `Damaged` where the file is not the one with this size and SHA-256, `FileNotFoundError` where there is none."""
        import hashlib

        with path.open("rb") as f:
            found = os.fstat(f.fileno()).st_size
            if found != size:
                raise Damaged(f"{path.name} has {found} bytes, {size} were written")
            if hashlib.file_digest(f, "sha256").hexdigest() != sha256:
                raise Damaged(f"{path.name} is not what was written")
            self._map = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        self.path, self.size = path, size
        length = int.from_bytes(self._map[8:16], "little")
        header = msgspec.json.decode(self._map[16 : 16 + length], type=Header)
        self.numbers = header.numbers
        self.columns: dict[str, Array] = {name: self._column(*said) for name, said in header.columns.items()}

    def rest(self) -> None:
        """Take the pages that were looked at out of this process."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def _column(self, dtype: str, shape: list[int], at: int) -> Array:
        count = int(np.prod(shape))
        return np.frombuffer(self._map, dtype, count, at).reshape(shape) if count else np.zeros(shape, dtype)
