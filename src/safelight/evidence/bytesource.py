"""Small byte sources that every layer is built from: a descriptor, a slice, a concatenation, memory, a cache, a file object.

Nothing here opens a path: descriptors come from the trusted parent. All sources keep the contract of
`safelight.evidence.source.ByteSource`: short reads only at the end, `Unreadable` on failure, never zeros for lost bytes.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from safelight.evidence.source import ByteSource, Unreadable

V = TypeVar("V")

SECTOR = 512
PIECE = 1 << 20
"""Bytes that `pieces` and friends move at a time: large enough for full speed, small enough to stay in the L2 cache."""


def clamp(offset: int, size: int, total: int) -> int:
    """Return how many bytes a read of `size` at `offset` gives from a source of `total` bytes; refuse negative arguments."""
    if offset < 0 or size < 0:
        raise ValueError(f"negative read: offset {offset}, size {size}")
    return max(0, min(size, total - offset))


class FdSource:
    """The bytes of an open file descriptor, by `pread`: no seek position, so threads and layers may share it."""

    def __init__(self, fd: int, size: int | None = None) -> None:
        self.fd = fd
        # A block device has st_size 0; seeking to its end gives its size on Linux.
        self.size = os.lseek(fd, 0, os.SEEK_END) if size is None else size

    def read_at(self, offset: int, size: int) -> bytes:
        size = clamp(offset, size, self.size)
        if not size:
            return b""
        data = self._pread(offset, size)
        if len(data) == size:
            return data
        parts = [data]
        done = len(data)
        while done < size:
            data = self._pread(offset + done, size - done)
            if not data:
                raise Unreadable(
                    "evidence-changed", f"the file ends at {offset + done}, it had {self.size} bytes", offset + done, size - done
                )
            parts.append(data)
            done += len(data)
        return b"".join(parts)

    def _pread(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self.fd, size, offset)
        except OSError as error:
            raise Unreadable("unreadable", f"read of {size} bytes at {offset}: {error.strerror}", offset, size) from error


class MemorySource:
    """Bytes in memory."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        self.size = len(self._data)

    def read_at(self, offset: int, size: int) -> bytes:
        size = clamp(offset, size, self.size)
        return bytes(self._data[offset : offset + size]) if size else b""


class Slice:
    """`size` bytes of another source from `offset` on; what lies beyond the end of the other source is `Unreadable`."""

    def __init__(self, source: ByteSource, offset: int, size: int) -> None:
        if offset < 0 or size < 0:
            raise ValueError(f"negative slice: offset {offset}, size {size}")
        self._source, self._offset, self.size = source, offset, size

    def read_at(self, offset: int, size: int) -> bytes:
        size = clamp(offset, size, self.size)
        if not size:
            return b""
        data = self._source.read_at(self._offset + offset, size)
        if len(data) < size:
            end = offset + len(data)
            raise Unreadable(
                "truncated",
                f"the layer below ends at {self._source.size}; bytes {end} to {offset + size} are missing",
                end,
                size - len(data),
            )
        return data


class Concat:
    """Sources one after the other."""

    def __init__(self, sources: Sequence[ByteSource]) -> None:
        self._sources = [s for s in sources if s.size]
        self._starts: list[int] = []
        self.size = 0
        for source in self._sources:
            self._starts.append(self.size)
            self.size += source.size

    def read_at(self, offset: int, size: int) -> bytes:
        size = clamp(offset, size, self.size)
        if not size:
            return b""
        i = bisect_right(self._starts, offset) - 1
        parts = []
        while size:
            inside = offset - self._starts[i]
            part = self._sources[i].read_at(inside, min(size, self._sources[i].size - inside))
            if not part:
                raise Unreadable("unreadable", f"part {i + 1} gave no bytes at {inside}", offset, size)
            parts.append(part)
            offset += len(part)
            size -= len(part)
            if offset >= self._starts[i] + self._sources[i].size:
                i += 1
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Recent(Generic[V]):
    """The most recently used values by number: the cache of chunks, clusters and tables."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._values: OrderedDict[int, V] = OrderedDict()

    def get(self, key: int) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: int, value: V) -> None:
        self._values[key] = value
        if len(self._values) > self._room:
            self._values.popitem(last=False)


class Cached:
    """A small block cache for readers that ask for many small pieces; large reads pass through."""

    def __init__(self, source: ByteSource, block: int = 1 << 16, blocks: int = 64) -> None:
        self._source, self._block, self.size = source, block, source.size
        self._recent: Recent[bytes] = Recent(blocks)

    def read_at(self, offset: int, size: int) -> bytes:
        size = clamp(offset, size, self.size)
        if size >= 2 * self._block:
            return self._source.read_at(offset, size)
        parts = []
        while size:
            number, inside = divmod(offset, self._block)
            block = self._recent.get(number)
            if block is None:
                block = self._source.read_at(number * self._block, self._block)
                self._recent.put(number, block)
            part = block[inside : inside + size]
            if not part:
                raise Unreadable("unreadable", f"the layer below gave no bytes at {offset}", offset, size)
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class FileObject(io.RawIOBase):
    """A source as a file object for libyal (`read`, `seek`, `tell`, `get_size`).

    libyal turns an exception of the callback into an `OSError` of its own; `failure` keeps the `Unreadable` that caused it.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._at = 0
        self.failure: Unreadable | None = None

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            size = max(0, self._source.size - self._at)
        try:
            data = self._source.read_at(self._at, size)
        except Unreadable as error:
            self.failure = error
            raise
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError("seek before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def get_size(self) -> int:
        return self._source.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def take_failure(self) -> Unreadable | None:
        """Return and forget the failure of the layer below, if there was one."""
        failure, self.failure = self.failure, None
        return failure


def readable_part(source: ByteSource, offset: int, size: int) -> bytes:
    """Return the bytes from `offset` up to the first sector of the `size` bytes that cannot be read; b"" where that is the first.

    For a read that failed as a whole: one bad sector is found in some ten reads.
    """
    data, low, high = b"", 0, -(-size // SECTOR)  # `low` sectors can be read, `high` cannot
    while high - low > 1:
        middle = (low + high) // 2
        try:
            data, low = source.read_at(offset, middle * SECTOR), middle
        except Unreadable:
            high = middle
    return data


def pieces(source: ByteSource, take: Callable[[bytes], object], piece: int = PIECE) -> None:
    """Give all bytes of a source to `take`, in order, a piece at a time."""
    offset = 0
    while offset < source.size:
        data = source.read_at(offset, piece)
        if not data:
            raise Unreadable("unreadable", f"no bytes at {offset} of {source.size}", offset, source.size - offset)
        take(data)
        offset += len(data)
