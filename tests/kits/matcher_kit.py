"""Kit for matchers of hashes: whatever the way, the pairs are those of the plain twin, on data made to break an index."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from safelight.native.hamming_twin import join as plain_join

Hashes = NDArray[np.uint8]
Join = Callable[[Hashes, Hashes, int], tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]]


def flipped(base: Hashes, bits: list[int]) -> Hashes:
    """Return one hash with the given bits flipped."""
    mask = np.zeros(256, np.uint8)
    mask[bits] = 1
    return base ^ np.packbits(mask)


def evenly(number: int) -> list[int]:
    """Return `number` bits spread over the 16 bands as evenly as can be: the worst case of the pigeonhole argument."""
    return [(n % 16) * 16 + n // 16 for n in range(number)]


def adversarial(seed: int = 7) -> dict[str, tuple[Hashes, Hashes]]:
    """Return named (queries, entries) that are hard: clusters, duplicates, exact edges, empty, one, all equal."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (600, 32), dtype=np.uint8)
    cluster = np.stack([flipped(noise[0], list(rng.choice(256, rng.integers(0, 40), replace=False))) for _ in range(300)])
    edges = np.stack([flipped(noise[n % 50], evenly(bits)) for n, bits in enumerate([30, 31, 32, 15, 16, 33, 47, 48, 63, 64] * 20)])
    zeros = np.zeros((40, 32), np.uint8)
    few_bits = np.stack([flipped(zeros[0], list(rng.choice(256, n % 34, replace=False))) for n in range(100)])
    nothing = np.zeros((0, 32), np.uint8)
    return {
        "noise": (noise[:100], noise[100:]),
        "clusters": (cluster[:60], np.concatenate([cluster, noise[:50]])),
        "duplicates": (np.repeat(noise[:20], 3, axis=0), np.repeat(noise[:40], 4, axis=0)),
        "edges spread over the bands": (noise[:50], edges),
        "all zero": (zeros[:5], zeros),
        "few bits set": (few_bits[:40], np.concatenate([few_bits, zeros[:3], ~zeros[:3]])),
        "no queries": (nothing, noise),
        "no entries": (noise, nothing),
        "one and one": (noise[:1], noise[:1]),
        "one and a far one": (zeros[:1], ~zeros[:1]),
        "odd tile": (noise[:7], noise[: 256 + 3]),
    }


def hold_to_twin(join: Join, distance: int) -> None:
    """Assert that `join` gives exactly the pairs of the plain twin on all adversarial data."""
    for name, (queries, entries) in adversarial().items():
        wanted = plain_join(queries, entries, distance)
        found = join(queries, entries, distance)
        for want, got in zip(wanted, found, strict=True):
            assert want.tolist() == got.tolist(), f"{name} at distance {distance}"
