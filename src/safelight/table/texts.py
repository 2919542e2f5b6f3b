"""Texts of a table: each by its number in a list (paths), or as a small code into a list of different texts (cameras, states, folders)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safelight.table.file import Array, Growing, Mapped, Scratch


class Texts:
    """Texts one behind the other in mapped memory: text n is `data[at[n]:at[n + 1]]` as UTF-8."""

    def __init__(self, at: Array, data: Array) -> None:
        self.at, self.data = at, data

    @classmethod
    def of(cls, file: Mapped, name: str) -> Texts:
        return cls(file.columns[f"{name}.at"], file.columns[f"{name}.text"])

    def __len__(self) -> int:
        return len(self.at) - 1

    def __getitem__(self, number: int) -> str:
        return self.data[int(self.at[number]) : int(self.at[number + 1])].tobytes().decode()

    def arrow(self) -> pa.LargeStringArray:
        """Return all texts as an Arrow array over the same memory."""
        return pa.LargeStringArray.from_buffers(len(self), pa.py_buffer(self.at), pa.py_buffer(self.data))


class Codes:
    """A column of few different texts: `code` by row (-1 for null) into `names`."""

    def __init__(self, code: Array, texts: Texts) -> None:
        self.code, self._texts = code, texts

    @classmethod
    def of(cls, file: Mapped, name: str) -> Codes:
        return cls(file.columns[name], Texts.of(file, name))

    @cached_property
    def names(self) -> list[str]:
        return [self._texts[n] for n in range(len(self._texts))]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: n for n, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        """Return the code of a name; -2 where no row has it."""
        return self._numbers.get(name, -2)

    def name(self, row: int) -> str | None:
        code = int(self.code[row])
        return self.names[code] if code >= 0 else None

    def among(self, names: list[str]) -> Array:
        """Return the rows of which the text is one of these; `none` is what has no text."""
        wanted = [n for n in (self.number(x) for x in names) if n >= 0]
        return among(self.code, [*wanted, -1] if "none" in names and "none" not in self._numbers else wanted)


def among(code: Array, wanted: list[int]) -> Array:
    """Return where small numbers are one of these. A few comparisons cost less than looking each number up."""
    if len(wanted) > 8:
        found: Array = np.isin(code, wanted)
        return found
    found = np.zeros(len(code), bool)
    for n in wanted:
        found |= code == n
    return found


class Dictionary:
    """Gives each different text the next code, in the order in which they come."""

    def __init__(self, names: list[str] | None = None) -> None:
        self._codes: dict[Any, int] = {name: n for n, name in enumerate(names or [])}

    def encode(self, column: Any) -> Array:
        """Return the codes of an Arrow column of texts; -1 for null."""
        encoded = one(column.dictionary_encode())
        local = np.array([self.code(x) for x in encoded.dictionary.to_pylist()] + [-1], np.int32)
        found: Array = local[pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy(zero_copy_only=False)]
        return found

    def code(self, key: Any) -> int:
        return self._codes.setdefault(key, len(self._codes))

    @property
    def names(self) -> list[Any]:
        return list(self._codes)


def one(column: Any) -> Any:
    """Return a column in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def listed(name: str, texts: list[str]) -> dict[str, Array]:
    """Return the two columns of a list of texts."""
    raw = [t.encode() for t in texts]
    at = np.zeros(len(raw) + 1, np.int64)
    np.cumsum([len(r) for r in raw], out=at[1:])
    return {f"{name}.at": at, f"{name}.text": np.frombuffer(b"".join(raw), np.uint8)}


def coded(scratch: Scratch, name: str, code: Array, names: list[str]) -> dict[str, Array]:
    """Return the columns of codes (i4) with their list, the codes as small as the list allows."""
    small = "<i1" if len(names) < 1 << 7 else "<i2" if len(names) < 1 << 15 else "<i4"
    narrow = scratch.growing(f"{name}.narrow", small)
    for part in scratch.pieces(len(code)):
        narrow.add(code[part])
    return {name: narrow.close(), **listed(name, names)}


class GrowingTexts:
    """A list of texts that grows by Arrow pieces without nulls."""

    def __init__(self, scratch: Scratch, name: str) -> None:
        self.name = name
        self._at: Growing = scratch.growing(f"{name}.at", "<i8")
        self._data: Growing = scratch.growing(f"{name}.text", "u1")
        self._at.add(np.zeros(1, np.int64))

    def add(self, offsets: Array, data: Array) -> None:
        """Append the texts of `parts_of`."""
        self._at.add(offsets[1:].astype(np.int64) + self._data.rows)
        self._data.add(data)

    def close(self) -> dict[str, Array]:
        return {f"{self.name}.at": self._at.close(), f"{self.name}.text": self._data.close()}


def parts_of(column: Any) -> tuple[Array, Array]:
    """Return offsets (n + 1, from 0) and bytes of an Arrow column of texts without nulls."""
    array = one(column)
    if not len(array):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = array.buffers()
    at = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    return at - at[0], (np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8))[at[0] : at[-1]]


def folders_of(offsets: Array, data: Array) -> pa.StringArray:
    """Return the folder of each path with its slash at the end, empty for a path without one."""
    slashes = np.flatnonzero(data == ord("/"))
    before = np.searchsorted(slashes, offsets[1:]) - 1
    last = slashes[np.maximum(before, 0)] if len(slashes) else np.full(len(before), -1)
    inside = (before >= 0) & (last >= offsets[:-1])
    lengths = np.where(inside, last + 1 - offsets[:-1], 0)
    at = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=at[1:])
    source = np.repeat(offsets[:-1] - at[:-1], lengths) + np.arange(int(at[-1]))
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(at), pa.py_buffer(data[source]))
