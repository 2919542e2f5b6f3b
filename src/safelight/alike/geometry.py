"""Do two pictures share a part, and which? The verdict on two sets of features, and its evidence.

The kernel pairs corners and fits one affine map to those that agree (native/features_verify.h; plain twin: native/features_twin.py). Here
stands what counts: enough corners, apart from one another, spread over an area, and not many in between that ought to agree and do not.
Thresholds were chosen on data (bench/recall.py, docs/methods/alike.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from safelight.alike.features import Features

INLIERS = 6
"""Corners that agree, at least 10 pixels of the plane apart from one another."""

AREA, AREA_OF_MANY = 0.02, 0.012
"""Share of each picture that they fill at least (12 times the root of the determinant of their covariance); the second from MANY on."""

SUPPORT = 0.25
"""Least share of the corners in the common part that agree: letters of two pages agree here and there, most do not."""

MANY = 16
COVERED, COVERED_BY_MANY = 0.4, 0.55
"""Least share of the cells of the common part (6 x 6) in which corners agree; the second from MANY inliers on."""

SAME_PLACE = 0.02
FRAME_COVERED, FRAME_BOX = 0.65, 0.45
"""Where nothing moved by more than 2 % of the long side, the pictures may have no more than a frame in common (head and foot of an app, a
keyboard): then corners must agree in more of the cells, and their box must take so much of both pictures."""

Box = tuple[float, float, float, float]
Map = tuple[float, float, float, float, float, float]


class Shared(NamedTuple):
    """What two pictures share. Areas are shares of the planes, boxes left, top, right, bottom and the map in pixels of the planes."""

    relation: str
    mirrored: bool
    inliers: int
    seen: int
    covered: float
    area_a: float
    area_b: float
    box_a: Box
    box_b: Box
    map: Map


def shared(a: Features, b: Features, mirrored: Sequence[bool] = (False, True)) -> Shared | None:
    """Return what two pictures share, as they are or with one mirrored; None where that is nothing. Either may be paired with the other."""
    best: Shared | None = None
    for flipped in mirrored:
        found = one_way(a, b, flipped)
        if found is None:
            back = one_way(b, a, flipped)
            found = None if back is None else _turned_round(back)
        if found is not None and (best is None or found.inliers > best.inliers):
            best = found
    return best


def one_way(a: Features, b: Features, mirrored: bool) -> Shared | None:
    """Pair the corners of `a` with those of `b`; None where they do not share enough."""
    from safelight.native import _features

    answer = _features.compare(a.points, a.descriptors, b.points, b.descriptors, mirrored)
    _, inliers, seen_a, seen_b, cells, covered, affine, box_a, box_b, filled_a, filled_b = answer
    seen, area_a, area_b = min(seen_a, seen_b), filled_a / (a.width * a.height), filled_b / (b.width * b.height)
    least = AREA_OF_MANY if inliers >= MANY else AREA
    if inliers < INLIERS or min(area_a, area_b) < least or inliers < SUPPORT * seen:
        return None
    share = covered / cells
    if share < (COVERED_BY_MANY if inliers >= MANY else COVERED):
        return None
    relation = _relation(a, b, affine, box_a, box_b)
    in_place = not mirrored and _moved(a, b, affine) < SAME_PLACE
    boxed = min(_box_area(box_a) / (a.width * a.height), _box_area(box_b) / (b.width * b.height))
    if in_place and (share < FRAME_COVERED or boxed < FRAME_BOX):
        relation = "frame"
    return Shared(relation, mirrored, inliers, seen, share, area_a, area_b, box_a, box_b, affine)


def _turned_round(s: Shared) -> Shared:
    """Return the same evidence with a and b exchanged."""
    m0, m1, m2, m3, m4, m5 = s.map
    d = m0 * m4 - m1 * m3
    inverse = (m4 / d, -m1 / d, (m1 * m5 - m4 * m2) / d, -m3 / d, m0 / d, (m3 * m2 - m0 * m5) / d)
    relation = {"a-in-b": "b-in-a", "b-in-a": "a-in-b"}.get(s.relation, s.relation)
    return Shared(relation, s.mirrored, s.inliers, s.seen, s.covered, s.area_b, s.area_a, s.box_b, s.box_a, inverse)


def _moved(a: Features, b: Features, m: Map) -> float:
    """Return by how much of the long side the corners of a picture move, if it is laid on the other as it is."""
    across, down = b.width / a.width, b.height / a.height
    if abs(across / down - 1) > SAME_PLACE:
        return 1.0
    corners = ((0, 0), (a.width, 0), (0, a.height), (a.width, a.height))
    moves = [max(abs(m[0] * x + m[1] * y + m[2] - x * across), abs(m[3] * x + m[4] * y + m[5] - y * down)) for x, y in corners]
    return max(moves) / max(b.width, b.height)


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
