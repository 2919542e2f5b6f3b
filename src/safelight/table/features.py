"""What the order `first` looks at (docs/methods/order.md): nearness to known illegal contents, density of folders, first generation.

Pure rules over columns; worked out piece by piece when the table is made. No step looks at what a picture shows.
"""

from __future__ import annotations

import re

import numpy as np

from safelight.match.pdq import DISTANCE, QUALITY, join_batches
from safelight.table.file import Array, Scratch, pieces

KNOWN = ("new", "illegal", "other", "irrelevant", "known")
"""What a content counts as, by number: in no set, else the first of these that a set says."""
ILLEGAL = KNOWN.index("illegal")
CLASS_OF = np.array([0, 2, 1, 3, 3], np.int8)
"""Step 1: class by number of `KNOWN`."""
MOST_NEAR = 20_000
"""Distinct hashes of known illegal pictures that step 2 compares with; beyond it only stacks count."""
AT_ONCE = 500_000
"""Pictures that are compared with them at once."""

SYSTEM = re.compile(
    r"(^|/)(windows|winnt|program files( \(x86\))?|programdata|system volume information|\$recycle\.bin|appdata|application data|"
    r"temporary internet files|library/caches|library/application support|system|usr|etc|bin|sbin|lib|lib64|opt|boot|proc|snap|"
    r"cache2?|\.cache|caches|thumbnails|\.thumbnails|\.thumbdata[^/]*|node_modules|site-packages|\$extend|\$orphanfiles|lost\+found)(/|$)",
    re.IGNORECASE,
)
"""Folders that a system or program makes; every other folder counts as made by people."""
EDITORS = re.compile(r"photoshop|lightroom|gimp|snapseed|picsart|facetune|affinity|paint|canva|instagram|whatsapp|facebook", re.IGNORECASE)
"""Software that writes a picture anew, as it names itself in EXIF."""


def features(scratch: Scratch, c: dict[str, Array], known: Array, stacks: int) -> dict[str, Array]:
    """Return `near`, `density` and `folder_hits` of a table with columns `c`, where contents count as `known`."""
    rows, folders = len(known), len(c["folder_total"])
    hits = np.zeros(folders, np.int32)
    for part in scratch.pieces(len(c["content"])):
        np.add.at(hits, c["folder"][part][known[c["content"][part]] == ILLEGAL], 1)
    near = scratch.array("near", "i1", rows, 0)
    if hits.any():
        _near(scratch, c, known, hits, stacks, near)
    density = scratch.array("density", "i1", rows)
    quarters = np.ceil(4 * hits / np.maximum(c["folder_total"], 1)).astype(np.int8)
    for part in scratch.pieces(rows):
        density[part] = quarters[c["folder"][c["first"][part]]]
    return {"near": near, "density": density, "folder_hits": hits}


def _near(scratch: Scratch, c: dict[str, Array], known: Array, hits: Array, stacks: int, near: Array) -> None:
    """Step 2: 3 looks alike, 2 same folder, 1 same camera, 0 none. Known illegal contents are not near themselves."""
    rows = len(known)
    devices, illegal_stacks = np.zeros(0, np.int32), np.zeros(stacks, bool)
    for part in scratch.pieces(rows):
        here = known[part] == ILLEGAL
        devices = np.union1d(devices, c["device"][part][here])
        illegal_stacks[c["stack"][part][here]] = True
    devices = devices[devices >= 0]
    for part in scratch.pieces(rows):
        near[part] = np.isin(c["device"][part], devices)
    for part in scratch.pieces(len(c["content"])):
        near[c["content"][part][hits[c["folder"][part]] > 0]] = 2
    for part in scratch.pieces(rows):
        near[part][illegal_stacks[c["stack"][part]]] = 3
    _alike(scratch, c, known, near)
    for part in scratch.pieces(rows):
        near[part][known[part] == ILLEGAL] = 0


def _alike(scratch: Scratch, c: dict[str, Array], known: Array, near: Array) -> None:
    """Mark what is in no set and within the distance of a match from a known illegal picture."""
    illegal = [c["pdq"][part][(known[part] == ILLEGAL) & (c["quality"][part] >= QUALITY)] for part in scratch.pieces(len(known))]
    hashes = np.unique(np.concatenate(illegal), axis=0)
    if not 0 < len(hashes) <= MOST_NEAR:
        return
    for part in pieces(len(known), AT_ONCE):
        others = part.start + np.flatnonzero((c["quality"][part] >= QUALITY) & (known[part] == 0))
        for query, _, _ in join_batches(c["pdq"][others], hashes, DISTANCE):
            near[others[query]] = 3
        scratch.rest()


def steps(c: dict[str, Array], judged: dict[str, Array], rows: Array) -> Array:
    """Return steps 1 to 4 of the order `first` as one number (12 bits, ascending) for some rows."""
    generation = c["from_camera"][rows] + c["made_by_people"][rows] + (c["places"][rows] == 1)
    found: Array = CLASS_OF[judged["known"][rows]].astype(np.uint64) << np.uint64(9)
    found |= (3 - judged["near"][rows]).astype(np.uint64) << np.uint64(6)
    found |= (4 - judged["density"][rows]).astype(np.uint64) << np.uint64(3) | (3 - generation).astype(np.uint64)
    return found
