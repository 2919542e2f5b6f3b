"""The alike step of a case: features and panels → `alike/alike-1`, pairs of pictures that share a part. Stacks do not change.

One picture stands for each stack (the one with the most pixels), so that many copies of one picture do not give pairs without end.
Nothing is read but stored facts; what has the same inputs is not done again.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from safelight.alike import common, geometry, index
from safelight.alike.features import POINT, Features
from safelight.alike.panel_links import panel_links
from safelight.case import Case
from safelight.facts.derived import is_current
from safelight.facts.layout import EXTRACT_STEPS
from safelight.facts.making import making
from safelight.facts.reader import Facts
from safelight.facts.writer import TableWriter
from safelight.records import FEATURES

STEP = "alike-1"
RULES = 2
"""Raised when the same features give other links: then cases are linked anew."""
ROWS = 5_000

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
    with _Gallery(facts, case.folder) as gallery:
        rows = [*_feature_links(gallery, progress), *panel_links(facts)]
    rows.sort(key=lambda r: (r[0], r[1], r[2]))
    with making(case, target) as made:
        table = TableWriter(made.folder / "alike.parquet", "alike")
        for row in rows:
            table.add(row)
        written = table.close()
        made.files = {"alike.parquet": [written.rows, written.sha256, written.logical]}
    counts = {"pictures": len(gallery.names), "links": len(rows), "frames": sum(r[3] == "frame" for r in rows)}
    return {**counts, "candidates": gallery.candidates, "folder": f"alike/{STEP}", "files": made.files, "key": key}


def _inputs(case: Case) -> str:
    """Return the digests of all that is read here, in the ledger's words; empty where no exhibit had a second look."""
    last: dict[str, Any] = {}
    for entry in case.ledger.entries():
        if entry["what"] == "compact" and entry["step"] == EXTRACT_STEPS["features"]:
            last[entry["exhibit"]] = entry["files"]
        elif entry["what"] == "stack":
            last["stack"] = entry["key"]
    return repr(sorted(last.items())) if len(last) > ("stack" in last) else ""


class _Gallery:
    """The features of the case, one picture a stack, in ascending SHA-256; descriptors lie in a file, so memory holds 5 bytes a corner."""

    def __init__(self, facts: Facts, folder: Path) -> None:
        self.names: list[bytes] = []
        self.sizes: list[tuple[int, int, int, int]] = []
        self.candidates = 0
        (folder / "work").mkdir(exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder / "work")  # noqa: SIM115  (closed by `__exit__`)
        points, numbers, starts = [np.zeros(0, POINT)], [np.zeros(0, np.uint32)], [0]
        for row in _chosen_features(facts):
            own = np.frombuffer(row["points"], POINT)
            numbers.append(np.full(len(own), len(self.names), np.uint32))
            points.append(own)
            starts.append(starts[-1] + len(own))
            self._file.write(row["descriptors"])
            self.names.append(bytes(row["sha256"]))
            self.sizes.append((row["width"], row["height"], row["plane_width"], row["plane_height"]))
        self._file.flush()
        self.points, self.starts = np.concatenate(points), starts
        shape = (starts[-1], 32)
        self.descriptors = np.memmap(self._file, np.uint8, "r", shape=shape) if starts[-1] else np.zeros(shape, np.uint8)
        self.corners = index.Corners(np.concatenate(numbers), self.points["turn"], self.descriptors)

    def __enter__(self) -> _Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def features(self, number: int) -> Features:
        start, end = self.starts[number], self.starts[number + 1]
        _, _, width, height = self.sizes[number]
        return Features(width, height, self.points[start:end].tobytes(), self.descriptors[start:end].tobytes())


def _chosen_features(facts: Facts) -> Iterator[dict[str, Any]]:
    """Yield the features of one picture of each stack: the one with the most pixels, then the smallest SHA-256."""
    query = """
        select f.sha256 from features f left join stacks s using (sha256)
        qualify row_number() over (partition by coalesce(s.stack, f.sha256) order by f.width * f.height desc, f.sha256) = 1
    """
    chosen = {bytes(row[0]) for row in facts.con.execute(query).fetchall()}
    for table in facts.in_order("features", [c.name for c in FEATURES], ROWS):
        yield from (row for row in table.to_pylist() if bytes(row["sha256"]) in chosen)


def _feature_links(gallery: _Gallery, progress: Any) -> Iterator[Row]:
    if not gallery.names:
        return
    links = list(common.verified(_candidates(gallery, progress), gallery.features))
    for a, b, found in common.judged(links, gallery.features):
        yield _row(gallery, a, b, found)


def _candidates(gallery: _Gallery, progress: Any) -> Iterator[tuple[int, int, bool]]:
    first, second, flipped = index.candidates(gallery.corners)
    gallery.candidates = len(first)
    for candidate in zip(first.tolist(), second.tolist(), flipped.tolist(), strict=True):
        progress.advance(1)
        yield candidate


def _row(gallery: _Gallery, a: int, b: int, s: geometry.Shared) -> Row:
    """Return a link with its evidence in pixels of the pictures."""
    (wa, ha, pa, qa), (wb, hb, pb, qb) = gallery.sizes[a], gallery.sizes[b]
    ax, ay, bx, by = wa / pa, ha / qa, wb / pb, hb / qb
    m = s.map
    scaled = (m[0] * bx / ax, m[1] * bx / ay, m[2] * bx, m[3] * by / ax, m[4] * by / ay, m[5] * by)
    return (
        *(gallery.names[a], gallery.names[b], "features", s.relation, s.mirrored, s.inliers, s.seen, round(s.covered, 4), None),
        *(round(s.area_a, 4), round(s.area_b, 4), _box(s.box_a, ax, ay), _box(s.box_b, bx, by)),
        " ".join(f"{v:.6g}" for v in scaled),
    )


def _box(box: geometry.Box, across: float, down: float) -> str:
    left, top, right, bottom = round(box[0] * across), round(box[1] * down), round(box[2] * across), round(box[3] * down)
    return f"{left},{top},{right - left},{bottom - top}"
