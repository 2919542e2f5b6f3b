"""Measure the PDQ kernel and the whole picture extractor on photos made by code.

Prints the CPU milliseconds (median of 5, one thread) of the kernel at 12 Mpx, of a full JPEG extract (everything that
`extract_picture` does, with the three digests) against the sum of the parts that nobody can leave out, and against the packaged hasher
(Pillow + pdqhash). Run: python bench/pdq.py
"""

from __future__ import annotations

import functools
import hashlib
import io
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from PIL import Image

from safelight.extract.filetype import detect
from safelight.extract.pictures import extract_picture, warm_up
from safelight.extract.pictures.renditions import encode
from safelight.native import _pdq

SIZES = {"12 Mpx": (4032, 3024), "3 Mpx": (2048, 1536)}


def landscape(width: int, height: int, seed: int = 7) -> Image.Image:
    """Make a picture with slopes, edges, texture and sensor noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) * (4032 / width)
    base = np.stack([120 + 80 * np.sin(x / 700 + y / 900), 110 + 60 * np.cos(y / 500), 140 + 90 * np.sin(y / 1200 - x / 2500)], 2)
    coarse = rng.normal(0, 1, (height // 16, width // 16)).astype(np.float32)
    base += 25 * np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))[..., None]
    for _ in range(60):
        cx, cy, r = rng.integers(0, width), rng.integers(0, height), rng.integers(width // 100, width // 10)
        base[max(0, cy - r) : cy + r, max(0, cx - r) : cx + r] += rng.normal(0, 40, 3)
    base += rng.normal(0, 6, (height, width, 1))
    return Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))


def cpu_ms(work: Callable[[], object], runs: int = 5) -> float:
    """Return the median CPU milliseconds of a call, after one call to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def kernel(plane: np.ndarray, turns: bool) -> object:
    hasher = _pdq.Hasher(plane.shape[1], plane.shape[0], 1 if plane.ndim == 2 else 3, turns)
    hasher.rows(plane)
    return hasher.finish()


def digests(data: bytes) -> None:
    for name in ("md5", "sha1", "sha256"):
        hashlib.new(name, data, usedforsecurity=False).digest()


def luma(data: bytes) -> np.ndarray:
    """Decode the full-size luma plane with Pillow's JPEG reader."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L", image.size)
        return np.asarray(image)


def everything(data: bytes) -> None:
    digests(data)
    kind = detect(data[:65536], len(data), data[-65536:])
    assert extract_picture(data, kind.media_type).picture is not None


def packaged(data: bytes) -> None:
    import pdqhash

    digests(data)
    with Image.open(io.BytesIO(data)) as image:
        pdqhash.compute(np.asarray(image.convert("RGB")))


def encodes(picture: Image.Image) -> None:
    """The three small JPEGs, nothing else."""
    grey = picture.convert("L")
    for part in (picture, grey, grey):
        encode(part)


def main() -> None:
    warm_up()
    print(f"python {platform.python_version()}, numpy {np.__version__}, Pillow {version('Pillow')}, {platform.machine()}")
    for name, (width, height) in SIZES.items():
        picture = landscape(width, height)
        rgb = np.asarray(picture)
        plane = np.asarray(picture.convert("L"))
        print(f"\n{name}: kernel, CPU ms")
        for what, pixels, turns in (("luma", plane, False), ("luma", plane, True), ("RGB", rgb, False), ("RGB", rgb, True)):
            print(f"  {what:4} {'8 hashes' if turns else '1 hash':8} {cpu_ms(functools.partial(kernel, pixels, turns), 9):8.2f}")
        for label, options in (("4:2:0", {"subsampling": 2}), ("4:4:4", {"subsampling": 0}), ("progressive", {"progressive": True})):
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=90, **options)
            whole_file(f"{name} {label}", out.getvalue(), plane, picture.resize((192, 144)))


def whole_file(label: str, data: bytes, plane: np.ndarray, small: Image.Image) -> None:
    """Print what one file costs against its unavoidable parts and the packaged hasher."""
    parts = {
        "digests": cpu_ms(lambda: digests(data)),
        "luma decode": cpu_ms(lambda: luma(data)),
        "kernel": cpu_ms(lambda: kernel(plane, True)),
        "encodes": cpu_ms(lambda: encodes(small)),
    }
    total, ours, other = sum(parts.values()), cpu_ms(lambda: everything(data)), cpu_ms(lambda: packaged(data), 3)
    listed = ", ".join(f"{k} {v:.1f}" for k, v in parts.items())
    print(f"  {label:18} {len(data) / 1e6:.1f} MB: everything {ours:6.1f} = {ours / total:.2f} x unavoidable {total:6.1f} ({listed})")
    print(f"  {'':18} packaged hasher, no renditions: {other:6.1f} = {other / ours:.1f} x ours")


if __name__ == "__main__":
    main()
