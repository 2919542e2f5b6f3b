"""From a worker's answers to the rows of the second look of a shard: features, panels, and the problems of the second look alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safelight.alike.features import MOST
from safelight.case import Exhibit
from safelight.extract.rows import Answers, Careful
from safelight.facts.writer import TableWriter
from safelight.records import SecondLook
from safelight.sandbox.parent import checked_kind
from safelight.sandbox.second import good_panels

OWN_PROBLEMS = frozenset(["crashed", "limit.time", "limit.memory", "protocol"])
"""Kinds that a second look can add; everything else was said at the first."""

SIDE_LIMIT = 1 << 31


class SecondTables:
    """The tables of one shard of the second look, in canonical order of the items that were looked at."""

    def __init__(self, folder: Path, exhibit: Exhibit) -> None:
        self.folder, self.exhibit = folder, exhibit
        self._tables = {name: TableWriter(folder / f"{name}.parquet", name) for name in ("features", "panels", "problems")}
        self._seen: set[bytes] = set()
        self.counts = {"items": 0, "pictures": 0, "features": 0, "panels": 0, "problems": 0, "bytes": 0}

    def take(self, row: dict[str, Any], answers: Answers, careful: Careful) -> None:
        """Write what was found in a listed row and its members."""
        self.counts["items"] += 1
        for item in answers:
            problems = [p for p in item.problems if p[0] in OWN_PROBLEMS]
            for index, (kind, reason) in enumerate([*problems, *([careful[item.member]] if item.member in careful else [])]):
                self._problem(row, item.member, index, kind, reason)
            self.counts["bytes"] += item.length if 0 <= item.length < 1 << 50 else 0
            if item.second is None or len(item.sha256 or b"") != 32 or item.sha256 in self._seen:
                continue
            assert item.sha256 is not None
            self._seen.add(item.sha256)
            self._second(item.sha256, item.second)

    def _problem(self, row: dict[str, Any], member: int, index: int, kind: str, reason: str) -> None:
        place = (self.exhibit.label, self.exhibit.source, row["ordinal"], member, index, row["item_id"], row["origin"], "features")
        said = reason.encode("utf-8", "backslashreplace").decode()
        self._tables["problems"].add((*place, checked_kind(kind), f"second look: {said}", True))
        self.counts["problems"] += 1

    def _second(self, sha256: bytes, second: SecondLook) -> None:
        self.counts["pictures"] += 1
        if not (0 < second.width < SIDE_LIMIT and 0 < second.height < SIDE_LIMIT):
            return
        count = len(second.descriptors) // 32
        plane = 0 < second.plane_width <= 2048 and 0 < second.plane_height <= 2048
        if plane and 0 < count <= MOST and len(second.descriptors) == 32 * count and len(second.points) == 6 * count:
            sizes = (second.width, second.height, second.plane_width, second.plane_height)
            self._tables["features"].add((sha256, *sizes, second.points, second.descriptors))
            self.counts["features"] += 1
        for number, panel in good_panels(second):
            self._tables["panels"].add((sha256, number, *panel.box, panel.hashes[0], panel.quality, panel.hashes))
            self.counts["panels"] += 1

    def close(self) -> tuple[dict[str, list[Any]], dict[str, int]]:
        """Finish all files; return their rows and digests, and the counts."""
        written = {f"{name}.parquet": table.close() for name, table in self._tables.items()}
        return {name: [w.rows, w.sha256, w.logical] for name, w in written.items()}, self.counts
