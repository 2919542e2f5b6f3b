"""The orders of a view, in words: each says for every content why it stands where it does. The rules are worked out when the table is
made (`table/features.py`, `table/orders.py`).

`first` puts what matters most first, by these steps, each only where the one before says nothing (docs/methods/order.md):

1. in no hash set; then in other sets; then known illegal (waits for a confirmation, not for a look); then known or irrelevant
2. near a known illegal content: looks alike (same stack, or PDQ within the distance of a match); else the same folder; else the same camera
3. density: how much of the folder is known illegal, in quarters
4. first generation: camera named in the picture and no software that edits; a folder that people made; one place only; one point each
5. exhibit, and place in its listing

No step looks at what a picture shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from safelight.table.features import CLASS_OF
from safelight.table.table import NO_TIME, Array, Table

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
CLASS_WORDS = ("in no hash set", "in another hash set", "known illegal: waits to be confirmed", "known or irrelevant")
NEAR_WORDS = ("", "same camera as a known illegal picture", "same folder as a known illegal content", "looks like a known illegal picture")


class Ranking:
    """The orders of a table, and the words for its features."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def sorted(self, order: str) -> Array:
        """Return all rows in an order: a view only leaves out what its filter does not select."""
        found: Array = self.table.orders[order]
        return found

    @property
    def near(self) -> Array:
        """Step 2: 3 looks alike, 2 same folder, 1 same camera, 0 none."""
        found: Array = self.table.near
        return found

    def classes(self, rows: Any) -> Array:
        """Step 1 for some contents."""
        found: Array = CLASS_OF[self.table.known[rows]]
        return found

    def reason(self, row: int) -> str:
        """Return in words why a content stands where it does."""
        t, words = self.table, [CLASS_WORDS[int(self.classes(row))]]
        if near := int(t.near[row]):
            words.append(NEAR_WORDS[near])
        folder = int(t.folder[t.first[row]])
        if t.folder_hits[folder]:
            words.append(f"folder: {t.folder_hits[folder]:,} of {t.folder_total[folder]:,} illegal")  # short: it stands below a tile
        if t.from_camera[row]:
            words.append(f"camera original ({t.camera.name(row)})")
        if t.made_by_people[row]:
            words.append("in a folder that people made")
        words.append("one place" if t.places[row] == 1 else f"{t.places[row]:,} places")
        return "; ".join(words)


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
