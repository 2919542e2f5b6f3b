"""The review table: one row for each content within the scope of the gate, in columns that are mapped from two files.

A table is a state of the facts; it never changes. While a `run` goes on, newer tables are made beside it, and views keep the one they
were made from: a file that was removed meanwhile stays readable as long as it is mapped. Items (places) have columns of their own, in
canonical order.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from safelight.decisions.numbers import Numbers
from safelight.table.contents import LEVELS, NO_TIME
from safelight.table.features import KNOWN
from safelight.table.file import Array, Mapped
from safelight.table.masks import Masks
from safelight.table.texts import Codes, Texts

Mask = NDArray[np.bool_]

__all__ = ["KNOWN", "NO_TIME", "Array", "Codes", "Mask", "Rendition", "Table"]


class Rendition(msgspec.Struct, frozen=True):
    """Where a small picture lies: offsets and lengths by row; length 0 where there is none."""

    at: Array
    size: Array


class Folders:
    """The folders of all places by number: exhibit and path."""

    def __init__(self, exhibit: Array, exhibits: Codes, paths: Texts) -> None:
        self._exhibit, self._exhibits, self._paths = exhibit, exhibits, paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> tuple[str, str]:
        return self._exhibits.names[int(self._exhibit[number])], self._paths[number]


class Table:
    """One state of the facts. `rows` contents; `items` places. Row r has the content `names[r]`, ascending by SHA-256."""

    def __init__(self, contents: Mapped, judged: Mapped) -> None:
        c, j = contents.columns, judged.columns
        self._files = (contents, judged)
        self.rows, self.items, self.folders = (contents.numbers[n] for n in ("rows", "items", "folders"))
        self.stacks = contents.numbers["stacks"]
        self.names, self.heads = c["names"], c["heads"]
        self.size, self.width, self.height = c["size"], c["width"], c["height"]
        self.kind, self.media_type = Codes.of(contents, "kind"), Codes.of(contents, "media_type")
        self.pdq, self.quality = c["pdq"], c["quality"]
        self.camera, self.serial, self.software = (Codes.of(contents, n) for n in ("camera", "serial", "software"))
        self.device, self.taken, self.when, self.lat, self.lon = c["device"], c["taken"], c["when"], c["lat"], c["lon"]
        self.from_camera, self.made_by_people = c["from_camera"], c["made_by_people"]
        self.pack, self.pack_exhibit = c["pack"], Codes.of(contents, "pack_exhibit")
        self.renditions = {level: Rendition(c[f"{level}_at"], c[f"{level}_size"]) for level in LEVELS}
        self.stack, self.stack_distance, self.in_stack = c["stack"], c["stack_distance"], c["in_stack"].view(bool)
        self.content, self.mtime, self.folder = c["content"], c["mtime"], c["folder"]
        self.exhibit, self.state = Codes.of(contents, "exhibit"), Codes.of(contents, "state")
        self.path: pa.LargeStringArray = Texts.of(contents, "path").arrow()
        self.folder_names = Folders(c["folder_exhibit"], self.exhibit, Texts.of(contents, "folder"))
        self.folder_total, self.folder_hits = c["folder_total"], j["folder_hits"]
        self.places, self.first = c["places"], c["first"]
        self._by_content, self._starts = c["by_content"], c["starts"]
        self.problem_row, self.problem = c["problem_row"], Codes.of(contents, "problem")
        self.known, self.category = j["known"], Codes.of(judged, "category")
        self.match_row = j["match_row"]
        self.match_set, self.match_method = Codes.of(judged, "match_set"), Codes.of(judged, "match_method")
        self.near, self.density = j["near"], j["density"]
        self.masks = Masks()
        self.orders = {n: c[f"order_{n}"] for n in ("path", "time", "size", "camera")} | {"first": j["order_first"]}

    def number_by(self, numbers: Numbers) -> Table:
        """Give each content its number for the log of decisions; to be called under its lock. Return the table."""
        self.number = numbers.add(self.names)
        self._row: Array | None = None
        if self.names is not numbers.first:
            self._row = np.full(len(numbers), -1, np.int32)
            self._row[self.number] = np.arange(self.rows, dtype=np.int32)
        return self

    def by_row(self, by_number: Array, rows: Any = slice(None)) -> Array:
        """Return what an array by number has for some rows."""
        if self._row is not None:
            found: Array = by_number[self.number[rows]]
        else:
            found = by_number[: self.rows][rows]
        return found.copy() if isinstance(rows, slice) else found

    def row_of(self, numbers: Array) -> Array:
        """Return the row of each number; -1 where the content is not in this table."""
        if self._row is None:
            return np.where(numbers < self.rows, numbers, -1)
        found = np.full(len(numbers), -1, np.int32)
        inside = numbers < len(self._row)
        found[inside] = self._row[numbers[inside]]
        return found

    def items_of(self, row: int) -> Array:
        """Return the items of a content, in canonical order."""
        return self._by_content[self._starts[row] : self._starts[row + 1]]

    @cached_property
    def looked_at(self) -> Mask:
        """Which contents are pictures or films."""
        return self.kind.among(["image", "video"])

    @cached_property
    def repeated(self) -> Mask:
        """Which contents have several places."""
        found: Mask = self.places > 1
        return found

    def any_of(self, items: Mask) -> Mask:
        """Return the contents of which at least one of these places is."""
        found = np.zeros(self.rows, bool)
        found[self.content[items]] = True
        return found

    def rank_of_item(self, row: int) -> tuple[str, str]:
        """Return exhibit and path of the first place of a content."""
        item = int(self.first[row])
        return self.exhibit.name(item) or "", self.path[item].as_py()

    def bytes_mapped(self) -> int:
        """Return the size of the two files."""
        return sum(f.size for f in self._files)

    def bytes_held(self) -> int:
        """Return the memory of what is not mapped: numbers, masks."""
        held: list[Any] = [v for v in vars(self).values() if isinstance(v, np.ndarray) and v.flags.owndata]
        return sum(v.nbytes for v in held)
