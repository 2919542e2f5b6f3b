"""Recall and false matches of each signal and of all together, over the edits of bench/recall_edits.py.

    python bench/recall.py [--pictures FOLDER …] [--count 48] [--peers SITE-PACKAGES]

Pictures: ../shared/data (photos, and one of each scene), wallpapers below /usr/share, and what the folders hold; those of PDQ quality
below 50 (nothing to see) are left out, as are near-duplicates. Per edit, the pictures and their edited copies are one gallery that goes
through index and geometry as in a case: every pair in it that does not belong together is an unrelated pair.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from recall_edits import EDITS, GOALS, framed, phone, text_page

from safelight.alike import common, features, geometry, index, panels
from safelight.extract.pictures import extract_picture
from safelight.extract.pictures.pdq import distance
from safelight.extract.pictures.second import second_look
from safelight.records import Picture, SecondLook

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SIDE = 1024
COMMON = ("sticker", "black box", "caption", "logo", "phone", "desktop")
"""Edits that put the same thing into every copy: two copies do share that part, and are counted apart (`overlay`)."""


class Seen(NamedTuple):
    """What both looks find in a picture."""

    first: Picture
    second: SecondLook
    features: features.Features | None


def look(data: bytes, kind: str = "image/jpeg") -> Seen:
    first, second = extract_picture(data, kind).picture, second_look(data, kind)
    assert first is not None
    assert second is not None
    own = features.Features(second.plane_width, second.plane_height, second.points, second.descriptors) if second.points else None
    return Seen(first, second, own)


def coded(image: Image.Image, quality: int = 90) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def pictures(folders: list[Path], count: int) -> Iterator[Image.Image]:
    """Yield different pictures with something to see, from all folders in turn, at most `SIDE` pixels."""
    lists = [sorted(p for p in f.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp") and p.is_file()) for f in folders]
    lists = [paths[:1] if folder.parent.name == "scenes" else paths for folder, paths in zip(folders, lists, strict=True)]
    known: list[bytes] = []
    for path in (p for row in itertools.zip_longest(*lists) for p in row if p is not None):
        try:
            image = Image.open(path).convert("RGB")
        except (OSError, ValueError):
            continue
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        seen = look(coded(image)).first if min(image.size) >= 200 else None
        if seen is None or seen.pdq is None or (seen.pdq_quality or 0) < 50:
            continue
        if any(distance(h, k) <= 60 for k in known for h in seen.pdq_transforms):
            continue
        known.append(seen.pdq)
        yield image
        if len(known) == count:
            return


def by_pdq(known: Seen, forms: list[list[bytes]]) -> bool:
    assert known.first.pdq is not None
    return any(distance(known.first.pdq, h) <= 31 for form in forms for h in form)


def signals(known: Seen, copy: Seen, linked: bool, same_bytes: bool) -> dict[str, bool]:
    """Say which signals find the picture in its copy."""
    forms = [f.hashes for f in (copy.first.white, copy.first.trimmed, copy.first.nearest) if f is not None]
    good = (copy.first.pdq_quality or 0) >= 50
    found = {
        "digest": same_bytes,
        "PDQ": good and by_pdq(known, [copy.first.pdq_transforms]),
        "forms": by_pdq(known, [f for f in forms if f]),
        "panel": by_pdq(known, [p.hashes for p in copy.second.panels if p.quality >= 50]),
        "features": linked,
    }
    return {**found, "union": any(found.values())}


def links(seen: list[Seen]) -> tuple[dict[tuple[int, int], geometry.Shared], int]:
    """Return the links of a gallery by index and geometry, frames left out, and the number of candidates."""
    have = [n for n, s in enumerate(seen) if s.features is not None]

    def own(number: int) -> features.Features:
        one = seen[number].features
        assert one is not None
        return one

    points = [features.points_of(s.features) for s in seen if s.features is not None]
    bits = [np.frombuffer(s.features.descriptors, np.uint8).reshape(-1, 32) for s in seen if s.features is not None]
    if not have:
        return {}, 0
    who = np.repeat(np.array(have, np.uint32), [len(p) for p in points])
    first, second, flipped = index.candidates(index.Corners(who, np.concatenate([p["turn"] for p in points]), np.concatenate(bits)))
    settled = common.judged(list(common.verified(zip(first.tolist(), second.tolist(), flipped.tolist(), strict=True), own)), own)
    return {(a, b): shared for a, b, shared in settled if shared.relation != "frame"}, len(first)


class Peer:
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


def run(images: list[Image.Image], peer: Peer | None) -> None:
    data = [coded(im) for im in images]
    known = [look(d) for d in data]
    orb = [peer.extract(im) for im in images] if peer else []
    count, shift = len(images), len(images) // 3
    names = ("digest", "PDQ", "forms", "panel", "features", "union")
    print(f"{'edit':32}" + "".join(f"{n:>9}" for n in names) + (f"{'ORB':>9}" if peer else "") + f"{'false':>9}{'overlay':>9}")
    total = {"pairs": 0, "false": 0, "candidates": 0, "orb false": 0, "orb pairs": 0}
    goals = []
    for name, edit in EDITS.items():
        copies = [coded(edit(im, images[(n + shift) % count]), 88) for n, im in enumerate(images)]
        seen = [look(d) for d in copies]
        found, candidates = links(known + seen)
        rows = [signals(known[n], seen[n], (n, count + n) in found, copies[n] == data[n]) for n in range(count)]
        related = {(n, m) for n in range(count) for m in range(count) if (n - m) % count in (0, shift, count - shift)}
        wrong = [p for p in found if (p[0] % count, p[1] % count) not in related]
        overlay = [p for p in wrong if p[0] >= count and name.startswith(COMMON)]  # the same sticker, caption, app in both
        wrong = [p for p in wrong if p not in overlay]
        total["pairs"] += 2 * count * (2 * count - 1) // 2 - 4 * 3 * count
        total["false"] += len(wrong)
        total["candidates"] += candidates
        line = "".join(f"{100 * sum(r[s] for r in rows) / count:8.0f}%" for s in names)
        if peer:
            own = [peer.extract(Image.open(io.BytesIO(d))) for d in copies]
            line += f"{100 * sum(peer.is_same(orb[n], own[n]) for n in range(count)) / count:8.0f}%"
            others = [(n, (n + k) % count) for n in range(count) for k in (5, 11) if (n, (n + k) % count) not in related]
            total["orb pairs"] += len(others)
            total["orb false"] += sum(peer.is_same(orb[n], own[m]) for n, m in others)
        if name in GOALS:
            goals.append(sum(r["union"] for r in rows) / count)
        print(f"{name:32}{line}{len(wrong):9}{len(overlay):9}", flush=True)
    print(f"\n{len(GOALS)} edits of the goal: union {100 * min(goals):.0f} % at least, {100 * sum(goals) / len(goals):.1f} % on average")
    print(f"unrelated pairs {total['pairs']:,}, linked {total['false']}: {1e5 * total['false'] / total['pairs']:.2f} in 100,000")
    print(f"candidates a picture {total['candidates'] / (2 * count * len(EDITS)):.1f}")
    if peer:
        print(f"OpenCV {peer.version} ORB: unrelated pairs {total['orb pairs']:,}, linked {total['orb false']}")
        looked = count * (len(EDITS) + 1)
        print(
            f"  {1e3 * peer.ms[0] / looked:.1f} ms to extract, {1e3 * peer.ms[1] / (total['orb pairs'] + count * len(EDITS)):.2f} ms a pair"
        )


def hard_negatives(images: list[Image.Image]) -> None:
    """Pictures that share letters, an app or a frame and nothing else; and different photos of one scene."""
    sets = {
        "text pages, 15 and 22 px": [text_page(n, 15 + 7 * (n % 2)) for n in range(60)],
        "chat screens of one app": [phone(None, n % 2 == 1, n) for n in range(60)],
        "one web page, other pictures": [framed(im) for im in images[:40]],
        "one chat app, other pictures": [phone(im, False, n) for n, im in enumerate(images[:40])],
    }
    print("\npictures that share no more than      pairs   linked   frames")
    for name, made in sets.items():
        seen = [look(coded(im)) for im in made]
        found = [geometry.shared(a.features, b.features) for a, b in itertools.combinations(seen, 2) if a.features and b.features]
        kept = [f for f in found if f is not None]
        frames = sum(f.relation == "frame" for f in kept)
        print(f"{name:34}{len(made) * (len(made) - 1) // 2:9}{len(kept) - frames:9}{frames:9}")
    scenes, pairs, linked, near = SHARED / "scenes", 0, 0, 0
    for folder in sorted(p for p in scenes.iterdir() if p.is_dir()) if scenes.is_dir() else ():
        seen = [look(p.read_bytes()) for p in sorted(folder.glob("*.jpg"))]
        for a, b in itertools.combinations(seen, 2):
            pairs += 1
            near += by_pdq(a, [b.first.pdq_transforms])
            linked += bool(a.features and b.features and geometry.shared(a.features, b.features))
    print(f"different photos of one scene: {pairs} pairs, {linked} linked by features (a part in common, as it is), {near} by PDQ")


def cost(images: list[Image.Image]) -> None:
    data = [coded(im) for im in images]
    start = time.process_time()
    looked = [second_look(d, "image/jpeg") for d in data]
    whole = 1e3 * (time.process_time() - start) / len(data)
    planes = [features.reduced(im.convert("L")) for im in images]
    start = time.process_time()
    for plane in planes:
        features.find(np.asarray(plane, np.uint8))
    kernel = 1e3 * (time.process_time() - start) / len(data)
    start = time.process_time()
    for im in images:
        list(panels.find(im.convert("L")))
    cut = 1e3 * (time.process_time() - start) / len(data)
    size = sum(len(s.points) + len(s.descriptors) for s in looked if s is not None) / len(data)
    print(
        f"\nCPU a picture of {SIDE} px: second look {whole:.1f} ms (features {kernel:.1f}, panels {cut:.1f}, the rest decode); {size:,.0f} bytes"
    )
    seen = [look(d) for d in data]
    start = time.process_time()
    _, candidates = links(seen)
    print(f"index and geometry {1e3 * (time.process_time() - start) / len(data):.1f} ms a picture, {candidates / len(data):.1f} candidates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--peers", type=Path, help="a site-packages that holds opencv-python-headless")
    arguments = parser.parse_args()
    if arguments.peers:
        sys.path.append(str(arguments.peers))
    try:
        peer = Peer()
    except ImportError:
        peer = None
        print("opencv-python-headless is not installed: no ORB beside")
    scenes = sorted(p for p in (SHARED / "scenes").glob("*") if p.is_dir())
    folders = [*arguments.pictures, SHARED / "photos", *scenes, Path("/usr/share/wallpapers"), Path("/usr/share/backgrounds")]
    images = list(pictures([f for f in folders if f.is_dir()], arguments.count))
    print(f"{len(images)} pictures, {len(EDITS)} edits")
    cost(images)
    print()
    run(images, peer)
    hard_negatives(images)


if __name__ == "__main__":
    main()
