"""The orders that follow from the evidence alone, as lists of all rows: by place, time, size, camera. Ties stand in the order of places."""

from __future__ import annotations

import itertools

import numpy as np

from safelight.table.file import Array, Scratch
from safelight.table.ordering import stable_order

_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
_SIGN = np.int64(np.iinfo(np.int64).min)


def orders(scratch: Scratch, c: dict[str, Array]) -> None:
    """Add `order_path`, `order_time`, `order_size` and `order_camera` to the columns."""
    rows = len(c["first"])
    path, time, size, serial, camera = (
        scratch.array(f"order_{name}", "<i4", rows) for name in ("path", "time", "size", "serial", "camera")
    )
    _by_place(scratch, c["first"], len(c["content"]), path)
    stable_order(scratch, path, lambda r: _ascending(c["when"][r]), time)
    stable_order(scratch, path, lambda r: _LAST - c["size"][r].astype(np.uint64), size)
    place = _places_of_names(c)
    stable_order(scratch, time, lambda r: (c["serial"][r].astype(np.int64) + 1).astype(np.uint64), serial)
    stable_order(scratch, serial, lambda r: place[c["camera"][r]].astype(np.uint64), camera)
    c |= {"order_path": path, "order_time": time, "order_size": size, "order_camera": camera}
    scratch.rest()


def _ascending(when: Array) -> Array:
    """Return times as unsigned keys; without a time last."""
    found: Array = np.where(when == _SIGN, _LAST, (when ^ _SIGN).view(np.uint64))
    return found


def _by_place(scratch: Scratch, first: Array, items: int, out: Array) -> None:
    """Write the rows in the order of their first places."""
    row_at = scratch.array("row_at", "<i4", items, -1)
    for part in scratch.pieces(len(first)):
        row_at[first[part]] = np.arange(part.start, part.stop)
    at = 0
    for part in scratch.pieces(items):
        rows = row_at[part][row_at[part] >= 0]
        out[at : at + len(rows)] = rows
        at += len(rows)


def _places_of_names(c: dict[str, Array]) -> Array:
    """Return where each camera stands among the cameras by name; the last is for none."""
    at, text = c["camera.at"], c["camera.text"].tobytes()
    names = [text[a:b].decode() for a, b in itertools.pairwise(at)]
    found = np.zeros(len(names) + 1, np.int64)
    found[np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)] = np.arange(len(names))
    found[-1] = len(names)
    return found
