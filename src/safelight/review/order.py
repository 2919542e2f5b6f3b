"""The orders of a view: named, pure rules over the review table. Each says for every content why it stands where it does.

`first` puts what matters most first, by these steps, each only where the one before says nothing (docs/methods/order.md):

1. in no hash set; then in other sets; then known illegal (waits for a confirmation, not for a look); then known or irrelevant
2. near a known illegal content: looks alike (same stack, or PDQ within the distance of a match); else the same folder; else the same camera
3. density: how much of the folder is known illegal, in quarters
4. first generation: camera named in the picture and no software that edits; a folder that people made; one place only; one point each
5. exhibit, and place in its listing

No step looks at what a picture shows.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import numpy as np

from safelight.match.pdq import DISTANCE, QUALITY, join_batches
from safelight.review.table import KNOWN, NO_TIME, Array, Mask, Table

ORDERS = {
    "first": (
        "What matters most first",
        "In no hash set first; near a known illegal content; folders with many known illegal contents; first generation; place.",
    ),
    "path": ("By place", "Exhibit, then the order of its listing."),
    "time": ("By time", "Time taken, else last change; oldest first; without a time last."),
    "size": ("By size", "Largest first."),
    "camera": ("By camera", "Make, model and serial number as the picture says; without a camera last."),
}
CLASS_OF = np.array([0, 2, 1, 3, 3], np.int8)
"""Step 1: class by number of `KNOWN`."""
CLASS_WORDS = ("in no hash set", "in another hash set", "known illegal: waits to be confirmed", "known or irrelevant")
NEAR_WORDS = ("", "same camera as a known illegal picture", "same folder as a known illegal content", "looks like a known illegal picture")
MOST_NEAR = 20_000
"""Distinct hashes of known illegal pictures that step 2 compares with; beyond it only stacks count."""

SYSTEM = re.compile(
    r"(^|/)(windows|winnt|program files( \(x86\))?|programdata|system volume information|\$recycle\.bin|appdata|application data|"
    r"temporary internet files|library/caches|library/application support|system|usr|etc|bin|sbin|lib|lib64|opt|boot|proc|snap|"
    r"cache2?|\.cache|caches|thumbnails|\.thumbnails|\.thumbdata[^/]*|node_modules|site-packages|\$extend|\$orphanfiles|lost\+found)(/|$)",
    re.IGNORECASE,
)
"""Folders that a system or program makes; every other folder counts as made by people."""
EDITORS = re.compile(r"photoshop|lightroom|gimp|snapseed|picsart|facetune|affinity|paint|canva|instagram|whatsapp|facebook", re.IGNORECASE)
"""Software that writes a picture anew, as it names itself in EXIF."""


class Ranking:
    """The features behind the order `first`, for a whole table; each is an array by row."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.illegal: Mask = table.known == KNOWN.index("illegal")
        self.classes: Array = CLASS_OF[table.known]
        self._sorted: dict[str, Array] = {}

    def sorted(self, order: str) -> Array:
        """Return all rows in an order. Sorted once for a table: a view then only leaves out what its filter does not select."""
        if order not in self._sorted:
            found = keys(order, self)
            rows = np.lexsort(found[::-1]) if len(found) > 1 else np.argsort(found[0], kind="stable")
            self._sorted[order] = rows.astype(np.int32)
        return self._sorted[order]

    @cached_property
    def near(self) -> Array:
        """Step 2: 3 looks alike, 2 same folder, 1 same camera, 0 none. Known illegal contents are not near themselves."""
        t, found = self.table, np.zeros(self.table.rows, np.int8)
        if not self.illegal.any():
            return found
        cameras = np.unique(t.device[self.illegal & (t.device >= 0)])
        found[np.isin(t.device, cameras)] = 1
        folders = np.zeros(t.folders, bool)
        folders[t.folder[self.illegal[t.content]]] = True
        found[t.any_of(folders[t.folder])] = 2
        stacks = np.zeros(int(t.stack.max()) + 1, bool)
        stacks[t.stack[self.illegal]] = True
        found[stacks[t.stack]] = 3
        found[self._alike()] = 3
        found[self.illegal] = 0
        return found

    def _alike(self) -> Array:
        t, good = self.table, self.table.quality >= QUALITY
        known = np.unique(t.pdq[good & self.illegal], axis=0)
        if not len(known) or len(known) > MOST_NEAR:
            return np.zeros(0, np.int64)
        others = np.flatnonzero(good & (t.known == 0))
        pairs = [q for q, _, _ in join_batches(t.pdq[others], known, DISTANCE)]
        return others[np.unique(np.concatenate(pairs))] if pairs else np.zeros(0, np.int64)

    @cached_property
    def folder_counts(self) -> tuple[Array, Array]:
        """Return places, and places of known illegal contents, by folder."""
        t = self.table
        return np.bincount(t.folder, minlength=t.folders), np.bincount(t.folder[self.illegal[t.content]], minlength=t.folders)

    @cached_property
    def density(self) -> Array:
        """Step 3: 0 none, 1 up to a quarter, … 4 more than three quarters of the folder of the first place is known illegal."""
        total, hits = self.folder_counts
        quarters = np.ceil(4 * hits / np.maximum(total, 1)).astype(np.int8)
        return quarters[self.table.folder[self.table.first]]

    @cached_property
    def made_by_people(self) -> Mask:
        """The folder of the first place is none of a system or program."""
        t = self.table
        own = np.array([not SYSTEM.search(folder.rstrip("/")) for _, folder in t.folder_names], bool)
        return own[t.folder[t.first]] if t.rows else np.zeros(0, bool)

    @cached_property
    def from_camera(self) -> Mask:
        """The picture names a camera, and no software that edits pictures."""
        t = self.table
        edits = np.array([bool(EDITORS.search(n)) for n in t.software.names] + [False], bool)
        found: Mask = (t.camera.code >= 0) & ~edits[t.software.code]
        return found

    @cached_property
    def generation(self) -> Array:
        """Step 4: 0 to 3 points."""
        found: Array = self.from_camera.astype(np.int8) + self.made_by_people + (self.table.places == 1)
        return found

    @cached_property
    def key(self) -> Array:
        """All steps as one number, ascending: 12 bits of steps, then the place in canonical order."""
        steps = self.classes.astype(np.int64) << 9 | (3 - self.near.astype(np.int64)) << 6
        steps |= (4 - self.density.astype(np.int64)) << 3 | (3 - self.generation.astype(np.int64))
        return steps << 32 | self.table.first.astype(np.int64)

    def reason(self, row: int) -> str:
        """Return in words why a content stands where it does."""
        t, words = self.table, [CLASS_WORDS[int(self.classes[row])]]
        if near := int(self.near[row]):
            words.append(NEAR_WORDS[near])
        folder = int(t.folder[t.first[row]])
        total, hits = self.folder_counts
        if hits[folder]:
            words.append(f"{hits[folder]:,} of {total[folder]:,} in this folder known illegal")
        if self.from_camera[row]:
            words.append(f"camera original ({t.camera.name(row)})")
        if self.made_by_people[row]:
            words.append("in a folder that people made")
        words.append("one place" if t.places[row] == 1 else f"{t.places[row]:,} places")
        return "; ".join(words)


def keys(order: str, ranking: Ranking) -> list[Any]:
    """Return the sort keys of an order by row, the most important first; ties end with the place in canonical order."""
    t = ranking.table
    first = t.first.astype(np.int64)
    match order:
        case "first":
            return [ranking.key]
        case "time":
            return [t.when == NO_TIME, t.when, first]
        case "size":
            return [-t.size, first]
        case "camera":
            place = np.argsort(np.argsort(t.camera.names)) if t.camera.names else np.zeros(0, np.int64)
            named = t.camera.code >= 0
            rank = np.where(named, np.append(place, len(place))[t.camera.code], len(place))
            return [rank, t.serial.code, t.when == NO_TIME, t.when, first]
    return [first]


def reason(order: str, ranking: Ranking, row: int) -> str:
    """Return why a content stands where it does in this order, in words."""
    t = ranking.table
    match order:
        case "first":
            return ranking.reason(row)
        case "time":
            when = int(t.when[row])
            if when == NO_TIME:
                return "no time is known"
            return f"{'taken' if t.taken[row] != NO_TIME else 'changed'} {np.datetime64(when, 'ns').astype('datetime64[s]')}"
        case "size":
            return f"{int(t.size[row]):,} bytes"
        case "camera":
            return t.camera.name(row) or "no camera is named"
        case "similar":
            return "by PDQ distance"
    exhibit, _ = t.rank_of_item(row)
    return f"place in the listing of {exhibit}"
