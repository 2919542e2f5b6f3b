"""The peers: bare hashlib, the unavoidable work of a photo, and Pillow with pdqhash, each a process that prints JSON.

Usage: python peers.py hashlib|unavoidable|scripted FOLDER
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

BLOCK = 1 << 20


def files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file())


def bare_hashlib(folder: Path) -> dict[str, float]:
    """Three digests of each file in one pass."""
    total = 0
    for path in files(folder):
        sums = hashlib.md5(), hashlib.sha1(), hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                for one in sums:
                    one.update(block)
                total += len(block)
        for one in sums:
            one.digest()
    return {"bytes": total}


def unavoidable(folder: Path) -> dict[str, float]:
    """CPU seconds of what no picture can do without: three digests, one decode with the PDQ kernel, three small JPEGs."""
    from PIL import Image

    from safelight.native import _jpeg

    Image.init()
    spent = {"digests": 0.0, "decode and PDQ": 0.0, "three small JPEGs": 0.0}
    for path in files(folder):
        data = path.read_bytes()
        began = time.process_time()
        for name in ("md5", "sha1", "sha256"):
            hashlib.new(name, data).digest()
        digested = time.process_time()
        answer = _jpeg.decode(data, 178_000_000, 600 << 20, 200, 192, True)
        decoded = time.process_time()
        small = Image.frombytes("RGB", (answer[7], answer[8]), answer[6])
        grey = small.convert("L")
        for picture in (grey, grey, small):
            picture.save(io.BytesIO(), "JPEG", quality=80, subsampling=2)
        for key, value in zip(spent, (digested - began, decoded - digested, time.process_time() - decoded), strict=True):
            spent[key] += value
    return spent


def scripted(folder: Path) -> dict[str, float]:
    """What a script does with the pictures that it can open: PDQ of each by Pillow and pdqhash."""
    import numpy as np
    import pdqhash
    from PIL import Image

    hashed = 0
    for path in files(folder):
        try:
            with Image.open(path) as picture:
                pdqhash.compute(np.asarray(picture.convert("RGB")))
        except Exception:  # noqa: S112  (whatever it cannot open, as such scripts do)
            continue
        hashed += 1
    return {"pictures": hashed}


if __name__ == "__main__":
    work = {"hashlib": bare_hashlib, "unavoidable": unavoidable, "scripted": scripted}[sys.argv[1]]
    print(json.dumps(work(Path(sys.argv[2]))))
