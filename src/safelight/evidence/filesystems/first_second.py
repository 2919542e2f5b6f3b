"""Open with the first reader of a format, else with the second, and say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from safelight.evidence.source import Accounts, ByteSource, Entry, OpenFileSystem, Unreadable
from safelight.problems import Problem

Opener = Callable[[ByteSource], OpenFileSystem]


class SecondReader:
    """A file system that was opened by the second reader of its format; the first thing it yields is why."""

    def __init__(self, inner: OpenFileSystem, reason: str) -> None:
        self._inner, self._reason = inner, reason
        self.name, self.label = inner.name, inner.label

    def entries(self) -> Iterator[Entry | Problem]:
        yield Problem("second-reader", self._reason, "", False)
        yield from self._inner.entries()

    def accounts(self) -> Accounts:
        return self._inner.accounts()

    def content(self, address: str) -> ByteSource:
        return self._inner.content(address)


def open_by(
    volume: ByteSource, first: Opener, second: Opener | None, gap: str = "the second reader has no deleted entries"
) -> OpenFileSystem:
    """Try both; when both fail the error of the first is raised. `gap`: what the second reader does not give."""
    try:
        return first(volume)
    except Unreadable as e:
        if second is None:
            raise
        try:
            inner = second(volume)
        except Unreadable:
            raise e from None
        return SecondReader(inner, f"the first reader could not open the volume ({e}); {gap}")


def head(volume: ByteSource, offset: int, size: int) -> bytes:
    """Read for a signature: what cannot be read is no signature."""
    if offset >= volume.size:
        return b""
    try:
        return volume.read_at(offset, min(size, volume.size - offset))
    except Unreadable:
        return b""
