"""Panels: rectangles inside screenshots and collages that hold a picture of their own.

(first form: none are found)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image


class Panel(NamedTuple):
    """Left, top, width and height in pixels of the plane, the eight PDQ hashes of what is inside, and their quality."""

    box: tuple[int, int, int, int]
    hashes: list[bytes]
    quality: int


def find(plane: Image.Image) -> Iterator[Panel]:
    """Yield the panels of a plane of mode L, the largest first."""
    return iter(())
