"""The second look at a picture: local features and panels, from one decode at a moderate size. Optional, and never part of the first."""

from __future__ import annotations

from safelight.alike import features, panels
from safelight.extract.pictures.luma import read_luma
from safelight.records import Panel, SecondLook


def second_look(data: bytes | memoryview, media_type: str) -> SecondLook | None:
    """Return features and panels of a picture; None where it cannot be decoded. Never raises on evidence but `MemoryError`."""
    luma = read_luma(data, media_type)
    if luma is None:
        return None
    found = SecondLook(width=luma.width, height=luma.height)
    seen = features.of_image(luma.plane)
    if seen is not None:
        found.plane_width, found.plane_height = seen.width, seen.height
        found.points, found.descriptors = seen.points, seen.descriptors
    across, down = luma.width / luma.plane.width, luma.height / luma.plane.height
    for panel in panels.find(luma.plane):
        left, top, width, height = panel.box
        right, bottom = min(luma.width, round((left + width) * across)), min(luma.height, round((top + height) * down))
        box = round(left * across), round(top * down)
        found.panels.append(Panel((*box, right - box[0], bottom - box[1]), panel.hashes, panel.quality))
    return found


def warm_up() -> None:
    """Load what a second look needs, before the sandbox closes."""
    from PIL import Image

    from safelight.native import _features

    del _features
    for _ in panels.find(Image.new("L", (64, 64))):
        pass
