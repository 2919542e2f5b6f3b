"""Small numbers for contents: each SHA-256 that is seen gets the next one and keeps it while the program runs.

Arrays indexed by number hold what is known of a content (votes, flags); they only grow. A lookup searches the first 8 bytes of the
digests in order and then compares all 32. The contents of the review table come first where it is there when the program begins:
they are mapped, ascend, and their number is their row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint8]
Longs = NDArray[np.int64]
Prefixes = NDArray[np.uint64]


def digests(raw: bytes) -> Digests:
    """Return concatenated SHA-256 as an (n, 32) array."""
    return np.frombuffer(raw, np.uint8).reshape(-1, 32)


def prefixes(names: Digests) -> Prefixes:
    """Return the first 8 bytes of each digest as a number."""
    return np.ascontiguousarray(names[:, :8]).view(">u8").reshape(-1).astype(np.uint64)


def find(names: Digests, ordered: Prefixes, order: Longs | None, wanted: Digests) -> Longs:
    """Return where each of the wanted digests stands in `names`; -1 where it does not. `ordered`: the prefixes ascending, `order`: where
    they stand in `names` (None: in the same order)."""
    heads = prefixes(wanted)
    at = np.searchsorted(ordered, heads)
    found = np.full(len(wanted), -1, np.int64)
    open_ = np.flatnonzero(at < len(ordered))
    while len(open_):  # mostly once: two digests with the same first 8 bytes are rare, and no fault
        open_ = open_[ordered[at[open_]] == heads[open_]]
        places = at[open_] if order is None else order[at[open_]]
        equal = (names[places] == wanted[open_]).all(axis=1)
        found[open_[equal]] = places[equal]
        open_ = open_[~equal]
        at[open_] += 1
        open_ = open_[at[open_] < len(ordered)]
    return found


class Numbers:
    """The registry. 48 bytes for each content that is not among the first, which are given as they are mapped: distinct, ascending."""

    def __init__(self, first: Digests | None = None, first_prefixes: Prefixes | None = None) -> None:
        self.first = np.zeros((0, 32), np.uint8) if first is None else first
        self._heads = prefixes(self.first) if first_prefixes is None else first_prefixes
        self._more: Digests = np.zeros((0, 32), np.uint8)
        self._sorted: Prefixes = np.zeros(0, np.uint64)
        self._order: Longs = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.first) + len(self._more)

    def names_of(self, numbers: Longs) -> Digests:
        """Return the digests of these numbers."""
        found = np.empty((len(numbers), 32), np.uint8)
        mapped = numbers < len(self.first)
        found[mapped] = self.first[numbers[mapped]]
        found[~mapped] = self._more[numbers[~mapped] - len(self.first)]
        return found

    def find(self, names: Digests) -> Longs:
        """Return the number of each of the (n, 32) digests; -1 where it was never added."""
        if names is self.first:
            return np.arange(len(names))
        found = find(self.first, self._heads, None, names)
        unknown = np.flatnonzero(found < 0)
        if len(unknown) and len(self._more):
            more = find(self._more, self._sorted, self._order, names[unknown])
            found[unknown] = np.where(more >= 0, more + len(self.first), -1)
        return found

    def add(self, names: Digests) -> Longs:
        """Return the numbers of distinct digests; those that are new are added in their order."""
        found = self.find(names)
        new = np.flatnonzero(found < 0)
        if len(new):
            found[new] = np.arange(len(self), len(self) + len(new))
            heads = np.concatenate([self._sorted, prefixes(names[new])])
            order = np.argsort(heads, kind="stable")
            self._sorted = heads[order]
            self._order = np.concatenate([self._order, np.arange(len(self._more), len(self._more) + len(new))])[order]
            self._more = np.concatenate([self._more, names[new]])
        return found
