"""PDQ once more, in NumPy: the plain twin of `_pdq.c`, bit-equal by test, slow on purpose.

It builds the two clipped boxes of the reference as explicit matrices and sums in whole numbers, so it shares no shortcut with
the kernel but the definition. Facts: facebook/ThreatExchange pdq/cpp/hashing (windows, sample points, quality, frequencies).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

SIDE, FREQUENCIES = 64, 16
SAMPLINGS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""(upside down, left-right) of the four samplings."""
SLOTS = ((0, 6), (5, 1), (4, 3), (2, 7))
"""For each sampling the slots of records.TRANSFORMS: as it is, transposed."""


def tents(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return whole-number weights (64, n) and their divisors (64,) of an axis of `n` pixels."""
    window = (n + 127) // 128
    half = (window + 2) // 2
    weights, divisors = np.zeros((SIDE, n), np.int64), np.zeros(SIDE, np.int64)
    for i in range(SIDE):
        point = (2 * i + 1) * n // 128
        outer = _box(point, n, window, half)
        exact: dict[int, Fraction] = {}
        for middle in outer:
            inner = _box(middle, n, window, half)
            for x in inner:
                exact[x] = exact.get(x, Fraction(0)) + Fraction(1, len(outer) * len(inner))
        divisors[i] = math.lcm(*(f.denominator for f in exact.values()))
        for x, f in exact.items():
            weights[i, x] = int(f * int(divisors[i]))
    return weights, divisors


def _box(point: int, n: int, window: int, half: int) -> range:
    return range(max(0, point - (window - half)), min(n, point + half))


def samples(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the 64 x 64 filtered samples of a luma plane (h, w) or an RGB picture (h, w, 3)."""
    levels = 1
    whole = plane.astype(np.int64)
    if plane.ndim == 3:
        whole, levels = whole @ np.array([299, 587, 114], np.int64), 1000
    down, down_divisor = tents(plane.shape[0])
    across, across_divisor = tents(plane.shape[1])
    total = down @ whole @ across.T
    divisor = down_divisor[:, None] * across_divisor[None, :] * levels
    common = np.gcd(total, divisor)
    return np.asarray((total // common).astype(np.float64) / (divisor // common).astype(np.float64), np.float32)


def quality(a: NDArray[np.float32]) -> int:
    """Return the gradient quality 0..100; truncation to whole numbers comes before the absolute value."""
    hundred, levels = np.float32(100), np.float32(255)
    total = sum(int(np.abs(((u - v) * hundred / levels).astype(np.int32)).sum()) for u, v in ((a[:-1], a[1:]), (a[:, :-1], a[:, 1:])))
    return min(100, total // 90)


def coefficients(a: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the 16 x 16 DCT coefficients; sums run in the order of the kernel."""
    matrix = np.array(
        [[math.sqrt(2 / SIDE) * math.cos(math.pi / 2 / SIDE * (i + 1) * (2 * j + 1)) for j in range(SIDE)] for i in range(FREQUENCIES)],
        np.float32,
    ).astype(np.float64)
    half = np.zeros((FREQUENCIES, SIDE))
    for j in range(SIDE):
        half += matrix[:, j, None] * a[j].astype(np.float64)[None, :]
    out = np.zeros((FREQUENCIES, FREQUENCIES))
    for k in range(SIDE):
        out += half[:, k, None] * matrix[None, :, k]
    return out.astype(np.float32)


def bits(b: NDArray[np.float32]) -> bytes:
    """Return the 32 bytes of the published text form: bit 255 first, one where above the lower median."""
    above = b > np.sort(b, axis=None)[127]
    return np.packbits(above.reshape(-1)[::-1]).tobytes()


def hashes(plane: NDArray[np.uint8]) -> tuple[tuple[bytes, ...], int]:
    """Return the eight hashes in the order of records.TRANSFORMS and the quality of the first."""
    out = [bytes(32)] * 8
    if min(plane.shape[:2]) < 5:
        return tuple(out), 0
    for (vertical, horizontal), (plain, transposed) in zip(SAMPLINGS, SLOTS, strict=True):
        turned = plane[:: -1 if vertical else 1, :: -1 if horizontal else 1]
        b = coefficients(samples(turned))
        out[plain], out[transposed] = bits(b), bits(b.T)
    return tuple(out), quality(samples(plane))


UNIFORM, LEAST_SIDE, NEAREST_SIDE, ROUNDS = 24, 64, 512, 4


def uniform(lines: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say of each line (n, pixels) whether the values at rank 2 % and 98 % differ by UNIFORM levels or less."""
    n = lines.shape[1]
    rank = (n - 1) * 2 // 100
    ordered = np.sort(lines, axis=1).astype(np.int64)
    flat: NDArray[np.bool_] = ordered[:, n - 1 - rank] - ordered[:, rank] <= UNIFORM
    return flat


def trim(plane: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Return (left, top, width, height) of a plane (h, w) without its uniform border; None where there is none, or nothing else."""
    height, width = plane.shape
    left, top, right, bottom = 0, 0, width, height
    for _ in range(ROUNDS):
        before = left, top, right, bottom
        while bottom - top >= LEAST_SIDE and uniform(plane[top : top + 1, left:right])[0]:
            top += 1
        while bottom - top >= LEAST_SIDE and uniform(plane[bottom - 1 : bottom, left:right])[0]:
            bottom -= 1
        while right - left >= LEAST_SIDE and uniform(plane[top:bottom, left : left + 1].T)[0]:
            left += 1
        while right - left >= LEAST_SIDE and uniform(plane[top:bottom, right - 1 : right].T)[0]:
            right -= 1
        if min(right - left, bottom - top) < LEAST_SIDE:
            return None
        if before == (left, top, right, bottom):
            break
    return (left, top, right - left, bottom - top) if (right - left, bottom - top) != (width, height) else None


def nearest(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the 512 x 512 plane (or RGB picture) of the pixels floor(i * n / 512)."""
    rows = np.arange(NEAREST_SIDE) * plane.shape[0] // NEAREST_SIDE
    columns = np.arange(NEAREST_SIDE) * plane.shape[1] // NEAREST_SIDE
    return np.ascontiguousarray(plane[rows][:, columns])
