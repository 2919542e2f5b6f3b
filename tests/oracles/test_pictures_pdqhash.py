"""The packaged PDQ hasher (a binding of the C++ reference) as oracle of our kernel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from safelight.extract.pictures.pdq import distance, hash_pixels

pdqhash = pytest.importorskip("pdqhash", reason="the packaged hasher is not installed")


def picture(rng: np.random.Generator) -> np.ndarray:
    """A random scene: blurred noise of some scale, edges, fine noise."""
    height, width = (int(v) for v in rng.integers(40, 1300, 2))
    coarse = rng.integers(0, 256, (int(rng.integers(4, 24)), int(rng.integers(4, 24)), 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    out = np.asarray(image).astype(np.int16)
    for _ in range(8):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        out[y : y + height // 5, x : x + width // 5] += int(rng.integers(-60, 60))
    out += rng.normal(0, 4, out.shape).astype(np.int16)
    return np.ascontiguousarray(np.clip(out, 0, 255).astype(np.uint8))


def test_hashes_of_random_scenes_are_those_of_the_packaged_hasher() -> None:
    """Of 250 scenes nearly all hashes are equal to the bit; none is more than 2 bits away; qualities agree within 1."""
    rng = np.random.default_rng(20)
    distances = []
    for _ in range(250):
        pixels = picture(rng)
        vector, quality = pdqhash.compute(pixels)
        expected = np.packbits(np.asarray(vector, np.uint8)).tobytes()
        ours = hash_pixels(pixels.data, pixels.shape[1], pixels.shape[0], 3, False)
        assert abs(quality - ours.quality) <= 1
        distances.append(distance(expected, ours.hashes[0]))
    assert max(distances) <= 2
    assert distances.count(0) >= 235
