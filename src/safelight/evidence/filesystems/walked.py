"""A file system that is listed by a walk over its folders, and the accounts that close the walk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from safelight.evidence.source import Accounts, ByteSource, Entry, Unreadable
from safelight.problems import Problem


class Hooks(NamedTuple):
    """What a format adds: raw names of a folder where the library has none, allocated bytes of a record, the closing accounts; removed
    names of a folder (its record, its path), orphans after the walk, and the content of both by their own addresses."""

    raw_names: Callable[[int], list[tuple[int, bytes]]] | None = None
    held: Callable[[int], int] | None = None
    table: Callable[[int, int], tuple[int | None, int | None, int | None, int, list[Problem]]] | None = None
    problems: tuple[Problem, ...] = ()
    removed: Callable[[int, bytes], Iterator[Entry | Problem]] | None = None
    orphans: Callable[[], Iterator[Entry | Problem]] | None = None
    content: Callable[[str], ByteSource] | None = None


class WalkedFileSystem:
    """What such file systems share; a reader gives `_walk` and `content`. See `OpenFileSystem`."""

    def __init__(self, name: str, label: str, reader: str, hooks: Hooks, problems: list[Problem]) -> None:
        self.name, self.label, self.reader = name, label, reader
        self._hooks, self._problems = hooks, problems
        self._accounts: Accounts | None = None

    def _walk(self) -> Iterator[Entry | Problem]:
        """Yield the live entries, folders before what is in them."""
        raise NotImplementedError

    def accounts(self) -> Accounts:
        if self._accounts is None:
            raise RuntimeError("accounts are known after the entries were exhausted")
        return self._accounts

    def entries(self) -> Iterator[Entry | Problem]:
        """Yield every entry, folders before what is in them, then what does not add up."""
        yield from self._hooks.problems
        yield from self._problems
        walk = covered = records = deleted = orphans = 0
        seen: set[tuple[int, int]] = set()
        for x in chain(self._walk(), self._hooks.orphans() if self._hooks.orphans is not None else ()):
            if isinstance(x, Entry):
                walk += x.state == "live"
                orphans += x.state == "orphan"
                deleted += x.state in ("deleted", "overwritten")
                key = (int(x.address.split("-")[0]), int(x.address.split("-")[-1])) if x.address.replace("-", "").isdecimal() else None
                if key is not None and key not in seen:
                    seen.add(key)
                    records += 1
                    covered += x.allocated or 0
            yield x
        in_use = allocated = None
        if self._hooks.table is not None:
            try:
                in_use, allocated, own, tolerance, problems = self._hooks.table(records, covered)
            except Unreadable as e:
                yield Problem(e.kind, f"the accounts of the volume cannot be read: {e}", "", False)
            else:
                yield from problems
                covered += own or 0
                if allocated is not None and abs(allocated - covered) > tolerance:
                    words = f"the volume says {allocated} bytes are in use, entries and structures cover {covered} (tolerance {tolerance})"
                    yield Problem("accounts", words)
        self._accounts = Accounts(
            entries_walk=walk,
            entries_table=in_use,
            deleted=deleted,
            orphans=orphans,
            bytes_allocated=allocated,
            bytes_covered=covered or None,
            readers=(self.reader,),
        )
