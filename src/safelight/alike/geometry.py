"""Do two pictures share a part, and which? The verdict on two sets of features, and its evidence.

The kernel pairs corners and fits one affine map to those that agree (native/features_verify.h; plain twin: native/features_twin.py). Here
stands what counts: enough corners, apart from one another, spread over an area, and not many in between that ought to agree and do not.
Thresholds were chosen on data (bench/recall.py, docs/methods/alike.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safelight.alike.features import Features
from safelight.alike.frames import is_frame

INLIERS = 6
"""Corners that agree, at least 10 pixels of the plane apart from one another."""

AREA, AREA_OF_MANY = 0.02, 0.012
"""Share of each picture that they fill at least (12 times the root of the determinant of their covariance); the second from MANY on."""

SUPPORT = 0.25
"""Least share of the corners in the common part that agree: letters of two pages agree here and there, most do not."""

MANY = 16
COVERED, COVERED_BY_MANY = 0.4, 0.55
"""Least share of the cells of the common part (6 x 6) in which corners agree; the second from MANY inliers on."""

FEW, SUPPORT_OF_FEW, COVERED_BY_FEW = 10, 0.4, 0.5
"""Below ten inliers both shares must be larger: lines of text agree in six letters by chance."""

CONFINED, CONFINED_CELLS = 0.3, 0.5
"""A frame: of all corners that the map lays on one another less than this share agree, and in less than half of the cells of that whole
part. So do the head and keys of an app, a sticker, a caption on different pictures; a picture under a sticker agrees all around it."""

Box = tuple[float, float, float, float]
Map = tuple[float, float, float, float, float, float]


class Shared(NamedTuple):
    """What two pictures share. Areas are shares of the planes, boxes left, top, right, bottom and the map in pixels of the planes."""

    relation: str
    mirrored: bool
    inliers: int
    seen: int
    whole: int
    """Corners of the less detailed one in all that the map lays on one another; `seen` are those where corners agree."""
    whole_covered: float
    """Share of the cells of that whole part in which corners agree; `covered` is that of the part where they do."""
    covered: float
    area_a: float
    area_b: float
    box_a: Box
    box_b: Box
    map: Map
    agreeing: bytes
    """Numbers of the corners that agree, of a and of b in turn, as u16 LE."""


NOTHING = "nothing"
"""Relation of corners that agree on a map and are too few, too close or too lonely for a link. Never leaves the linking."""


def shared(a: Features, b: Features, mirrored: Sequence[bool] = (False, True)) -> Shared | None:
    """Return what two pictures share, as they are or with one mirrored; None where that is nothing. Either may be paired with the other."""
    found = agreement(a, b, mirrored)
    return None if found is None or found.relation == NOTHING else found


def agreement(a: Features, b: Features, mirrored: Sequence[bool] = (False, True)) -> Shared | None:
    """Return the same, and `NOTHING` with its corners where they agree and share too little; None where no corners agree."""
    best: Shared | None = None
    for flipped in mirrored:
        found = one_way(a, b, flipped)
        if found is None or found.relation == NOTHING:
            back = one_way(b, a, flipped)
            found = found if back is None or (found and back.relation == NOTHING) else _turned_round(back)
        if found is not None and (best is None or rank(found) > rank(best)):
            best = found
    return best


def rank(s: Shared) -> tuple[bool, int]:
    """Order what may be said of one pair: what is a link, then what has more corners."""
    return s.relation != NOTHING, s.inliers


def one_way(a: Features, b: Features, mirrored: bool) -> Shared | None:
    """Pair the corners of `a` with those of `b`."""
    from safelight.native import _features

    answer = _features.compare(a.points, a.descriptors, b.points, b.descriptors, mirrored)
    counts, affine, box_a, box_b, filled_a, filled_b, agreeing = answer
    _, inliers, seen_a, seen_b, cells, covered, *whole = counts
    if inliers < INLIERS:
        return None
    seen, share, area_a, area_b = min(seen_a, seen_b), covered / cells, filled_a / (a.width * a.height), filled_b / (b.width * b.height)
    if not _is_enough(inliers, seen, share, min(area_a, area_b)):
        relation = NOTHING
    else:
        framing = _is_confined(inliers, *whole) or (not mirrored and is_frame(a, b, affine, np.frombuffer(agreeing, "<u2").reshape(-1, 2)))
        relation = "frame" if framing else _relation(a, b, affine, box_a, box_b)
    return Shared(
        relation, mirrored, inliers, seen, min(whole[:2]), whole[3] / whole[2], share, area_a, area_b, box_a, box_b, affine, agreeing
    )


def _is_enough(inliers: int, seen: int, share: float, area: float) -> bool:
    if area < (AREA_OF_MANY if inliers >= MANY else AREA) or inliers < SUPPORT * seen:
        return False
    if share < (COVERED_BY_MANY if inliers >= MANY else COVERED):
        return False
    return inliers >= FEW or (share >= COVERED_BY_FEW and inliers >= SUPPORT_OF_FEW * seen)


def _is_confined(inliers: int, whole_a: int, whole_b: int, cells: int, covered: int) -> bool:
    """Say whether the agreement is confined to a small piece of what the map lays on one another."""
    return inliers < CONFINED * min(whole_a, whole_b) and covered < CONFINED_CELLS * cells


def _turned_round(s: Shared) -> Shared:
    """Return the same evidence with a and b exchanged."""
    m0, m1, m2, m3, m4, m5 = s.map
    d = m0 * m4 - m1 * m3
    inverse = (m4 / d, -m1 / d, (m1 * m5 - m4 * m2) / d, -m3 / d, m0 / d, (m3 * m2 - m0 * m5) / d)
    relation = {"a-in-b": "b-in-a", "b-in-a": "a-in-b"}.get(s.relation, s.relation)
    turned = numbers(s)[:, ::-1].tobytes()
    return Shared(
        relation, s.mirrored, s.inliers, s.seen, s.whole, s.whole_covered, s.covered, s.area_b, s.area_a, s.box_b, s.box_a, inverse, turned
    )


def numbers(s: Shared) -> NDArray[np.uint16]:
    """Return the numbers of the agreeing corners (n, 2): of a, of b."""
    return np.frombuffer(s.agreeing, "<u2").reshape(-1, 2)


WHOLE, WHOLE_BOX = 0.8, 0.25
"""A picture is in another with most of it: by the map so much of it lies there, and the agreeing corners stand on so much of it."""


def _relation(a: Features, b: Features, m: Map, box_a: Box, box_b: Box) -> str:
    corners = ((0.0, 0.0), (float(a.width), 0.0), (float(a.width), float(a.height)), (0.0, float(a.height)))
    laid = [(m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]) for x, y in corners]
    common = abs(_area(_clipped(laid, b.width, b.height)))
    of_a, of_b = common / max(1.0, abs(_area(laid))), common / (b.width * b.height)
    whole_a = of_a >= WHOLE and _box_area(box_a) >= WHOLE_BOX * a.width * a.height
    whole_b = of_b >= WHOLE and _box_area(box_b) >= WHOLE_BOX * b.width * b.height
    return "same" if whole_a and whole_b else "a-in-b" if whole_a else "b-in-a" if whole_b else "part"


def _box_area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


Points = list[tuple[float, float]]


def _area(points: Points) -> float:
    return sum(x * v - u * y for (x, y), (u, v) in zip(points, points[1:] + points[:1], strict=True)) / 2


def _clipped(points: Points, width: float, height: float) -> Points:
    """Cut a polygon to the rectangle of a picture (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        kept: Points = []
        for p, q in zip(points, points[1:] + points[:1], strict=True):
            inside_p, inside_q = sign * (p[axis] - limit) >= 0, sign * (q[axis] - limit) >= 0
            if inside_p:
                kept.append(p)
            if inside_p != inside_q:
                t = (limit - p[axis]) / (q[axis] - p[axis])
                kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        points = kept
    return points
