"""Local features once more, in NumPy and plain loops: the twin of `features_kernel.h` and `features_verify.h`, equal by test, slow on purpose.

It shares no shortcut with the kernel but the definitions: corners by the segment test over explicit arcs, Harris over explicit windows,
the descriptor from turned points. The pattern and the directions are read from the generated header, so there is one of each.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS, RADIUS, BORDER, GRID, TURNS, STEPS = 8, 15, 17, 8, 64, (10, 5)
NEAREST, ROUNDS, PROPOSALS, FEWEST, CELLS, APART, SHARPER = 80, 6, 4, 5, 6, 10.0, 0.9
SCALE = [1.25**n for n in range(LEVELS)]
CIRCLE = (
    (0, -3),
    (1, -3),
    (2, -2),
    (3, -1),
    (3, 0),
    (3, 1),
    (2, 2),
    (1, 3),
    (0, 3),
    (-1, 3),
    (-2, 2),
    (-3, 1),
    (-3, 0),
    (-3, -1),
    (-2, -2),
    (-1, -3),
)
GAUSS = (18, 33, 49, 56, 49, 33, 18)

Plane = NDArray[np.uint8]


def _numbers(name: str, width: int) -> NDArray[np.int64]:
    text = (Path(__file__).parent / "features_pattern.h").read_text()
    body = re.search(rf"{name}\[\d+\]\[\d+\] = \{{(.*?)\}};", text, re.DOTALL)
    assert body is not None
    return np.array([int(n) for n in re.findall(r"-?\d+", body[1])], np.int64).reshape(-1, width)


PATTERN, DIRECTION = _numbers("PATTERN", 4), _numbers("DIRECTION", 2)


def shrink(plane: Plane) -> Plane:
    """Return the next level: 4/5 of each side, bilinear in 1/256."""
    height, width = plane.shape

    def axis(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        p = np.maximum(0, (2 * np.arange(m) + 1) * n * 128 // m - 128)
        at, part = p >> 8, p & 255
        part[at >= n - 1] = 0
        return np.minimum(at, n - 1), part

    (xs, gx), (ys, gy) = axis(width, width * 4 // 5), axis(height, height * 4 // 5)
    p = plane.astype(np.int64)
    right, below = np.minimum(xs + 1, width - 1), np.minimum(ys + 1, height - 1)
    upper = p[ys][:, xs] * (256 - gx) + p[ys][:, right] * gx
    lower = p[below][:, xs] * (256 - gx) + p[below][:, right] * gx
    out: Plane = ((upper * (256 - gy)[:, None] + lower * gy[:, None] + 32768) >> 16).astype(np.uint8)
    return out


def blur(plane: Plane) -> NDArray[np.int64]:
    """Return the plane blurred along rows and then columns; the outermost 3 pixels are wrong and not used."""
    p = plane.astype(np.int64)
    for axis in (1, 0):
        p = (np.sum([g * np.roll(p, 3 - k, axis) for k, g in enumerate(GAUSS)], axis=0) + 128) >> 8
    return p


def corners(plane: Plane, step: int) -> list[tuple[int, int, int]]:
    """Return (score, y, x) of the corners of a level that are the best within a pixel, in reading order."""
    p = plane.astype(np.int64)
    height, width = plane.shape
    around = np.stack([np.roll(p, (-dy, -dx), (0, 1)) for dx, dy in CIRCLE])
    found = np.zeros(p.shape, bool)
    for sign in (1, -1):
        beyond = sign * (around - p) > step
        found |= np.any([np.all([beyond[(k + i) % 16] for i in range(9)], axis=0) for k in range(16)], axis=0)
    gx = sum(f * (np.roll(p, (-dy, -1), (0, 1)) - np.roll(p, (-dy, 1), (0, 1))) for dy, f in ((-1, 1), (0, 2), (1, 1)))
    gy = sum(f * (np.roll(p, (-1, -dx), (0, 1)) - np.roll(p, (1, -dx), (0, 1))) for dx, f in ((-1, 1), (0, 2), (1, 1)))
    a, b, c = _windows(gx * gx), _windows(gx * gy), _windows(gy * gy)
    score = 25 * (a * c - b * b) - (a + c) ** 2
    inner = np.zeros(p.shape, bool)
    inner[BORDER : height - BORDER, BORDER : width - BORDER] = True
    score = np.where(found & inner & (score > 0), score, 0)
    best = score > 0
    for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
        best &= (score >= np.roll(score, (-dy, -dx), (0, 1))) & (score > np.roll(score, (dy, dx), (0, 1)))
    return [(int(score[y, x]), int(y), int(x)) for y, x in np.argwhere(best)]


def _windows(v: Any) -> NDArray[np.int64]:
    total: NDArray[np.int64] = np.sum([np.roll(v, (dy, dx), (0, 1)) for dy in range(-3, 4) for dx in range(-3, 4)], axis=0)
    return total


def choose(found: list[tuple[int, int, int]], width: int, height: int, most: int) -> list[tuple[int, int, int]]:
    """Return the best half, and then the best of each cell in turn."""
    ranked, seen = [], dict[int, int]()
    for n, (score, y, x) in enumerate(sorted(found, key=lambda f: (-f[0], f[1], f[2]))):
        cell = (y * GRID // height) * GRID + x * GRID // width
        ranked.append((-1 if n < most // 2 else seen.get(cell, 0), -score, y, x))
        seen[cell] = seen.get(cell, 0) + 1
    return [(-s, y, x) for _, s, y, x in sorted(ranked)[:most]]


def turn_of(plane: Plane, y: int, x: int) -> int:
    """Return the direction of the centroid of the disc round a corner."""
    mx = my = 0
    for dy in range(-RADIUS, RADIUS + 1):
        half = math.isqrt(RADIUS**2 - dy * dy)
        row = plane[y + dy, x - half : x + half + 1].astype(np.int64)
        mx += int((row * np.arange(-half, half + 1)).sum())
        my += dy * int(row.sum())
    return int(np.argmax(mx * DIRECTION[:, 0] + my * DIRECTION[:, 1]))


def turned(turn: int) -> NDArray[np.int64]:
    """Return the 256 comparisons of one direction: (256, 4) offsets, halves rounded away from zero."""
    c, s = DIRECTION[turn]
    x, y = PATTERN[:, 0::2], PATTERN[:, 1::2]
    out = np.empty_like(PATTERN)
    for k, v in ((0, x * c - y * s), (1, x * s + y * c)):
        out[:, k::2] = np.sign(v) * ((np.abs(v) + 8192) >> 14)
    return out


def extract(plane: Plane, most: int) -> tuple[bytes, bytes]:
    """Return points and descriptors as the kernel does."""
    height, width = plane.shape
    points, descriptors = bytearray(), bytearray()
    shares, share = 0, 16384
    for _ in range(LEVELS):
        shares, share = shares + share, share * 4 // 5
    share, budget, level, count = 16384, 0, plane, 0
    for n in range(LEVELS):
        h, w = level.shape
        if w <= 2 * BORDER or h <= 2 * BORDER:
            break
        budget += most * share // shares
        if n == LEVELS - 1 or budget > most - count:
            budget = most - count
        found = corners(level, STEPS[0])
        if len(found) < budget:
            found = corners(level, STEPS[1])
        chosen, smooth = choose(found, w, h, budget), blur(level)
        for _, y, x in chosen:
            turn = turn_of(level, y, x)
            px, py = (2 * x + 1) * width * 8 // w, (2 * y + 1) * height * 8 // h
            points += px.to_bytes(2, "little") + py.to_bytes(2, "little") + bytes((n, turn))
            t = turned(turn)
            bits = smooth[y + t[:, 1], x + t[:, 0]] < smooth[y + t[:, 3], x + t[:, 2]]
            descriptors += np.packbits(bits, bitorder="little").tobytes()
        count, budget, share = count + len(chosen), budget - len(chosen), share * 4 // 5
        level = shrink(level)
    return bytes(points), bytes(descriptors)


class Set(NamedTuple):
    """Features as columns; descriptors as 256 bits each."""

    x: list[float]
    y: list[float]
    level: list[int]
    turn: list[int]
    bits: NDArray[np.bool_]


def unpack(points: bytes, descriptors: bytes, mirrored: bool = False) -> Set:
    """Return features as columns; those of the mirrored picture, where asked."""
    raw = np.frombuffer(points, [("x", "<u2"), ("y", "<u2"), ("level", "u1"), ("turn", "u1")])
    bits = np.unpackbits(np.frombuffer(descriptors, np.uint8).reshape(-1, 32), axis=1, bitorder="little").astype(bool)
    x, turn = [int(v) / 16 for v in raw["x"]], [int(t) % TURNS for t in raw["turn"]]
    if mirrored:
        x, turn = [-v for v in x], [(32 - t) % TURNS for t in turn]
        bits = bits.reshape(-1, 128, 2)[:, :, ::-1].reshape(-1, 256)
    return Set(x, [int(v) / 16 for v in raw["y"]], [int(v) % LEVELS for v in raw["level"]], turn, bits)


def pair(a: Set, b: Set) -> list[tuple[int, int]]:
    """Return the pairs of nearest features, in the order of the kernel."""
    used: dict[int, int] = {}
    pairs: list[tuple[int, int, int]] = []
    for i in range(len(a.x)):
        row = (a.bits[i] != b.bits).sum(axis=1)
        best = int(np.argmin(row))
        if row[best] > NEAREST:
            continue
        reach = APART * SCALE[b.level[best]]
        others = [int(row[j]) for j in range(len(b.x)) if abs(b.x[j] - b.x[best]) > reach or abs(b.y[j] - b.y[best]) > reach]
        if not int(row[best]) < SHARPER * min([256, *others]):
            continue
        if best not in used:
            used[best] = len(pairs)
            pairs.append((i, best, int(row[best])))
        elif row[best] < pairs[used[best]][2]:
            pairs[used[best]] = (i, best, int(row[best]))
    return [(i, j) for i, j, _ in pairs]


Map = list[float]


def agree(a: Set, b: Set, pairs: list[tuple[int, int]], t: Map, wide: float, anchor: int) -> list[int]:
    """Return the numbers of the pairs that a map agrees with."""
    scale = math.sqrt(abs(t[0] * t[4] - t[1] * t[3]))
    tight = min(1.0, max(0.35, scale))
    found = []
    for k, (i, j) in enumerate(pairs):
        dx = t[0] * a.x[i] + t[1] * a.y[i] + t[2] - b.x[j]
        dy = t[3] * a.x[i] + t[4] * a.y[i] + t[5] - b.y[j]
        reach = (4.0 + 1.5 * SCALE[b.level[j]]) * tight
        if wide > 0:
            ex, ey = b.x[j] - b.x[anchor], b.y[j] - b.y[anchor]
            reach += wide * math.sqrt(ex * ex + ey * ey)
        ratio = scale * SCALE[a.level[i]] / SCALE[b.level[j]]
        p, q = [int(v) for v in DIRECTION[a.turn[i]]], [int(v) for v in DIRECTION[b.turn[j]]]
        ux, uy = t[0] * p[0] + t[1] * p[1], t[3] * p[0] + t[4] * p[1]
        along, across = ux * q[0] + uy * q[1], ux * q[1] - uy * q[0]
        if dx * dx + dy * dy <= reach * reach and 0.625 < ratio < 1.6 and along > 0 and abs(across) < 0.6 * along:
            found.append(k)
    return found


def propose(a: Set, b: Set, i: int, j: int) -> Map:
    """Return the similarity that one pair proposes."""
    scale = SCALE[b.level[j]] / SCALE[a.level[i]]
    dc, ds = (int(v) for v in DIRECTION[(b.turn[j] - a.turn[i]) % TURNS])
    c, s, x, y = scale * dc / 16384.0, scale * ds / 16384.0, a.x[i], a.y[i]
    return [c, -s, b.x[j] - (c * x - s * y), s, c, b.y[j] - (s * x + c * y)]


def fit(a: Set, b: Set, chosen: list[tuple[int, int]], affine: bool) -> Map | None:
    """Return the least-squares map of some pairs, or None; sums run in the order of the pairs."""
    n, sums = len(chosen), [0.0] * 13
    for i, j in chosen:
        for k, v in enumerate((a.x[i], a.y[i], b.x[j], b.y[j])):
            sums[k] += v
    ax, ay, bx, by = (s / n for s in sums[:4])
    xx = xy = yy = ux = uy = vx = vy = 0.0
    for i, j in chosen:
        x, y, p, q = a.x[i] - ax, a.y[i] - ay, b.x[j] - bx, b.y[j] - by
        xx, xy, yy, ux, uy, vx, vy = xx + x * x, xy + x * y, yy + y * y, ux + p * x, uy + p * y, vx + q * x, vy + q * y
    if affine:
        d = xx * yy - xy * xy
        if not d > 1e-3 * (xx + yy) * (xx + yy):
            return None
        t = [(ux * yy - uy * xy) / d, (uy * xx - ux * xy) / d, 0.0, (vx * yy - vy * xy) / d, (vy * xx - vx * xy) / d, 0.0]
    else:
        d = xx + yy
        if not d > 1.0:
            return None
        c, s = (ux + vy) / d, (vx - uy) / d
        t = [c, -s, 0.0, s, c, 0.0]
    t[2], t[5] = bx - t[0] * ax - t[1] * ay, by - t[3] * ax - t[4] * ay
    return t


def is_plain(t: Map) -> bool:
    d, total = t[0] * t[4] - t[1] * t[3], t[0] * t[0] + t[1] * t[1] + t[3] * t[3] + t[4] * t[4]
    return 1 / 64 < d < 64.0 and total < 2.5 * d


def settle(a: Set, b: Set, pairs: list[tuple[int, int]], k: int) -> tuple[list[int], Map]:
    """Fit the proposal of pair k round by round; return the agreeing pairs (none where it leads nowhere) and the map."""
    anchor = pairs[k][1]
    t = propose(a, b, *pairs[k])
    found = agree(a, b, pairs, t, 0.2, anchor)
    for n in range(ROUNDS):
        fitted = fit(a, b, [pairs[m] for m in found], n >= 2) if len(found) >= FEWEST else None
        if fitted is None or not is_plain(fitted):
            return [], t
        t = fitted
        found = agree(a, b, pairs, t, (0.08, 0.03, 0.0)[min(n, 2)], anchor)
    return found, t


def distinct(places: list[tuple[float, float]]) -> int:
    """Count the places that stand apart from those counted before."""
    kept: list[tuple[float, float]] = []
    for x, y in places:
        if not any(abs(x - u) < APART and abs(y - v) < APART for u, v in kept):
            kept.append((x, y))
    return len(kept)


def spread(places: list[tuple[float, float]]) -> float:
    """Return 12 times the root of the determinant of the covariance."""
    n, mx, my, xx, xy, yy = len(places), 0.0, 0.0, 0.0, 0.0, 0.0
    for x, y in places:
        mx, my = mx + x, my + y
    mx, my = mx / n, my / n
    for x, y in places:
        xx, xy, yy = xx + (x - mx) * (x - mx), xy + (x - mx) * (y - my), yy + (y - my) * (y - my)
    d = xx * yy - xy * xy
    return 12.0 * math.sqrt(d) / n if d > 0 else 0.0


def compare(points_a: bytes, descriptors_a: bytes, points_b: bytes, descriptors_b: bytes, mirrored: bool) -> tuple[Any, ...]:
    """Return what the kernel returns."""
    a, b = unpack(points_a, descriptors_a, mirrored), unpack(points_b, descriptors_b)
    nothing = ((0.0,) * 4, (0.0,) * 4, 0.0, 0.0, b"")
    if not a.x or not b.x:
        return ((0,) * 10, (0.0,) * 6, *nothing)
    pairs = pair(a, b)
    votes = [len(agree(a, b, pairs, propose(a, b, i, j), 0.2, j)) for i, j in pairs]
    order = sorted(range(len(pairs)), key=lambda k: (-votes[k], k))[:PROPOSALS]
    found, t = list[int](), [0.0] * 6
    for k in order:
        if votes[k]:
            again, fitted = settle(a, b, pairs, k)
            if len(again) > len(found):
                found, t = again, fitted
    if len(found) < FEWEST:
        return ((len(pairs), *(0,) * 9), tuple(t) if found else (0.0,) * 6, *nothing)
    of_a = [(a.x[pairs[k][0]], a.y[pairs[k][0]]) for k in found]
    of_b = [(b.x[pairs[k][1]], b.y[pairs[k][1]]) for k in found]
    box_a, box_b = _box(of_a), _box(of_b)
    laid = [(t[0] * x + t[1] * y + t[2], t[3] * x + t[4] * y + t[5]) for x, y in zip(a.x, a.y, strict=True)]
    common = _common(laid, list(zip(b.x, b.y, strict=True)), box_b)
    counts = [min(distinct(of_a), distinct(of_b))]
    for box in (box_b, common):
        counts.append(distinct([(x, y) for x, y, p in zip(a.x, a.y, laid, strict=True) if _within(p, box)]))
        counts.append(distinct([p for p in zip(b.x, b.y, strict=True) if _within(p, box)]))
        both, own = _cells(laid, box) & _cells(list(zip(b.x, b.y, strict=True)), box), _cells(of_b, box)
        counts += [len(both | own), len(own)]
    if mirrored:
        box_a = (-box_a[2], box_a[1], -box_a[0], box_a[3])
        t = [-t[0], *t[1:3], -t[3], *t[4:]]
    agreeing = b"".join(n.to_bytes(2, "little") for k in found for n in pairs[k])
    return ((len(pairs), *counts), tuple(t), box_a, box_b, spread(of_a), spread(of_b), agreeing)


Box = tuple[float, float, float, float]


def _box(places: list[tuple[float, float]]) -> Box:
    xs, ys = [p[0] for p in places], [p[1] for p in places]
    return min(xs), min(ys), max(xs), max(ys)


def _common(laid: list[tuple[float, float]], own: list[tuple[float, float]], agreeing: Box) -> Box:
    """Return the box that holds all that lies on one another, rounded as the kernel does, and what agrees."""
    one, two = _box(laid), _box(own)
    left, top = (float(np.float32(max(one[k], two[k]))) for k in (0, 1))
    right, bottom = (float(np.float32(min(one[k], two[k]))) for k in (2, 3))
    return min(left, agreeing[0]), min(top, agreeing[1]), max(right, agreeing[2]), max(bottom, agreeing[3])


def _within(p: tuple[float, float], box: Box) -> bool:
    return box[0] <= p[0] <= box[2] and box[1] <= p[1] <= box[3]


def _cells(places: list[tuple[float, float]], box: Box) -> set[tuple[int, int]]:
    width, height = box[2] - box[0] + 1.0, box[3] - box[1] + 1.0
    inside = [(x - box[0], y - box[1]) for x, y in places]
    return {(int(y * CELLS / height), int(x * CELLS / width)) for x, y in inside if 0 <= x < width and 0 <= y < height}
