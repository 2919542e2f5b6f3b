"""How a structure check reads: through `read_at` only, a bounded number of bytes, with a small cache for headers.

A check never trusts a length that it read: it may seek anywhere, but it gets at most `BUDGET` bytes of one file, and then
`Spent` ends it. What it has found up to there stands.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from safelight.evidence.source import ByteSource

Found = tuple[str, str]
"""A problem kind and its reason in words."""

BUDGET = 8 << 20
"""Bytes that a check may read of one file."""

BLOCK = 1 << 14
"""Headers are read in blocks of this size: neighbouring headers cost one read."""

RECENT = 32
"""Blocks that are kept; the root of a tree and its first children are asked for again and again."""


MOST = 16
"""Problems of one file that are told apart; more of the same file say nothing new."""


class Spent(Exception):
    """The bytes that a check may read are used up, or enough is known to be wrong."""


class Findings(list[Found]):
    """What a check has found: each thing once, and no more than `MOST`, then the check ends."""

    def append(self, problem: Found) -> None:
        if problem in self:
            return
        if len(self) >= MOST:
            raise Spent
        super().append(problem)


class Reader:
    """A source seen through a budget. `at` gives small pieces by way of a cache, `piece` gives large ones."""

    def __init__(self, source: ByteSource, budget: int = BUDGET) -> None:
        self._source, self.size, self.left = source, source.size, budget
        self._recent: OrderedDict[int, bytes] = OrderedDict()

    def piece(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer at the end. Raise `Spent` beyond the budget, `Unreadable` where the source does."""
        if not 0 <= offset < self.size or size <= 0:
            return b""
        size = min(size, self.size - offset)
        if size > self.left:
            raise Spent
        self.left -= size
        return self._source.read_at(offset, size)

    def at(self, offset: int, size: int) -> bytes:
        """Return up to `size` (some dozen) bytes at `offset`, from whole blocks that are kept."""
        parts = []
        while size > 0 and 0 <= offset < self.size:
            number, inside = divmod(offset, BLOCK)
            part = self._block(number)[inside : inside + size]
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        block = self._recent.get(number)
        if block is None:
            block = self._recent[number] = self.piece(number * BLOCK, BLOCK)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(number)
        return block


_CONTROL = re.compile(r"[^\x20-\x7e]")


def quoted(name: bytes, most: int = 120) -> str:
    """Return a name out of evidence as one line of printable ASCII in quotes; anything else is escaped, a long one is cut."""
    text = name[: most * 4].decode("utf-8", "backslashreplace")[:most]
    text = _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)
    return f"'{text}...'" if len(name) > most else f"'{text}'"


def listed(names: list[bytes], most: int = 3) -> str:
    """Return the first names and how many more there are."""
    shown = ", ".join(quoted(n) for n in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
