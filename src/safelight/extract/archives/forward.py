"""A member of an archive as a byte source, without keeping it: for a TAR inside a gzip that is larger than memory.

Reads go forward; the last few MiB are kept, so that a head may be looked at first. A read before them starts the member over,
which costs all bytes again: fine for TAR and for other streams, not for formats that seek (ZIP, 7z), which the caller keeps
whole in memory instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from safelight.evidence.source import Unreadable

WINDOW = 4 << 20
MAX_RESTARTS = 8
UNKNOWN = 1 << 62
"""Size of a source whose end is not known; reads are short where it really ends."""


class ForwardSource:
    """`open` gives the blocks from the start, each time it is called: `member.blocks` or a call of `open_member`."""

    def __init__(self, open: Callable[[], Iterator[bytes]], size: int | None = None) -> None:
        self._open, self.size = open, UNKNOWN if size is None else size
        self._restarts = -1
        self._restart()

    def _restart(self) -> None:
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            raise Unreadable("limit.bytes", f"the member was started over {MAX_RESTARTS} times")
        self._blocks = self._open()
        self._kept, self._start, self._ended = bytearray(), 0, False

    def read_at(self, offset: int, size: int) -> bytes:
        """See `ByteSource.read_at`; at most `WINDOW` bytes at a time, further ones come in further reads."""
        if offset < 0 or size < 0:
            raise ValueError(f"negative read: offset {offset}, size {size}")
        size = min(size, WINDOW)
        if offset < self._start:
            self._restart()
        while not self._ended and self._start + len(self._kept) < offset + size:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                self.size = self._start + len(self._kept)
                break
            self._kept += block
            # Let go of what lies before the window and before the read.
            spare = min(len(self._kept) - 2 * WINDOW, offset - self._start)
            if spare > 0:
                del self._kept[:spare]
                self._start += spare
        begin = offset - self._start
        return bytes(self._kept[begin : begin + size])
