"""Give thousands of damaged JPEGs to the kernel: `make sanitize` runs this under the sanitizers. Ends with 0 when nothing broke.

    python tools/damage_jpegs.py [HOW-MANY]

The same number gives the same files. What is wrong with a file is for the tests to judge; here it only must not break the process.
"""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from drawings import boats, flower

from safelight.extract.pictures.jpeg import decode_jpeg, read_jpeg


def originals() -> list[bytes]:
    """Small JPEGs of every layout that the kernel takes, and of some that it must hand on."""
    found = []
    for number, picture in enumerate((boats(1, 210, 150), flower(2, 97, 133))):
        for mode in ("RGB", "L", "CMYK"):
            for options in ({"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"restart_marker_blocks": 3}):
                out = io.BytesIO()
                picture.convert(mode).save(out, "JPEG", quality=60 + 10 * number, **options)
                found.append(out.getvalue())
    return found


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the data cut, changed, doubled or with other numbers in a header."""
    changed = bytearray(data)
    way = chance.randrange(5)
    if way == 0:
        return bytes(changed[: chance.randrange(2, len(changed))])
    if way == 1:
        at = chance.randrange(2, len(changed))
        return bytes(changed[:at] + changed[chance.randrange(2, len(changed)) :])
    where = range(2, min(700, len(changed))) if way == 2 else range(2, len(changed))
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[chance.choice(where)] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    if way == 4:
        frame = max(changed.find(b"\xff\xc0"), changed.find(b"\xff\xc2"))
        for at in range(frame + 5, min(frame + 19, len(changed))):
            if chance.random() < 0.4:
                changed[at] = chance.choice((0, 1, 2, 3, 4, 0x11, 0x14, 0x22, 0x41, 0xFF))
    return bytes(changed)


def main() -> int:
    """Damage each original in turn."""
    count, chance = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000, random.Random(20160517)
    whole, decoded = originals(), 0
    for number in range(count):
        view = memoryview(damaged(whole[number % len(whole)], chance))
        layout = read_jpeg(view)
        if layout.width * layout.height > 4_000_000:  # large pictures cost time and say nothing new
            continue
        decoded += decode_jpeg(view, layout) is not None
    print(f"{count} damaged JPEGs, {decoded} decoded in part or whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
