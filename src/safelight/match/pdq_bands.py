"""How 256 bits are cut into bands, why no pair is missed, and what a join costs.

Cut a hash into m bands and give each a radius r. If two hashes within d bits differed in more than r bits in every band, they would
differ in at least sum(r + 1) bits. So where sum(r + 1) >= d + 1, some band is within its radius: looking at all keys within r of a key,
band by band, finds every pair. Example: d = 31 and 11 bands: ten of radius 2, one of radius 1, 10 x 3 + 1 x 2 = 32. The kernel
(`native/_bands.c`) checks that sum itself before each run. How many bands there are changes the time, never the answer.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, log2

BITS = 256
MOST_RADIUS = 8
"""Greatest radius of a band for which keys are enumerated; beyond it everything is compared."""
UNLOOKED = 255
"""Radius of a band that is not looked at, in the form that the kernel reads."""

# ns, one thread, measured with bench/pdq_search.py on an AMD EPYC of the AVX-512 generation. They choose the way, never the answer.
ROW_NS = {"order": 25.0, "gather": 20.0}
PROBE_NS = {"join": 9.0, "query": 15.0}
CANDIDATE_NS = {"avx512": 0.27, "avx2": 0.9, "neon": 1.5, "portable": 3.0}
BRUTE_NS = {"avx512": 0.35, "avx2": 0.9, "neon": 1.5, "portable": 3.0}
ACCESS_NS = 9.0
"""One candidate of a single query: a cache miss that was asked for in time."""


def widths(count: int) -> tuple[int, ...]:
    """Return the widths of `count` bands that lie side by side over all bits, the wider ones first."""
    return tuple(BITS // count + (n < BITS % count) for n in range(count))


def radii(distance: int, count: int) -> tuple[int, ...]:
    """Return the radius of each of `count` bands for `distance`, sum(r + 1) = distance + 1; -1 is a band that is not looked at.

    The wider bands get the greater radius: there it costs the fewest candidates.
    """
    least, more = divmod(distance + 1, count)
    return tuple(least - 1 + (n < more) for n in range(count))


def packed(band_widths: tuple[int, ...], band_radii: tuple[int, ...]) -> bytes:
    """Return widths and radii as the kernel reads them: two bytes a band."""
    return bytes(v for w, r in zip(band_widths, band_radii, strict=True) for v in (w, UNLOOKED if r < 0 else r))


def keys_within(width: int, radius: int) -> int:
    """Return how many keys of `width` bits are within `radius` of one."""
    return sum(comb(width, k) for k in range(radius + 1))


@lru_cache(maxsize=4096)
def reach(band_widths: tuple[int, ...], distance: int) -> tuple[int, float]:
    """Return (keys looked at by one query, share of all entries that it is compared with where bits are independent)."""
    each = [(w, keys_within(w, r)) for w, r in zip(band_widths, radii(distance, len(band_widths)), strict=True) if r >= 0]
    return sum(k for _, k in each), sum(k / (1 << w) for w, k in each)


def looked_at(distance: int, band_widths: tuple[int, ...]) -> list[int]:
    """Return the numbers of the bands that are looked at."""
    return [band for band, radius in enumerate(radii(distance, len(band_widths))) if radius >= 0]


def bands_for(entries: int) -> int:
    """Return the number of bands of an index that is kept: about a dozen entries a key, 16 bands at most, 10 at least."""
    return max(10, min(16, round(BITS / max(1.0, log2(max(2, entries)) - 3.5))))


def join_ns(band_widths: tuple[int, ...], distance: int, queries: int, entries: int, level: str, *, ordered: bool) -> float:
    """Return what a join by bands will roughly cost, one thread; `ordered`: the entries lie in the order of each band already."""
    probes, share = reach(band_widths, distance)
    row = ROW_NS["gather"] + (0.0 if ordered else ROW_NS["order"])
    each = probes * PROBE_NS["join"] + share * entries * CANDIDATE_NS[level]
    return len(looked_at(distance, band_widths)) * (entries * row + queries * row + (1 << max(band_widths)) * 2.0) + queries * each


def best_bands(distance: int, queries: int, entries: int, level: str) -> tuple[int, float]:
    """Return (number of bands, ns) of the cheapest join by bands of hashes that lie in no order yet."""
    choice = [m for m in range(10, 33) if max(radii(distance, m)) <= MOST_RADIUS]
    return min(((m, join_ns(widths(m), distance, queries, entries, level, ordered=False)) for m in choice), key=lambda c: c[1])
