"""Corners that many unrelated pictures of a case have do not count: heads and keys of an app, stickers, captions, logos.

Which corners those are follows from the links themselves. Pictures that share mostly all of them (crops, turns, copies with a sticker) are
one group; a corner that agrees with pictures of `MANY_GROUPS` other groups is common. A link with common corners is judged again without
them: what stands without is a link of pictures, what falls shares no more than the common thing and becomes a `frame`. Groups only ever
shield corners (a picture in a thousand forms is one group), so that a frequent picture does not become common by being frequent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from safelight.alike import geometry
from safelight.alike.features import POINT, Features

MANY_GROUPS = 5
"""Other groups that a common corner agrees with at least; fewer may be copies whose kinship the geometry does not see."""

MOSTLY, MOST_CELLS = 0.6, 0.8
"""Two pictures are of one group where one is in the other with most of it, and in the common part this share of all corners agrees, in so
many of its cells: a page of the web agrees in most of its corners too, but not where its pictures are."""

Link = tuple[int, int, geometry.Shared]
"""Numbers of two pictures, the smaller first, and what they share; `geometry.NOTHING` too: a caption is common by where it is no link."""


def verified(candidates: Iterable[tuple[int, int, bool]], features: Callable[[int], Features]) -> Iterator[Link]:
    """Yield what geometry says of (a, b, mirrored) in ascending order; of a pair that agrees both as it is and mirrored the better."""
    best: Link | None = None
    for a, b, mirrored in candidates:
        found = geometry.agreement(features(a), features(b), (mirrored,))
        if found is None or (best is not None and best[:2] == (a, b) and geometry.rank(best[2]) >= geometry.rank(found)):
            continue
        if best is not None and best[:2] != (a, b):
            yield best
        best = (a, b, found)
    if best is not None:
        yield best


def judged(links: Sequence[Link], features: Callable[[int], Features]) -> Iterator[Link]:
    """Yield the links, in their order, with those that rest on common corners as frames."""
    common = common_corners(links)
    for a, b, s in links:
        if s.relation != geometry.NOTHING:
            yield a, b, _without(a, b, s, common, features)


def common_corners(links: Sequence[Link]) -> dict[int, NDArray[np.uint16]]:
    """Return the numbers of the common corners of each picture that has some."""
    group = _groups(links)
    own: dict[int, list[int]] = defaultdict(list)
    for n, (a, b, _) in enumerate(links):
        own[a].append(n)
        own[b].append(n)
    found = {}
    for picture, numbers in own.items():
        if len(numbers) < MANY_GROUPS:
            continue
        pairs = [_agreeing(links[n], picture, group) for n in numbers]
        corners, others = np.unique(np.concatenate(pairs), axis=0).T
        corner, groups = np.unique(corners[others != group.get(picture, picture)], return_counts=True)
        if (groups >= MANY_GROUPS).any():
            found[picture] = corner[groups >= MANY_GROUPS].astype(np.uint16)
    return found


def _agreeing(link: Link, picture: int, group: dict[int, int]) -> NDArray[np.int64]:
    """Return (corner of this picture, group of the other one) of a link."""
    a, b, s = link
    other = b if picture == a else a
    corners = geometry.numbers(s)[:, 0 if picture == a else 1].astype(np.int64)
    return np.stack([corners, np.full(len(corners), group.get(other, other))], axis=1)


def _groups(links: Sequence[Link]) -> dict[int, int]:
    """Return the group of each picture that is of one with another: the smallest number in it."""
    parent: dict[int, int] = {}

    def root(n: int) -> int:
        while parent.get(n, n) != n:
            parent[n] = parent.get(parent[n], parent[n])
            n = parent[n]
        return n

    for a, b, s in links:
        if s.relation in ("same", "a-in-b", "b-in-a") and s.inliers >= MOSTLY * s.whole and s.whole_covered >= MOST_CELLS:
            one, two = root(a), root(b)
            parent[max(one, two)] = min(one, two)
    return {n: root(n) for n in parent}


def _without(
    a: int, b: int, s: geometry.Shared, common: dict[int, NDArray[np.uint16]], features: Callable[[int], Features]
) -> geometry.Shared:
    """Judge a link again without its common corners."""
    corners = geometry.numbers(s)
    if s.relation == "frame" or not any(np.isin(corners[:, k], common[p]).any() for k, p in enumerate((a, b)) if p in common):
        return s
    one, two = (_kept(features(p), common[p]) if p in common else features(p) for p in (a, b))
    again = geometry.shared(one, two, (s.mirrored,))
    return s._replace(relation="frame") if again is None else again


def _kept(seen: Features, left_out: NDArray[np.uint16]) -> Features:
    """Return the features without some."""
    points = np.delete(np.frombuffer(seen.points, POINT), left_out)
    descriptors = np.delete(np.frombuffer(seen.descriptors, np.uint8).reshape(-1, 32), left_out, axis=0)
    return Features(seen.width, seen.height, points.tobytes(), descriptors.tobytes())
