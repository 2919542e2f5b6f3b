"""Fixed-width binary columns of Arrow batches as NumPy arrays, nulls apart; and the order that matching relies on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes2D = NDArray[np.uint8]
Bools = NDArray[np.bool_]


def fixed(column: Any, width: int) -> tuple[Bytes2D, Bools]:
    """Return ((n, width) bytes, valid) of a binary column; rows that are null are zero bytes and not valid."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    valid = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
    if len(column) == 0:
        return np.zeros((0, width), np.uint8), valid
    if column.null_count:
        column = column.fill_null(bytes(width))
    if column.type != pa.binary(width):
        column = column.cast(pa.binary(width))  # raises where a value has another width
    data = np.frombuffer(column.buffers()[1], np.uint8)
    start = column.offset * width
    return data[start : start + len(column) * width].reshape(-1, width), valid


def strings(keys: Bytes2D) -> NDArray[Any]:
    """View (n, width) bytes as n comparable values (fixed width, so NULs at the end do not matter)."""
    return np.ascontiguousarray(keys).view(f"S{keys.shape[1]}").reshape(-1)


class Ascending:
    """Checks that contents come in ascending SHA-256, each once, over all batches."""

    def __init__(self, what: str) -> None:
        self.what, self.last = what, b""

    def check(self, keys: Bytes2D) -> None:
        """Raise ValueError where the order is broken."""
        if not len(keys):
            return
        values = strings(keys)
        if bool((values[1:] <= values[:-1]).any()) or (self.last and keys[0].tobytes() <= self.last):
            raise ValueError(f"{self.what} must come in ascending order of sha256, each once")
        self.last = keys[-1].tobytes()
