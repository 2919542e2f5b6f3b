"""What an archive gives: members with bounded content, and the budget that a whole tree of archives shares.

A budget belongs to one listed item: everything unpacked below it, at any depth, spends from the same account. Limits are
counts and bytes, never time, so that the same item fails everywhere alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from safelight.evidence.source import Unreadable

BYTES_OUT = 2 << 30
"""Bytes out of one listed item and all below it, at least; see `Budget.of`."""

BYTES_PER_BYTE = 16
"""`Budget.of` allows this many bytes out for each byte of the item: a backup of 50 GB of stored pictures must come out whole."""

ENTRIES = 1_000_000
DEPTH = 8
RATIO = 200
RATIO_FREE = 256 << 20
"""The ratio of bytes out to bytes of the item is a problem beyond 200:1, once 256 MiB came out: text logs reach 100:1, deflate
cannot exceed 1032:1 in one layer (zlib technical notes), and a small ratio bomb does no harm."""

MAX_NAME = 1 << 16


class Budget:
    """What may still come out of one listed item. Raises `Unreadable` with a `limit.` kind, and again on every later call."""

    def __init__(self, bytes_left: int = BYTES_OUT, entries_left: int = ENTRIES, depth: int = DEPTH, bytes_in: int = 0) -> None:
        """`bytes_in` is the size of the listed item; 0: that of the first archive that is opened with this budget."""
        self.bytes_left, self.entries_left, self.depth = bytes_left, entries_left, depth
        self.bytes_in, self.bytes_out = bytes_in, 0

    @classmethod
    def of(cls, size: int) -> Budget:
        """The default budget of a listed item of `size` bytes: 2 GiB out, or 16 times its size where that is more."""
        return cls(bytes_left=max(BYTES_OUT, BYTES_PER_BYTE * size), bytes_in=size)

    def check(self) -> None:
        """Raise when the account is overdrawn."""
        if self.bytes_left < 0:
            raise Unreadable("limit.bytes", f"more than {self.bytes_out} bytes came out of {self.bytes_in}")
        if self.bytes_in and self.bytes_out > RATIO_FREE and self.bytes_out > RATIO * self.bytes_in:
            raise Unreadable("limit.ratio", f"{self.bytes_out} bytes came out of {self.bytes_in}, more than {RATIO}:1")

    def spend(self, count: int) -> None:
        """Take bytes that came out."""
        self.bytes_left -= count
        self.bytes_out += count
        self.check()

    def entry(self) -> None:
        """Take one entry."""
        self.entries_left -= 1
        if self.entries_left < 0:
            raise Unreadable("limit.entries", "more entries than the budget of the item")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Go one archive deeper; raise `limit.depth` beyond the budget."""
        if self.depth <= 0:
            raise Unreadable("limit.depth", f"archives nested deeper than {DEPTH}")
        self.depth -= 1
        try:
            yield
        finally:
            self.depth += 1


class Member:
    """One entry of an archive.

    `index` counts from 1 in the order of the archive; `step` (`zip:7`) is its part of an origin. `name` is raw. `mtime` is ns
    since 1970 with `time_basis` utc or `local?`. `problems` are (kind, reason) known before the content is read; that it is
    encrypted is told by `encrypted` and raised by `blocks`. Links, devices and folders have no content.
    """

    __slots__ = (
        "_budget",
        "_read",
        "encrypted",
        "has_content",
        "index",
        "link",
        "mtime",
        "name",
        "problems",
        "size",
        "step",
        "time_basis",
        "type",
    )

    def __init__(
        self,
        scheme: str,
        index: int,
        name: bytes,
        read: Callable[[], Iterator[bytes]],
        budget: Budget | None,
        *,
        size: int | None = None,
        type: str = "file",
        mtime: int | None = None,
        time_basis: str = "utc",
        encrypted: bool = False,
        link: bytes = b"",
        problems: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.step, self.index, self.name = f"{scheme}:{index}", index, name
        self._read, self._budget = read, budget
        self.size, self.type, self.mtime, self.time_basis = size, type, mtime, time_basis
        self.encrypted, self.link = encrypted, link
        self.has_content = type == "file"
        self.problems = (*problems, *self._own_problems())

    def _own_problems(self) -> Iterator[tuple[str, str]]:
        unsafe = unsafe_name(self.name)
        if unsafe:
            yield "unsafe-name", unsafe
        if self.link and leaves(self.name, self.link):
            yield "unsafe-name", "the target of the link is outside of the archive"
        if self.type not in ("file", "directory"):
            yield "link", f"{self.type} in an archive: recorded, neither made nor followed"

    def blocks(self) -> Iterator[bytes]:
        """Content in blocks of at most 256 KiB. Valid until the next member is asked for.

        Raise `Unreadable` for a wrong checksum, a cut, encryption or a limit; the blocks before it were given and are to be
        called damaged then.
        """
        if not self.has_content:
            return
        if self._budget is not None:
            self._budget.check()
        for block in self._read():
            if self._budget is not None:
                self._budget.spend(len(block))
            yield block


DRIVE = re.compile(rb"[A-Za-z]:")


def unsafe_name(name: bytes) -> str:
    """Why a name would leave its folder or cannot be a name; empty where it is harmless."""
    parts = re.split(rb"[/\\]", name)
    if b".." in parts:
        return "the name has a .. part"
    if name[:1] in (b"/", b"\\"):
        return "the name is absolute"
    if DRIVE.match(name):
        return "the name has a drive"
    if b"\0" in name:
        return "the name has a NUL"
    if len(name) > MAX_NAME:
        return f"the name has {len(name)} bytes"
    return ""


def leaves(name: bytes, link: bytes) -> bool:
    """Whether a link of this name points out of the folder that the archive would be unpacked to."""
    if link[:1] in (b"/", b"\\") or DRIVE.match(link):
        return True
    depth = len(re.split(rb"[/\\]", name.rstrip(b"/"))) - 1
    for part in re.split(rb"[/\\]", link):
        depth += -1 if part == b".." else 0 if part in (b"", b".") else 1
        if depth < 0:
            return True
    return False
