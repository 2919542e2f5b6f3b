"""Small numbers for contents: each SHA-256 that is seen gets the next one and keeps it while the program runs.

Arrays indexed by number hold what is known of a content (votes, flags); they only grow. A lookup searches the first 8 bytes of the
digests in order and then compares all 32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint8]
Longs = NDArray[np.int64]


def digests(raw: bytes) -> Digests:
    """Return concatenated SHA-256 as an (n, 32) array."""
    return np.frombuffer(raw, np.uint8).reshape(-1, 32)


def _prefixes(names: Digests) -> NDArray[np.uint64]:
    return np.ascontiguousarray(names[:, :8]).view(">u8").reshape(-1).astype(np.uint64)


class Numbers:
    """The registry. 48 bytes a content."""

    def __init__(self) -> None:
        self.names: Digests = np.zeros((0, 32), np.uint8)
        self._sorted = np.zeros(0, np.uint64)
        self._order = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.names)

    def find(self, names: Digests) -> Longs:
        """Return the number of each of the (n, 32) digests; -1 where it was never added."""
        wanted = _prefixes(names)
        at = np.searchsorted(self._sorted, wanted)
        found = np.full(len(names), -1, np.int64)
        open_ = np.flatnonzero(at < len(self._sorted))
        while len(open_):  # mostly once: two digests with the same first 8 bytes are rare, and no fault
            open_ = open_[self._sorted[at[open_]] == wanted[open_]]
            numbers = self._order[at[open_]]
            equal = (self.names[numbers] == names[open_]).all(axis=1)
            found[open_[equal]] = numbers[equal]
            open_ = open_[~equal]
            at[open_] += 1
            open_ = open_[at[open_] < len(self._sorted)]
        return found

    def add(self, names: Digests) -> Longs:
        """Return the numbers of distinct digests; those that are new are added in their order."""
        found = self.find(names)
        new = np.flatnonzero(found < 0)
        if len(new):
            found[new] = np.arange(len(self), len(self) + len(new))
            self.names = np.concatenate([self.names, names[new]])
            prefixes = np.concatenate([self._sorted, _prefixes(names[new])])
            order = np.argsort(prefixes, kind="stable")
            self._sorted = prefixes[order]
            self._order = np.concatenate([self._order, found[new]])[order]
        return found
