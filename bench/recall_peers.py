"""Peers of bench/recall.py, in the same run: OpenCV's ORB, the hashers of imagededup, and PDQ as threatexchange computes it.

They come from a folder of packages of their own (`--peers`), never from the environment of Safelight:

    pip install --target PEERS --no-deps -r bench/recall_peers.txt

imagededup imports torch for its network, which none of its hashers needs: here the folders `methods` and `utils` are entered past their
`__init__`, so that its own `hashing.py` runs without torch. Its network is not compared.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import types
from typing import Any

import numpy as np
from PIL import Image

from safelight.alike import features

HASHERS = ("PHash", "DHash", "AHash", "WHash")
DISTANCES = {**dict.fromkeys(HASHERS, 10), "TX PDQ": 31}
"""Bits within which each takes two pictures for one: the default of imagededup (of 64), that of threatexchange (of 256)."""


class Hashers:
    """The hashes of one picture by each peer that is there."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.ms: dict[str, float] = {}
        self._own: dict[str, Any] = {}
        try:
            hashing = _hashing_of_imagededup()
            self._own = {name: getattr(hashing, name)(verbose=False) for name in HASHERS}
        except ImportError as e:
            print(f"imagededup is not installed whole ({e}): no hashers of it beside")
        self.names += self._own
        try:
            from threatexchange.signal_type.pdq.pdq_hasher import pdq_from_bytes

            self._pdq: Any = pdq_from_bytes
            self.names.append("TX PDQ")
        except ImportError as e:
            print(f"threatexchange is not installed whole ({e}): no PDQ of it beside")

    def hashes(self, data: bytes, image: Image.Image) -> dict[str, bytes]:
        """Return the hash by the name of its hasher; empty where the hasher itself calls it useless (PDQ below quality 50)."""
        found, plane = {}, np.asarray(image.convert("RGB"))
        for name in self.names:
            start = time.process_time()
            if name == "TX PDQ":
                text, quality = self._pdq(data)
                text = text if quality >= 50 else ""
            else:
                text = self._own[name].encode_image(image_array=plane)
            self.ms[name] = self.ms.get(name, 0.0) + 1e3 * (time.process_time() - start)
            found[name] = bytes.fromhex(text)
        return found


def _hashing_of_imagededup() -> types.ModuleType:
    spec = importlib.util.find_spec("imagededup")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("no package imagededup")
    for part in ("methods", "utils"):
        package = types.ModuleType(f"imagededup.{part}")
        package.__path__ = [f"{spec.submodule_search_locations[0]}/{part}"]
        sys.modules[package.__name__] = package
    return importlib.import_module("imagededup.methods.hashing")


def near(a: bytes, b: bytes, name: str) -> bool:
    """Say whether a hasher takes two hashes for one picture."""
    return bool(a) and bool(b) and (int.from_bytes(a) ^ int.from_bytes(b)).bit_count() <= DISTANCES[name]


def near_pairs(hashes: list[bytes], name: str) -> list[tuple[int, int]]:
    """Return all pairs (a < b) of a gallery that a hasher takes for one picture."""
    have = np.array([n for n, h in enumerate(hashes) if h], np.int64)
    if not len(have):
        return []
    rows = np.stack([np.frombuffer(hashes[n], np.uint8) for n in have])
    found = []
    for at, row in enumerate(rows):
        bits = np.bitwise_count(rows[at + 1 :] ^ row).sum(axis=1)
        found += [(int(have[at]), int(have[at + 1 + k])) for k in np.flatnonzero(bits <= DISTANCES[name])]
    return found


class Orb:
    """OpenCV's ORB with a ratio test and a similarity by RANSAC: at least 12 inliers (research/media-matching.md 5)."""

    def __init__(self) -> None:
        import cv2

        self.cv2, self.ms = cv2, [0.0, 0.0]
        cv2.setNumThreads(1)
        self.orb = cv2.ORB_create(400)
        self.version = cv2.__version__

    def extract(self, image: Image.Image) -> Any:
        plane = np.asarray(features.reduced(image.convert("L")))
        start = time.process_time()
        points, bits = self.orb.detectAndCompute(plane, None)
        self.ms[0] += time.process_time() - start
        return np.array([p.pt for p in points], np.float32), bits

    def is_same(self, a: Any, b: Any) -> bool:
        if a[1] is None or b[1] is None or len(a[1]) < 12 or len(b[1]) < 12:
            return False
        start = time.process_time()
        pairs = [m for m in self.cv2.BFMatcher(self.cv2.NORM_HAMMING).knnMatch(a[1], b[1], k=2) if len(m) == 2]
        good = [m for m, n in pairs if m.distance < 0.8 * n.distance]
        inliers = 0
        if len(good) >= 12:
            one, two = np.array([a[0][m.queryIdx] for m in good]), np.array([b[0][m.trainIdx] for m in good])
            self.cv2.setRNGSeed(1)
            _, mask = self.cv2.estimateAffinePartial2D(one, two, method=self.cv2.RANSAC, ransacReprojThreshold=4)
            inliers = 0 if mask is None else int(mask.sum())
        self.ms[1] += time.process_time() - start
        return inliers >= 12
