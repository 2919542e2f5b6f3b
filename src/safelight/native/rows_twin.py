"""The plain twin of `_rows.c`: the same bytes, by NumPy and the obvious way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes2D = NDArray[np.uint8]
Words = NDArray[np.uint64]


def sort(rows: Bytes2D) -> Bytes2D:
    """Return (n, width) rows in ascending order of their bytes."""
    return rows[np.lexsort(rows.T[::-1])] if len(rows) else rows


def part(rows: Bytes2D, at: int) -> tuple[Bytes2D, NDArray[np.int64]]:
    """Return the rows by their byte `at`, stable, and the 257 edges of the parts."""
    order = np.argsort(rows[:, at], kind="stable")
    return rows[order], np.searchsorted(rows[order, at], np.arange(257)).astype(np.int64)


def cut(rows: Bytes2D, number: int, last: bytes) -> tuple[bytes, bytes, int]:
    """Return (keys, row numbers little-endian, keys that differ from the one before) of sorted rows of a key and 8 bytes."""
    keys = [r[:-8].tobytes() for r in rows]
    before = [last, *keys][: len(keys)]
    numbers = np.ascontiguousarray(rows[:, -8:]).view(">u8").astype(f"<u{number}").tobytes()
    return b"".join(keys), numbers, sum(a != b for a, b in zip(before, keys, strict=True))


def _round(v: list[Words]) -> None:
    def rotate(x: Words, bits: int) -> Words:
        return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))

    v[0] = v[0] + v[1]
    v[1] = rotate(v[1], 13) ^ v[0]
    v[0] = rotate(v[0], 32)
    v[2] = v[2] + v[3]
    v[3] = rotate(v[3], 16) ^ v[2]
    v[0] = v[0] + v[3]
    v[3] = rotate(v[3], 21) ^ v[0]
    v[2] = v[2] + v[1]
    v[1] = rotate(v[1], 17) ^ v[2]
    v[2] = rotate(v[2], 32)


def fingerprints(rows: Bytes2D, key: bytes) -> Bytes2D:
    """Return SipHash-2-4-128 of each row as (n, 16) bytes."""
    count, width = rows.shape
    k0, k1 = (np.uint64(int.from_bytes(key[n : n + 8], "little")) for n in (0, 8))
    padded = np.zeros((count, width // 8 * 8 + 8), np.uint8)
    padded[:, :width] = rows
    padded[:, -1] = width & 0xFF
    words = padded.view("<u8")
    start = (
        k0 ^ np.uint64(0x736F6D6570736575),
        k1 ^ np.uint64(0x646F72616E646F6D ^ 0xEE),
        k0 ^ np.uint64(0x6C7967656E657261),
        k1 ^ np.uint64(0x7465646279746573),
    )
    v = [np.full(count, word, np.uint64) for word in start]
    for column in range(words.shape[1]):
        v[3] = v[3] ^ words[:, column]
        _round(v)
        _round(v)
        v[0] = v[0] ^ words[:, column]
    out = np.zeros((count, 2), "<u8")
    for half, (at, mask) in enumerate(((2, 0xEE), (1, 0xDD))):
        v[at] = v[at] ^ np.uint64(mask)
        for _ in range(4):
            _round(v)
        out[:, half] = v[0] ^ v[1] ^ v[2] ^ v[3]
    return out.view(np.uint8).reshape(count, 16)
