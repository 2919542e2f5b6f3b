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
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import recall_peers
import recall_unrelated
from PIL import Image
from recall_edits import EDITS, GOALS, framed, phone, text_page

from safelight.alike import common, features, geometry, index, panels
from safelight.extract.pictures import extract_picture
from safelight.extract.pictures.pdq import distance
from safelight.extract.pictures.second import second_look
from safelight.records import Picture, SecondLook

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SIDE = 1024
MANY_CORNERS = 100
"""Pictures with fewer are flat drawings of some edges: a crop of one holds nothing that is its own."""
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


class Different:
    """Says of each picture whether it has something to see and differs from all before."""

    def __init__(self) -> None:
        self.known: list[bytes] = []

    def is_new(self, image: Image.Image) -> bool:
        if min(image.size) < 200:
            return False
        small = image.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        seen = extract_picture(coded(small), "image/jpeg").picture
        if seen is None or seen.pdq is None or (seen.pdq_quality or 0) < 50:
            return False
        if any(distance(h, k) <= 60 for k in self.known for h in seen.pdq_transforms):
            return False
        self.known.append(seen.pdq)
        return True


def pictures(folders: list[Path], count: int) -> Iterator[Image.Image]:
    """Yield different pictures with something to see, from all folders in turn, at most `SIDE` pixels."""
    different = Different()
    for path in recall_unrelated.files(folders):
        image = recall_unrelated.opened(path)
        if image is None or not different.is_new(image):
            continue
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        yield image
        if len(different.known) == count:
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


class Copy(NamedTuple):
    """An edited copy, as all look at it."""

    seen: Seen
    same_bytes: bool
    orb: Any
    hashes: dict[str, bytes]


class Looker:
    """Looks at pictures and their edits, in this process or in several (`_looker` is its copy there)."""

    def __init__(self, images: list[Image.Image], peers: bool) -> None:
        self.images, self.data = images, [coded(im) for im in images]
        self.orb = recall_peers.Orb() if peers else None
        self.hashers = recall_peers.Hashers() if peers else None

    def copy(self, name: str, number: int) -> Copy:
        """Make one edit of one picture and look at it; without an edit, where the name is empty."""
        image, data = self.images[number], self.data[number]
        if name:
            data = coded(EDITS[name](image, self.images[(number + len(self.images) // 3) % len(self.images)]), 88)
            image = Image.open(io.BytesIO(data))
        orb = self.orb.extract(image) if self.orb else None
        return Copy(look(data), data == self.data[number], orb, self.hashers.hashes(data, image) if self.hashers else {})


_looker: Looker | None = None


def _copies(name: str) -> list[Copy]:
    assert _looker is not None
    return [_looker.copy(name, n) for n in range(len(_looker.images))]


def run(images: list[Image.Image], peers: bool, workers: int) -> None:
    """Print the table of edits."""
    global _looker
    _looker = Looker(images, peers)
    hashers = _looker.hashers.names if _looker.hashers else []
    names = ("digest", "PDQ", "forms", "panel", "features", "union")
    print(f"{'edit':30}" + "".join(f"{n:>9}" for n in (*names, *(("ORB", *hashers) if peers else ()), "false", "overlay")))
    known, table = _copies(""), Table(len(images), _looker)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for name, copies in zip(EDITS, pool.imap(_copies, EDITS), strict=True):
            print(table.line(name, names, known, copies), flush=True)
    table.close(known)


class Table:
    """Counts edit by edit."""

    def __init__(self, count: int, looker: Looker) -> None:
        self.count, self.shift, self.looker = count, count // 3, looker
        self.pairs = self.false = self.overlay = self.candidates = self.orb_pairs = self.orb_false = 0
        self.goals: dict[str, list[bool]] = {}
        self.wrong: dict[str, int] = {}
        self.hash_pairs = 0

    def related(self, a: int, b: int) -> bool:
        """The same picture, or one in the collage of the other."""
        return (a - b) % self.count in (0, self.shift, self.count - self.shift)

    def line(self, name: str, names: tuple[str, ...], known: list[Copy], copies: list[Copy]) -> str:
        """Count one edit and return its line."""
        count = self.count
        found, candidates = links([c.seen for c in known + copies])
        rows = [signals(known[n].seen, copies[n].seen, (n, count + n) in found, copies[n].same_bytes) for n in range(count)]
        wrong = [p for p in found if not self.related(p[0], p[1])]
        overlay = [p for p in wrong if p[0] >= count and name.startswith(COMMON)]  # the same sticker, caption, app in both
        self.pairs += 2 * count * (2 * count - 1) // 2 - 4 * 3 * count
        self.false, self.overlay, self.candidates = (
            self.false + len(wrong) - len(overlay),
            self.overlay + len(overlay),
            self.candidates + candidates,
        )
        if name in GOALS:
            self.goals[name] = [r["union"] for r in rows]
        cells = [f"{100 * sum(r[s] for r in rows) / count:8.0f}%" for s in names]
        if self.looker.orb:
            orb = self.looker.orb
            cells.append(f"{100 * sum(orb.is_same(known[n].orb, copies[n].orb) for n in range(count)) / count:8.0f}%")
            others = [(n, (n + k) % count) for n in range(count) for k in (5, 11) if not self.related(n, n + k)]
            self.orb_pairs += len(others)
            self.orb_false += sum(orb.is_same(known[n].orb, copies[m].orb) for n, m in others)
        apart = [(n, m) for n in range(count) for m in range(count) if not self.related(n, m)]
        self.hash_pairs += len(apart)
        for peer in self.looker.hashers.names if self.looker.hashers else ():
            near = recall_peers.near
            cells.append(
                f"{100 * sum(near(k.hashes[peer], c.hashes[peer], peer) for k, c in zip(known, copies, strict=True)) / count:8.0f}%"
            )
            hits = sum(near(known[n].hashes[peer], copies[m].hashes[peer], peer) for n, m in apart)
            self.wrong[peer] = self.wrong.get(peer, 0) + hits
        return f"{name:30}{''.join(cells)}{len(wrong) - len(overlay):9}{len(overlay):9}"

    def close(self, known: list[Copy]) -> None:
        """Print the sums."""
        full = [n for n, k in enumerate(known) if k.seen.features is not None and k.seen.features.number >= MANY_CORNERS]
        all_, some = ([sum(rows[n] for n in chosen) / len(chosen) for rows in self.goals.values()] for chosen in (range(self.count), full))
        print(f"\n{len(GOALS)} edits of the goal, union on average (at least):")
        print(f"  all {self.count} pictures {100 * sum(all_) / len(all_):.1f} % ({100 * min(all_):.0f} %)")
        print(f"  the {len(full)} with {MANY_CORNERS} corners or more {100 * sum(some) / len(some):.1f} % ({100 * min(some):.0f} %)")
        rate = 1e5 * (self.false + self.overlay) / self.pairs
        print(
            f"unrelated pairs {self.pairs:,}, linked {self.false}, by a common overlay {self.overlay} more: {rate:.2f} in 100,000 together"
        )
        print(f"candidates a picture {self.candidates / (2 * self.count * len(EDITS)):.1f}")
        for peer, wrong in self.wrong.items():
            print(f"{peer}: unrelated pairs {self.hash_pairs:,}, taken for one {wrong}")
        if self.looker.orb:
            print(f"OpenCV {self.looker.orb.version} ORB: unrelated pairs {self.orb_pairs:,}, linked {self.orb_false}")


def hard_negatives(images: list[Image.Image]) -> None:
    """Pictures that share letters, an app or a frame and nothing else; and different photos of one scene."""
    sets = {
        "text pages, 15 and 22 px": [text_page(n, 15 + 7 * (n % 2)) for n in range(60)],
        "chat screens of one app": [phone(None, n % 2 == 1, n) for n in range(60)],
        "one web page, other pictures": [framed(im) for im in images[:40]],
        "one chat app, other pictures": [phone(im, False, n) for n, im in enumerate(images[:40])],
    }
    print("\npictures that share no more than                pairs   linked")
    for name, made in sets.items():
        for count in (5, len(made)):  # few of a kind, and as many as there are
            found, _ = links([look(coded(im)) for im in made[:count]])
            print(f"{name + f', {count} of them':42}{count * (count - 1) // 2:9}{len(found):9}")
    scenes, pairs, linked, near = SHARED / "scenes", 0, 0, 0
    for folder in sorted(p for p in scenes.iterdir() if p.is_dir()) if scenes.is_dir() else ():
        seen = [look(p.read_bytes()) for p in sorted(folder.glob("*.jpg"))]
        for a, b in itertools.combinations(seen, 2):
            pairs += 1
            near += by_pdq(a, [b.first.pdq_transforms])
            linked += bool(a.features and b.features and geometry.shared(a.features, b.features))
    print(f"different photos of one scene: {pairs} pairs, {linked} linked by features (a part in common, as it is), {near} by PDQ")


def _seen(image: Image.Image) -> tuple[Seen, dict[str, bytes]]:
    data = coded(image)
    return look(data), _hashers.hashes(data, image) if _hashers else {}


_hashers: recall_peers.Hashers | None = None


def unrelated(folders: list[Path], count: int, peers: bool, workers: int) -> None:
    """Print what each takes for related in one gallery of pictures of which none belongs to another."""
    global _hashers
    _hashers = recall_peers.Hashers() if peers else None
    made = list(recall_unrelated.gallery(folders, count, SIDE, Different().is_new))
    source = [path for path, _ in made]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        looked = pool.map(_seen, [image for _, image in made], chunksize=8)
    same = sum(a == b for a, b in itertools.combinations(source, 2))
    pairs = len(made) * (len(made) - 1) // 2 - same
    start = time.process_time()
    found, candidates = links([s for s, _ in looked])
    cpu = 1e3 * (time.process_time() - start) / len(made)
    wrong = [p for p in found if source[p[0]] != source[p[1]]]
    print(f"\n{len(made):,} pictures (photographs and drawings from {len(set(source))} files, large ones in parts that do not overlap)")
    print(f"unrelated pairs {pairs:,}; index and geometry {cpu:.1f} ms a picture, {candidates / len(made):.1f} candidates")
    print(f"{'features':10} linked {len(wrong):6}: {1e5 * len(wrong) / pairs:.2f} in 100,000")
    for a, b in wrong[:12]:
        print(f"    {source[a].name} and {source[b].name}: {found[a, b].relation}, {found[a, b].inliers} corners")
    hashes = {"PDQ": [s.first.pdq or b"" if (s.first.pdq_quality or 0) >= 50 else b"" for s, _ in looked]}
    hashes |= {name: [h[name] for _, h in looked] for name in (_hashers.names if _hashers else ())}
    for name, own in hashes.items():
        near = [p for p in recall_peers.near_pairs(own, "TX PDQ" if name == "PDQ" else name) if source[p[0]] != source[p[1]]]
        print(f"{name:10} taken for one {len(near):6}: {1e5 * len(near) / pairs:.2f} in 100,000")


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
    parser.add_argument("--unrelated", type=int, default=1050, help="pictures of the gallery in which none belongs to another")
    parser.add_argument("--only", choices=["edits", "unrelated", "hard"], help="only one of the tables")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers", type=Path, help="a folder with the packages of bench/recall_peers.txt")
    arguments = parser.parse_args()
    if arguments.peers:
        sys.path.append(str(arguments.peers))
    scenes = sorted(p for p in (SHARED / "scenes").glob("*") if p.is_dir())
    folders = [*arguments.pictures, SHARED / "photos", *scenes, Path("/usr/share/wallpapers"), Path("/usr/share/backgrounds")]
    folders = [f for f in folders if f.is_dir()]
    only, peers = arguments.only, arguments.peers is not None
    images = list(pictures(folders, arguments.count)) if only != "unrelated" else []
    if images:
        print(f"{len(images)} pictures, {len(EDITS)} edits")
    if only in (None, "edits"):
        cost(images)
        print()
        run(images, peers, arguments.workers)
    if only in (None, "hard"):
        hard_negatives(images)
    if only in (None, "unrelated"):
        unrelated(folders, arguments.unrelated, peers, arguments.workers)


if __name__ == "__main__":
    main()
