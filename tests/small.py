"""A small case that a test can run again and again, and the digests of everything that a run made of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image, ImageDraw


def make_folder(folder: Path, files: int = 2_300) -> Path:
    """Make a phone folder by code: stamps as pictures, notes, one ZIP in the middle; enough names for several shards."""
    import zipfile

    for number in range(files):
        sub = folder / f"d{number % 7}"
        sub.mkdir(parents=True, exist_ok=True)
        if number % 100 == 0:
            stamp = Image.new("RGB", (160, 120), (30 + number % 200, 90, 160))
            ImageDraw.Draw(stamp).polygon([(10, 110), (80, 10 + number % 60), (150, 110)], fill=(240, 240, number % 255))
            stamp.save(sub / f"stamp{number}.jpg", quality=85)
        else:
            (sub / f"note{number}.txt").write_text(f"note {number}\n")
    with zipfile.ZipFile(folder / "d3" / "parcel.zip", "w") as parcel:
        parcel.write(folder / "d0" / "stamp0.jpg", "inner/stamp.jpg")
        parcel.writestr("inner/letter.txt", "a letter\n")
    return folder


def made(case: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of facts, renditions, matches, stacks, links and the table of the review."""
    found = {}
    for root in ("facts", "renditions", "matches", "stacks", "alike", "table"):
        for path in sorted((case / root).rglob("*")):
            if path.is_file():
                found[str(path.relative_to(case))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
