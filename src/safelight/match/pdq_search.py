"""A search that is prepared: distinct hashes with the order of each band, in memory or mapped from a file.

For many queries the kernel goes through the bands (`join`), for a few it makes single accesses (`query`), and where neither pays it
compares everything (`brute`); the choice is by expected cost, the pairs are the same.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from safelight.match import pdq
from safelight.match.indexes import SetDamaged
from safelight.match.pdq import DISTANCE, Hashes, Packed, Pairs
from safelight.match.pdq_bands import (
    ACCESS_NS,
    BRUTE_NS,
    MOST_RADIUS,
    PROBE_NS,
    bands_for,
    join_ns,
    looked_at,
    packed,
    radii,
    reach,
    widths,
)

MOST_DISTANCE = 64
"""Greatest distance of a search."""
PAGE = 4096
Numbers = NDArray[np.uint32]


def ordered_bands(hashes: Hashes, band_widths: Sequence[int]) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield, band by band, (first place of each key and the end, numbers of the hashes in the order of their keys).

    Memory beside the hashes: about 16 bytes a hash and thread, and 4 bytes a key.
    """
    from safelight.native import _bands

    def order(band: int) -> tuple[Numbers, Numbers]:
        starts, numbers = np.empty((1 << band_widths[band]) + 1, np.uint32), np.empty(len(hashes), np.uint32)
        _bands.order(hashes, sum(band_widths[:band]), band_widths[band], starts, numbers)
        return starts, numbers

    with ThreadPoolExecutor(pdq.THREADS) as pool:
        for first in range(0, len(band_widths), pdq.THREADS):
            yield from pool.map(order, range(first, min(first + pdq.THREADS, len(band_widths))))


class Bands:
    """`hashes` (n, 32) distinct, and in `file` for each band its starts and numbers (see `ordered_bands`) at `places`.

    `mapped`: the mapping behind `file`, so that what a join has read can be let go of. Without widths everything is compared.
    """

    def __init__(
        self,
        hashes: Hashes,
        file: NDArray[np.uint8],
        band_widths: Sequence[int],
        places: Sequence[tuple[int, int]],
        mapped: mmap.mmap | None = None,
    ) -> None:
        self.hashes, self.file, self.widths, self.mapped = hashes, file, tuple(band_widths), mapped
        self.places = np.array(places, np.int64).reshape(-1, 2)

    @classmethod
    def of(cls, hashes: Hashes) -> Bands:
        """Order distinct hashes in memory: about 4 bytes a hash and band."""
        chosen = widths(bands_for(len(hashes)))
        sizes = [(((1 << w) + 1) * 4, len(hashes) * 4) for w in chosen]
        ends = np.cumsum(np.array(sizes, np.int64).reshape(-1))
        places = np.concatenate([[0], ends[:-1]]).reshape(-1, 2)
        file = np.empty(int(ends[-1]), np.uint8)
        for where, both in zip(places, ordered_bands(hashes, chosen), strict=True):
            for at, array in zip(where, both, strict=True):
                file[at : at + array.nbytes] = array.view(np.uint8)
        return cls(hashes, file, chosen, [(int(a), int(b)) for a, b in places])

    def fit(self) -> bool:
        """Say whether the bands cover all bits and lie, page by page, within the file."""
        if sum(self.widths) not in (0, 256) or len(self.places) != len(self.widths):
            return False
        sizes = np.array([(((1 << w) + 1) * 4, len(self.hashes) * 4) for w in self.widths], np.int64).reshape(-1, 2)
        return bool(((self.places >= PAGE) & (self.places % PAGE == 0) & (self.places <= len(self.file) - sizes)).all())

    def pairs(self, queries: Hashes, distance: int = DISTANCE, *, way: str = "") -> Iterator[Pairs]:
        """Yield all (number of the query, number of the hash, distance) in pieces of bounded size, sorted by query, then hash.

        `way`: "" chooses between `join`, `query` and `brute`. Raise ValueError for other shapes and distances, `SetDamaged` where the
        file contradicts the hashes.
        """
        queries = pdq.checked(queries)
        pdq.check_distance(distance, MOST_DISTANCE)
        if not self.widths:
            yield from pdq.join_batches(queries, self.hashes, distance)
            return

        def piece(start: int, end: int, alone: bool) -> Packed | None:
            most = max(pdq.MOST_PAIRS, len(self.hashes)) if alone else pdq.MOST_PAIRS
            return self._piece(queries[start:end], distance, most, way or self.way(end - start, distance))

        yield from pdq.split_on_overflow(len(queries), pdq.SLICE, piece)

    def way(self, queries: int, distance: int) -> str:
        """Return the way that is expected to be cheapest."""
        from safelight.native import _bands

        entries, level = len(self.hashes), _bands.level()
        if max(radii(distance, len(self.widths))) > MOST_RADIUS:
            return "brute"
        probes, share = reach(self.widths, distance)
        costs = {
            "brute": queries * entries * BRUTE_NS[level] + entries * 3.0,
            "query": queries * (probes * PROBE_NS["query"] + share * entries * ACCESS_NS),
            "join": join_ns(self.widths, distance, queries, entries, level, ordered=True) / pdq.THREADS,
        }
        return min(costs, key=lambda w: costs[w])

    def _piece(self, queries: Hashes, distance: int, most: int, way: str) -> Packed | None:
        from safelight.native import _bands

        plan = packed(self.widths, radii(distance, len(self.widths)))
        try:
            if way == "join":
                return pdq.over_bands(
                    lambda band: self._join_band(queries, plan, band, distance, most), looked_at(distance, self.widths), most
                )
            if way == "query":
                candidates = max(len(self.hashes) // 4, 1 << 20)  # beyond a quarter, comparing all of them in order is quicker
                found = _bands.query(queries, self.hashes, self.file, self.places.reshape(-1), plan, distance, most, candidates)
                if found is not None:
                    pairs: Packed = np.sort(np.frombuffer(found, np.uint64))
                    return pairs
                if len(queries) > 1:
                    return None
        except ValueError as error:
            raise SetDamaged(f"pdq: {error}; import the set again") from error
        return pdq.by_brute_force(queries, self.hashes, "", distance, -1, most)

    def _join_band(self, queries: Hashes, plan: bytes, band: int, distance: int, most: int) -> bytes | None:
        from safelight.native import _bands

        first, second = (int(p) for p in self.places[band])
        starts = self.file[first : first + ((1 << self.widths[band]) + 1) * 4]
        numbers = self.file[second : second + len(self.hashes) * 4]
        found = _bands.join(queries, self.hashes, starts, numbers, plan, band, distance, -1, 0, 1, most, "")
        if self.mapped is not None:  # a band is read once a batch: what stays of it is the page cache's affair, not this process's memory
            self.mapped.madvise(mmap.MADV_DONTNEED, first, starts.nbytes)
            self.mapped.madvise(mmap.MADV_DONTNEED, second, numbers.nbytes or 1)
        return found
