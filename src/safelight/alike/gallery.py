"""What the linking holds of a case: the pictures that were looked at, one of each stack, their features and vectors, in files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from safelight.alike import index, nearest
from safelight.alike.features import POINT, Features
from safelight.facts.models import Model
from safelight.facts.reader import Facts
from safelight.records import FEATURES

ROWS = 5_000


class Gallery:
    """The features of the case, one picture a stack, in ascending SHA-256; descriptors lie in a file, so memory holds 5 bytes a corner."""

    def __init__(self, facts: Facts, folder: Path) -> None:
        self.names: list[bytes] = []
        self.sizes: list[tuple[int, int, int, int]] = []
        self._folder = folder / "work"
        self._folder.mkdir(exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  (closed by `__exit__`)
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

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def features(self, number: int) -> Features:
        start, end = self.starts[number], self.starts[number + 1]
        _, _, width, height = self.sizes[number]
        return Features(width, height, self.points[start:end].tobytes(), self.descriptors[start:end].tobytes())

    def described(self, facts: Facts, model: Model | None) -> tuple[index.Longs, index.Longs]:
        """Return the pairs (a, b) that the vectors of a model bring together, ascending; none without a model."""
        known = np.zeros(len(self.names), np.bool_)
        if model is None or not self.names:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            vectors = np.memmap(file, np.float16, "w+", shape=(len(self.names), model.numbers))
            number = 0
            for table in facts.in_order("vectors", ["sha256", "vector"], ROWS):  # both are in ascending order
                for row in table.to_pylist():
                    while number < len(self.names) and self.names[number] < row["sha256"]:
                        number += 1
                    if number < len(self.names) and self.names[number] == row["sha256"]:
                        vectors[number], known[number] = np.frombuffer(row["vector"], "<f2"), True
            return nearest.nearest(vectors, known, model.threshold)


def _chosen_features(facts: Facts) -> Iterator[dict[str, Any]]:
    """Yield the features of one picture of each stack: the one with the most pixels, then the smallest SHA-256."""
    query = """
        select f.sha256 from features f left join stacks s using (sha256)
        qualify row_number() over (partition by coalesce(s.stack, f.sha256) order by f.width * f.height desc, f.sha256) = 1
    """
    chosen = {bytes(row[0]) for row in facts.con.execute(query).fetchall()}
    for table in facts.in_order("features", [c.name for c in FEATURES], ROWS):
        yield from (row for row in table.to_pylist() if bytes(row["sha256"]) in chosen)
