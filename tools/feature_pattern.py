"""Write src/safelight/native/features_pattern.h: the comparisons of the descriptor and the directions of a turn.

128 pairs of points in a disc of radius 13 are drawn by a fixed rule (two coordinates of a normal distribution of sigma 31/5, as in
Calonder et al. 2010, variant G II); each is followed by its mirror image at the axis of orientation.
"""

from __future__ import annotations

import math
from pathlib import Path

HEAD = """/* Made by tools/feature_pattern.py; do not edit. */
#ifndef SAFELIGHT_FEATURES_PATTERN_H
#define SAFELIGHT_FEATURES_PATTERN_H

#include <stdint.h>

"""
RADIUS = 13
Test = tuple[int, int, int, int]


class Draw:
    """A generator that is the same everywhere: 64-bit LCG (Knuth's MMIX), upper bits."""

    def __init__(self, state: int) -> None:
        self.state = state

    def uniform(self) -> float:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53

    def normal(self) -> float:
        return math.sqrt(-2 * math.log(1 - self.uniform())) * math.cos(2 * math.pi * self.uniform())


def drawn(count: int) -> list[Test]:
    """Return different comparisons; none is its own mirror image."""
    draw, found, seen = Draw(1), list[Test](), set[frozenset[tuple[int, int]]]()
    while len(found) < count:
        x, y, u, v = (round(draw.normal() * 31 / 5) for _ in range(4))
        apart = (x - u) ** 2 + (y - v) ** 2
        if x * x + y * y > RADIUS**2 or u * u + v * v > RADIUS**2 or apart < 16 or (y == 0 and v == 0):
            continue
        keys = {frozenset(((x, y), (u, v))), frozenset(((x, -y), (u, -v)))}
        if len(keys) == 2 and not keys & seen:
            seen |= keys
            found.append((x, y, u, v))
    return found


def main() -> None:
    pairs = drawn(128)
    tests = [t for x, y, u, v in pairs for t in ((x, y, u, v), (x, -y, u, -v))]
    lines = [", ".join(f"{{{t[0]}, {t[1]}, {t[2]}, {t[3]}}}" for t in tests[i : i + 6]) for i in range(0, 256, 6)]
    turns = [(round(16384 * math.cos(2 * math.pi * t / 64)), round(16384 * math.sin(2 * math.pi * t / 64))) for t in range(64)]
    angles = [", ".join(f"{{{t[0]}, {t[1]}}}" for t in turns[i : i + 8]) for i in range(0, 64, 8)]
    text = HEAD + "/* x and y of two points; bit i is set where the first is darker. 2n + 1 is the mirror image of 2n. */\n"
    text += "static const int8_t PATTERN[256][4] = {\n    " + ",\n    ".join(lines) + "};\n\n"
    text += "/* cosine and sine of n / 64 of a turn, times 16384 */\nstatic const int16_t DIRECTION[64][2] = {\n    "
    text += ",\n    ".join(angles) + "};\n\n#endif\n"
    Path(__file__).parents[1].joinpath("src/safelight/native/features_pattern.h").write_text(text)


if __name__ == "__main__":
    main()
