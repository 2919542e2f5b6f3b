"""From a worker's answers to the rows of a further look at the pictures of a shard: features and panels, or the vectors of a descriptor
model, and the problems of that look alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from safelight.alike.features import MOST
from safelight.case import Exhibit
from safelight.extract.rows import Answers, Careful
from safelight.facts.models import Model
from safelight.facts.writer import TableWriter
from safelight.records import SecondLook
from safelight.sandbox.parent import checked_kind
from safelight.sandbox.protocol import Item
from safelight.sandbox.second import good_panels

OWN_PROBLEMS = frozenset(["crashed", "limit.time", "limit.memory", "protocol", "no-vector"])
"""Kinds that a further look can add; everything else was said at the first."""

SIDE_LIMIT = 1 << 31


class LookTables(ABC):
    """The tables of one shard of a further look, in canonical order of the items that were looked at."""

    STEP, WORDS = "", ""
    """The step that stands in problems, and how their reason begins."""
    TABLES: tuple[str, ...] = ()

    def __init__(self, folder: Path, exhibit: Exhibit) -> None:
        self.folder, self.exhibit = folder, exhibit
        self._tables = {name: TableWriter(folder / f"{name}.parquet", name) for name in (*self.TABLES, "problems")}
        self._seen: set[bytes] = set()
        self.counts = {"items": 0, "pictures": 0, **dict.fromkeys(self.TABLES, 0), "problems": 0, "bytes": 0}

    def take(self, row: dict[str, Any], answers: Answers, careful: Careful) -> None:
        """Write what was found in a listed row and its members."""
        self.counts["items"] += 1
        for item in answers:
            problems = [p for p in item.problems if p[0] in OWN_PROBLEMS]
            problems += [careful[item.member]] if item.member in careful else []
            self.counts["bytes"] += item.length if 0 <= item.length < 1 << 50 else 0
            if item.sha256 is not None and len(item.sha256) == 32 and item.sha256 not in self._seen:
                problems += self._found(item.sha256, item)
            for index, (kind, reason) in enumerate(problems):
                self._problem(row, item.member, index, kind, reason)

    @abstractmethod
    def _found(self, sha256: bytes, item: Item) -> list[tuple[str, str]]:
        """Write what was found in a content that was not seen before; return what is wrong with the answer."""

    def _problem(self, row: dict[str, Any], member: int, index: int, kind: str, reason: str) -> None:
        place = (self.exhibit.label, self.exhibit.source, row["ordinal"], member, index, row["item_id"], row["origin"], self.STEP)
        said = reason.encode("utf-8", "backslashreplace").decode()
        self._tables["problems"].add((*place, checked_kind(kind), f"{self.WORDS}: {said}", True))
        self.counts["problems"] += 1

    def close(self) -> tuple[dict[str, list[Any]], dict[str, int]]:
        """Finish all files; return their rows and digests, and the counts."""
        written = {f"{name}.parquet": table.close() for name, table in self._tables.items()}
        return {name: [w.rows, w.sha256, w.logical] for name, w in written.items()}, self.counts


class SecondTables(LookTables):
    """Features and panels."""

    STEP, WORDS, TABLES = "features", "second look", ("features", "panels")

    def _found(self, sha256: bytes, item: Item) -> list[tuple[str, str]]:
        if item.second is not None:
            self._seen.add(sha256)
            self._second(sha256, item.second)
        return []

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


class VectorTables(LookTables):
    """The vectors of one model."""

    STEP, WORDS, TABLES = "descriptor", "descriptor model", ("vectors",)

    def __init__(self, folder: Path, exhibit: Exhibit, model: Model) -> None:
        super().__init__(folder, exhibit)
        self._model = model

    def _found(self, sha256: bytes, item: Item) -> list[tuple[str, str]]:
        if not item.vector:
            return []
        self._seen.add(sha256)
        self.counts["pictures"] += 1
        if not is_vector(item.vector, self._model.numbers):
            return [("protocol", "the answer is no vector of the model")]
        self._tables["vectors"].add((sha256, bytes.fromhex(self._model.sha256), item.vector))
        self.counts["vectors"] += 1
        return []


def is_vector(data: bytes, numbers: int) -> bool:
    """Tell whether these are so many half floats that are of length 1 together, within what rounding leaves."""
    if len(data) != 2 * numbers:
        return False
    found = np.frombuffer(data, "<f2").astype(np.float64)
    return bool(np.isfinite(found).all() and abs(float(found @ found) - 1) < 0.01)
