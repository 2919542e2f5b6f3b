"""The alike step of a case: features and panels → `alike/alike-1`, pairs of pictures that share a part. Stacks do not change.

One picture stands for each stack (the one with the most pixels), so that many copies of one picture do not give pairs without end.
Nothing is read but stored facts; what has the same inputs is not done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from safelight.alike import common, geometry, index
from safelight.alike.gallery import Gallery
from safelight.alike.panel_links import panel_links
from safelight.case import Case
from safelight.facts.derived import is_current
from safelight.facts.layout import EXTRACT_STEPS
from safelight.facts.making import making
from safelight.facts.models import Model, current
from safelight.facts.reader import Facts
from safelight.facts.writer import TableWriter

STEP = "alike-1"
RULES = 3
"""Raised when the same features give other links: then cases are linked anew."""

Row = tuple[Any, ...]
"""One row of `records.ALIKE`, in the order of its columns."""


def alike_case(case: Case, progress: Any) -> dict[str, Any] | None:
    """Link the pictures of all exhibits and return what the ledger is to say; None where nothing changed or nothing was looked at."""
    inputs = _inputs(case)
    if not inputs:
        return None
    target = case.folder / "alike" / STEP
    key = hashlib.sha256(f"{STEP} {RULES} {inputs}".encode()).hexdigest()
    if is_current(case, f"alike/{STEP}", key):
        return None
    target.parent.mkdir(exist_ok=True)
    progress.begin("alike", "", None)
    facts = Facts(case)
    with Gallery(facts, case.folder) as gallery:
        proposed = _Proposed(gallery, facts, current(case))
        rows = [*_feature_links(gallery, proposed, progress), *panel_links(facts)]
    rows.sort(key=lambda r: (r[0], r[1], r[2]))
    with making(case, target) as made:
        table = TableWriter(made.folder / "alike.parquet", "alike")
        for row in rows:
            table.add(row)
        written = table.close()
        made.files = {"alike.parquet": [written.rows, written.sha256, written.logical]}
    counts = {"pictures": len(gallery.names), "links": len(rows), "frames": sum(r[3] == "frame" for r in rows)}
    return {**counts, "candidates": len(proposed.a), "folder": f"alike/{STEP}", "files": made.files, "key": key}


def _inputs(case: Case) -> str:
    """Return the digests of all that is read here, in the ledger's words; empty where no exhibit had a second look."""
    last: dict[str, Any] = {}
    described: dict[str, Any] = {}
    model = current(case)
    for entry in case.ledger.entries():
        if entry["what"] == "compact" and entry["step"] == EXTRACT_STEPS["features"]:
            last[entry["exhibit"]] = entry["files"]
        elif entry["what"] == "compact" and model is not None and entry["step"] == model.step:
            described[entry["exhibit"]] = entry["files"]
        elif entry["what"] == "stack":
            last["stack"] = entry["key"]
    if len(last) <= ("stack" in last):
        return ""
    return repr(sorted(last.items())) + (f" {model.step} {model.threshold} {sorted(described.items())}" if model is not None else "")


def _feature_links(gallery: Gallery, proposed: _Proposed, progress: Any) -> Iterator[Row]:
    links = list(common.verified(proposed.pairs(progress), gallery.features))
    for a, b, found in common.judged(links, gallery.features):
        yield _row(gallery, a, b, found, "descriptor" if proposed.by_model_alone(a, b) else "features")


class _Proposed:
    """Which pictures geometry is to compare: those that the coarse index brings together, and those that the vectors of a model do."""

    def __init__(self, gallery: Gallery, facts: Facts, model: Model | None) -> None:
        a, b, mirrored = index.candidates(gallery.corners)
        first, second = gallery.described(facts, model)
        names = (first << 32) | second
        self._alone = names[~np.isin(names, (a << 32) | b)]
        first, second = self._alone >> 32, self._alone & ((1 << 32) - 1)
        # a vector does not say whether one is the mirror image: both are tried
        self.a, self.b = np.concatenate([a, first, first]), np.concatenate([b, second, second])
        self.mirrored = np.concatenate([mirrored, np.zeros(len(first), bool), np.ones(len(first), bool)])
        order = np.lexsort((self.mirrored, self.b, self.a))
        self.a, self.b, self.mirrored = self.a[order], self.b[order], self.mirrored[order]

    def pairs(self, progress: Any) -> Iterator[tuple[int, int, bool]]:
        for candidate in zip(self.a.tolist(), self.b.tolist(), self.mirrored.tolist(), strict=True):
            progress.advance(1)
            yield candidate

    def by_model_alone(self, a: int, b: int) -> bool:
        name = (a << 32) | b
        place = int(np.searchsorted(self._alone, name))
        return place < len(self._alone) and int(self._alone[place]) == name


def _row(gallery: Gallery, a: int, b: int, s: geometry.Shared, method: str) -> Row:
    """Return a link with its evidence in pixels of the pictures."""
    (wa, ha, pa, qa), (wb, hb, pb, qb) = gallery.sizes[a], gallery.sizes[b]
    ax, ay, bx, by = wa / pa, ha / qa, wb / pb, hb / qb
    m = s.map
    scaled = (m[0] * bx / ax, m[1] * bx / ay, m[2] * bx, m[3] * by / ax, m[4] * by / ay, m[5] * by)
    return (
        *(gallery.names[a], gallery.names[b], method, s.relation, s.mirrored, s.inliers, s.seen, round(s.covered, 4), None),
        *(round(s.area_a, 4), round(s.area_b, 4), _box(s.box_a, ax, ay), _box(s.box_b, bx, by)),
        " ".join(f"{v:.6g}" for v in scaled),
    )


def _box(box: geometry.Box, across: float, down: float) -> str:
    left, top, right, bottom = round(box[0] * across), round(box[1] * down), round(box[2] * across), round(box[3] * down)
    return f"{left},{top},{right - left},{bottom - top}"
