"""Pictures of bench/recall.py: the files of some folders in turn, and a gallery in which no picture belongs to another."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
VARIANT = re.compile(r"[_-](\d+x\d+|left|right|gray|rgb)$", re.IGNORECASE)
PART, MOST_PARTS = 600, 12
"""Large pictures are cut into parts of about this many pixels a side, at most so many of one."""


def files(folders: list[Path]) -> Iterator[Path]:
    """Yield the files of all folders in turn: one of each scene, one of each wallpaper (they come in several sizes and colours)."""
    lists = []
    for folder in folders:
        chosen: dict[Path, Path] = {}
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file()):
            wallpaper = next((p for p in path.parents if p.name == "contents"), None)
            variant = path.with_name(VARIANT.sub("", path.stem))
            key = folder if folder.parent.name == "scenes" else wallpaper or variant
            if key not in chosen or (key != folder and path.stat().st_size > chosen[key].stat().st_size):
                chosen[key] = path
        lists.append(list(chosen.values()))
    for row in itertools.zip_longest(*lists):
        yield from (path for path in row if path is not None)


def opened(path: Path) -> Image.Image | None:
    """Return a picture as RGB, on white where it is transparent; None where it cannot be read."""
    try:
        with Image.open(path) as file:
            transparent = "A" in file.getbands() or "transparency" in file.info
            image = file.convert("RGBA" if transparent else "RGB")
    except (OSError, ValueError):
        return None
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB") if transparent else image


def gallery(folders: list[Path], count: int, side: int, is_new: Callable[[Image.Image], bool]) -> Iterator[tuple[Path, Image.Image]]:
    """Yield (file, picture) with sides of up to `side` pixels; parts of one file do not overlap. Files that are not new are left out."""
    given = 0
    for path in files(folders):
        image = opened(path)
        if image is None or not is_new(image):
            continue
        across, down = max(1, image.width // PART), max(1, image.height // PART)
        for n in range(min(across * down, MOST_PARTS, count - given)):
            x, y = n % across, n // across
            w, h = image.width, image.height
            part = image.crop((w * x // across, h * y // down, w * (x + 1) // across, h * (y + 1) // down))
            part.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
            given += 1
            yield path, part
        if given == count:
            return
