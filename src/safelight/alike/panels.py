"""Panels: rectangles inside screenshots and collages that hold a picture of their own; each has a PDQ, so that hash lists see it too.

A rectangle is cut at gutters (rows or columns of one brightness, as around pictures in apps and collages) and at seams (a line where the
brightness jumps over most of its length, as between pictures laid side by side), rows and columns in turn, to a bounded depth. Every
part of some size is a panel, not only the last: a strip of two pictures may be the listed one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

MOST = 12
"""Panels of one picture, the largest first."""

DEPTH = 6
"""Cuts below one another: three by rows, three by columns."""

PARTS = 64
"""Rectangles that are looked at in one picture."""

WORKING_SIDE = 1600
"""A plane with a longer side is halved first: gutters are found at this size, hashes are taken of the plane itself."""

FLAT = 20
"""Grey levels that the pixels of a gutter may differ in, after JPEG."""

DRIFT = 6
"""Grey levels that a gutter may drift from its first row to its last: a sky drifts further."""

GUTTER = 3
"""Rows that a gutter has at least."""

RINGING, NEAR, MOSTLY = 7, 28, 0.9
"""Rows beside a gutter that JPEG may fill with ringing: 90 % of the pixels within 28 grey levels of the gutter."""

JUMP, JUMPING, STANDING_OUT = 14, 0.55, 2.5
"""A seam: over 55 % of the length the brightness jumps by more than 14, and 2.5 times as often as in the rows beside it."""

LEAST_SIDE, LEAST_SHARE, MOST_SHARE, LONGEST = 72, 0.02, 0.93, 4.0
"""Pixels of a side and share of the picture that a panel has at least; beyond the largest share it is the picture; sides up to 4 : 1."""

Box = tuple[int, int, int, int]
"""left, top, right, bottom"""


class Panel(NamedTuple):
    """Left, top, width and height in pixels of the plane, the eight PDQ hashes of what is inside, and their quality."""

    box: tuple[int, int, int, int]
    hashes: list[bytes]
    quality: int


def find(plane: Image.Image) -> Iterator[Panel]:
    """Yield the panels of a plane of mode L, the largest first."""
    from safelight.native import _pdq

    factor = 2 if max(plane.size) > WORKING_SIDE else 1
    working = plane.reduce(factor) if factor > 1 else plane
    for left, top, right, bottom in rectangles(np.asarray(working, np.uint8)):
        box = left * factor, top * factor, min(plane.width, right * factor), min(plane.height, bottom * factor)
        inside = plane.crop(box)
        hasher = _pdq.Hasher(inside.width, inside.height, 1, True)
        hasher.rows(inside.tobytes())
        hashes, quality = hasher.finish()
        yield Panel((box[0], box[1], inside.width, inside.height), list(hashes), quality)


def rectangles(plane: NDArray[np.uint8]) -> list[Box]:
    """Return the panels of an (height, width) plane, the largest first, at most `MOST`."""
    height, width = plane.shape
    if min(height, width) < LEAST_SIDE:
        return []
    found: set[Box] = set()
    waiting: list[tuple[Box, int, bool, bool]] = [((0, 0, width, height), DEPTH, True, False), ((0, 0, width, height), DEPTH, False, False)]
    looked = 0
    while waiting and looked < PARTS:
        box, depth, by_rows, unchanged = waiting.pop(0)
        looked += 1
        parts = [_part(box, start, end, by_rows) for start, end in _cuts(_inside(plane, box, by_rows))]
        whole = parts == [box]
        for part in parts:
            if part[2] - part[0] >= LEAST_SIDE and part[3] - part[1] >= LEAST_SIDE:
                if not whole and _is_panel(part, width, height):
                    found.add(part)
                if depth > 1 and not (whole and unchanged):
                    waiting.append((part, depth - 1, not by_rows, whole))
    return sorted(found, key=lambda b: (-(b[2] - b[0]) * (b[3] - b[1]), b))[:MOST]


def _is_panel(box: Box, width: int, height: int) -> bool:
    across, down = box[2] - box[0], box[3] - box[1]
    return LEAST_SHARE <= across * down / (width * height) <= MOST_SHARE and max(across, down) <= LONGEST * min(across, down)


def _inside(plane: NDArray[np.uint8], box: Box, by_rows: bool) -> NDArray[np.uint8]:
    part = plane[box[1] : box[3], box[0] : box[2]]
    return part if by_rows else part.T


def _part(box: Box, start: int, end: int, by_rows: bool) -> Box:
    left, top, right, bottom = box
    return (left, top + start, right, top + end) if by_rows else (left + start, top, left + end, bottom)


def _cuts(plane: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return the runs of rows between gutters, cut at seams."""
    busy = ~_gutters(plane)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], busy, [False]]).astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if end - start < LEAST_SIDE:
            continue
        places = [start, *(start + s for s in _seams(plane[start:end])), end]
        runs += pairwise(places)
    return runs


def _gutters(plane: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which rows lie in a gutter."""
    low, high = plane.min(axis=1).astype(np.int64), plane.max(axis=1).astype(np.int64)
    flat, middle = high - low <= FLAT, (low + high) // 2
    gutter = np.zeros(len(plane), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2).tolist():
        own = middle[start:end]
        if end - start >= GUTTER and int(own.max() - own.min()) <= DRIFT:
            gutter[start:end] = True
            continue
        # a flat part of a picture may touch its gutter: only the rows at either end that do not drift are the gutter
        for rows in (np.arange(start, end), np.arange(start, end)[::-1]):
            still = int(np.argmax(np.abs(middle[rows] - middle[rows[0]]) > 2)) or len(rows)
            if still >= (GUTTER if rows[0] in (0, len(plane) - 1) else 2 * GUTTER):
                gutter[rows[:still]] = True
    return _widened(plane, gutter, middle)


def _widened(plane: NDArray[np.uint8], gutter: NDArray[np.bool_], middle: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Add the rows beside a gutter in which JPEG rings: most of their pixels are near the brightness of the gutter."""
    wide = gutter.copy()
    for row in np.flatnonzero(gutter[:-1] != gutter[1:]).tolist():
        inner, step = (row, 1) if gutter[row] else (row + 1, -1)
        for other in range(inner + step, inner + step * (RINGING + 1), step):
            if not 0 <= other < len(plane) or gutter[other]:
                break
            if float((np.abs(plane[other].astype(np.int16) - int(middle[inner])) <= NEAR).mean()) < MOSTLY:
                break
            wide[other] = True
    return wide


def _seams(plane: NDArray[np.uint8]) -> list[int]:
    """Return up to three rows before which a seam lies, none closer than `LEAST_SIDE` to another or to an end."""
    if len(plane) < 2 * LEAST_SIDE:
        return []
    upper, lower = plane[:-1], plane[1:]
    jumps = (np.maximum(upper, lower) - np.minimum(upper, lower) > JUMP).mean(axis=1)
    around = (np.convolve(jumps, np.ones(13), "same") - np.convolve(jumps, np.ones(3), "same")) / 10
    strong = np.flatnonzero((jumps >= JUMPING) & (jumps >= STANDING_OUT * around)) + 1
    chosen: list[int] = []
    for row in sorted(strong.tolist(), key=lambda r: (-jumps[r - 1], r)):
        if len(chosen) < 3 and all(abs(row - other) >= LEAST_SIDE for other in (0, len(plane), *chosen)):
            chosen.append(row)
    return sorted(chosen)
