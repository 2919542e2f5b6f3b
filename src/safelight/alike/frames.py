"""Is what two pictures share a frame round two different pictures? Told from the two alone: pages of one web site, screens of one app.

A frame lies in the same place on both and agrees nearly everywhere, a large rectangle in it agrees nowhere, and agreement stands on two
opposite sides of that rectangle (head and foot, or both side bars) in strips. So it is not for collages that share some of their
pictures (they share a block, or touch the rest on one side), for stickers (smaller), and for poor copies (they agree here and there).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safelight.alike.features import Features, points_of

GRID = 12
"""Cells of a side of the common part."""

STILL, SHIFT = 0.03, 0.02
"""How far the map may be from the identity: in scale and turn, and in shares of the long side."""

HOLE = 0.42
"""Least share of the common part that the rectangle without agreement fills."""

BUSY = 12
"""Corners that each picture has in it at least: of a flat part nothing is known."""

OUTSIDE = 0.5
"""Least share of the corners outside the rectangle that agree."""

BLOCK = 5
"""Cells of a side of a square in which, if corners agree in three quarters of its cells, the two share more than strips."""

Points = NDArray[np.float64]


def is_frame(a: Features, b: Features, m: tuple[float, ...], agreeing: NDArray[np.uint16]) -> bool:
    """Tell whether two pictures agree in a frame only. `m` maps a to b; `agreeing` has the numbers of the corners (n, 2) that agree."""
    side = float(max(b.width, b.height))
    if max(abs(m[0] - 1), abs(m[4] - 1), abs(m[1]), abs(m[3])) > STILL or max(abs(m[2]), abs(m[5])) > SHIFT * side:
        return False
    width, height = min(a.width, b.width), min(a.height, b.height)
    one, two = _places(a, m), _places(b, (1, 0, 0, 0, 1, 0))
    of_a, of_b, agree = (_counted(p, width, height) for p in (one, two, two[agreeing[:, 1]]))
    hole = _largest_without(agree > 0)
    if hole is None:
        return False
    top, left, bottom, right = hole
    inside = np.zeros((GRID, GRID), bool)
    inside[top:bottom, left:right] = True
    opposite = (agree[:top].any() and agree[bottom:].any()) or (agree[:, :left].any() and agree[:, right:].any())
    if not opposite or min(int(of_a[inside].sum()), int(of_b[inside].sum())) < BUSY:
        return False
    outside = min(int(of_a[~inside].sum()), int(of_b[~inside].sum()))
    return int(agree.sum()) >= OUTSIDE * outside and not _has_block(agree > 0)


def _places(features: Features, m: tuple[float, ...]) -> Points:
    """Return where a map lays the corners (n, 2)."""
    points = points_of(features)
    x, y = points["x"] / 16.0, points["y"] / 16.0
    return np.stack([m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]], axis=1)


def _counted(places: Points, width: float, height: float) -> NDArray[np.int64]:
    """Count the corners in each cell; what lies beyond the common part is left out."""
    column, row = np.floor(places[:, 0] * GRID / width).astype(np.int64), np.floor(places[:, 1] * GRID / height).astype(np.int64)
    good = (column >= 0) & (column < GRID) & (row >= 0) & (row < GRID)
    return np.bincount(row[good] * GRID + column[good], minlength=GRID * GRID).reshape(GRID, GRID)


_EDGES = np.array([(low, high) for low in range(GRID) for high in range(low + 1, GRID + 1)])


def _sums(cells: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the summed-area table, (GRID + 1, GRID + 1)."""
    table = np.zeros((GRID + 1, GRID + 1), np.int64)
    table[1:, 1:] = cells.cumsum(0).cumsum(1)
    return table


def _largest_without(cells: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return top, left, bottom, right of the largest rectangle of cells that are not set, the first of equals; None below `HOLE`."""
    low, high = _EDGES.T
    by_rows = _sums(cells)[high] - _sums(cells)[low]
    count = by_rows[:, high] - by_rows[:, low]
    area = np.where(count == 0, (high - low)[:, None] * (high - low)[None, :], 0)
    best = int(area.argmax())
    rows, columns = divmod(best, len(_EDGES))
    if area.flat[best] < HOLE * GRID * GRID:
        return None
    return int(low[rows]), int(low[columns]), int(high[rows]), int(high[columns])


def _has_block(cells: NDArray[np.bool_]) -> bool:
    """Tell whether a square of cells is mostly set."""
    s = _sums(cells)
    full = s[BLOCK:, BLOCK:] - s[:-BLOCK, BLOCK:] - s[BLOCK:, :-BLOCK] + s[:-BLOCK, :-BLOCK]
    return bool((4 * full >= 3 * BLOCK * BLOCK).any())
