"""Sort any number of fixed-width rows in bounded memory: part them to files by their first byte, then sort file by file.

Rows are compared as bytes, whole. A file that is too large for memory (many equal or similar keys, by nature or by malice) is split
again at the first byte in which its rows differ, so equal keys do not cost a pass per byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes2D = NDArray[np.uint8]

BUFFER = 16 << 20
"""Bytes held before they go to the files."""
BLOCK = 128 << 20
"""Most bytes that are sorted at once; a sort holds up to three times as many."""
READ = 4 << 20


def sort_rows(rows: Bytes2D) -> Bytes2D:
    """Return the (n, width) rows in ascending byte order; n < 2**32."""
    from safelight.native import _rows

    width = rows.shape[1]
    return np.frombuffer(_rows.sort(np.ascontiguousarray(rows), width), np.uint8).reshape(-1, width)


class Spill:
    """Collects rows of `width` bytes; `blocks` gives them back sorted. Files lie in `folder` under `name`."""

    def __init__(self, folder: Path, name: str, width: int, buffer: int = BUFFER, block: int = BLOCK) -> None:
        self.folder, self.name, self.width = folder, name, width
        self.buffer, self.block = buffer, max(block, 2 * width)
        self.held: list[Bytes2D] = []
        self.held_bytes = 0
        self.count = 0
        self.spilled = False
        self._serial = 0

    def add(self, rows: Bytes2D) -> None:
        """Add (n, width) rows."""
        if not len(rows):
            return
        self.held.append(rows)
        self.held_bytes += rows.nbytes
        self.count += len(rows)
        if self.held_bytes >= self.buffer:
            self._flush()

    def _flush(self) -> None:
        if self.held:
            self._split(np.concatenate(self.held), 0, f"{self.name}.p")
            self.held, self.held_bytes, self.spilled = [], 0, True

    def _split(self, rows: Bytes2D, at: int, stem: str) -> None:
        from safelight.native import _rows

        ordered, raw_edges = _rows.part(np.ascontiguousarray(rows), self.width, at)
        edges = np.frombuffer(raw_edges, np.int64) * self.width
        parts = memoryview(ordered)
        for byte in np.flatnonzero(edges[1:] > edges[:-1]).tolist():
            with (self.folder / f"{stem}{byte:02x}").open("ab") as out:
                out.write(parts[edges[byte] : edges[byte + 1]])

    def blocks(self) -> Iterator[Bytes2D]:
        """Yield all rows in ascending order, block by block; the files are removed as they are read. To be called once."""
        if not self.spilled:
            held, self.held = self.held, []
            if held:
                yield sort_rows(np.concatenate(held))
            return
        self._flush()
        waiting = sorted(self.folder.glob(f"{self.name}.p??"), reverse=True)
        while waiting:
            path = waiting.pop()
            if path.stat().st_size <= self.block:
                rows = np.fromfile(path, np.uint8).reshape(-1, self.width)
                path.unlink()
                yield sort_rows(rows)
                continue
            at = self._first_difference(path)
            if at is None:
                yield from self._chunks(path)
                path.unlink()
                continue
            self._serial += 1
            stem = f"{self.name}.q{self._serial}."
            for chunk in self._chunks(path):
                self._split(chunk, at, stem)
            path.unlink()
            waiting.extend(sorted(self.folder.glob(f"{stem}??"), reverse=True))

    def _chunks(self, path: Path) -> Iterator[Bytes2D]:
        size = max(READ // self.width, 1) * self.width
        with path.open("rb") as stream:
            while block := stream.read(size):
                yield np.frombuffer(block, np.uint8).reshape(-1, self.width)

    def _first_difference(self, path: Path) -> int | None:
        """Return the first byte in which rows of the file differ; None where all are equal."""
        first: Bytes2D | None = None
        found: int | None = None
        for chunk in self._chunks(path):
            first = chunk[0] if first is None else first
            until = self.width if found is None else found
            differs = np.flatnonzero((chunk[:, :until] != first[:until]).any(axis=0))
            if len(differs):
                found = int(differs[0])
        return found
