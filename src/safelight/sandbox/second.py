"""What of a worker's second look is taken: answers are hostile, so each panel must be what it must be."""

from __future__ import annotations

from collections.abc import Iterator

from safelight.records import TRANSFORMS, Panel, SecondLook

MOST_PANELS = 16


def good_panels(second: SecondLook) -> Iterator[tuple[int, Panel]]:
    """Yield (number from 1, panel) of those that lie in the picture and have eight hashes."""
    for number, panel in enumerate(second.panels[:MOST_PANELS], 1):
        if _is_within(panel, second) and len(panel.hashes) == len(TRANSFORMS) and all(len(h) == 32 for h in panel.hashes):
            yield number, panel


def _is_within(panel: Panel, second: SecondLook) -> bool:
    left, top, width, height = panel.box
    inside = 0 <= left and 0 <= top and 0 < width and 0 < height and left + width <= second.width and top + height <= second.height
    return inside and 0 <= panel.quality <= 100
