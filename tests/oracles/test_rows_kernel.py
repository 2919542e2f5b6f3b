"""The kernel that sorts, parts, cuts and names rows, against its plain twin, on rows that are hard to sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from safelight.native import _rows, rows_twin

KINDS = ("random", "all equal", "one prefix", "differ at the end", "two values", "ascending", "descending", "00 and ff", "one", "none")


def rows_of(kind: str, width: int, count: int = 5_000) -> NDArray[np.uint8]:
    """Return rows that are hard in the way that `kind` says."""
    rng = np.random.default_rng(width)
    rows = rng.integers(0, 256, (count, width), dtype=np.uint8)
    if kind == "all equal":
        rows[:] = 7
    if kind == "one prefix":
        rows[:, : width // 2] = 255
    if kind == "differ at the end":
        rows[:, :-1] = 3
    if kind == "two values":
        rows = np.where(rng.integers(0, 2, (count, 1)) == 1, np.uint8(254), np.uint8(0)).repeat(width, 1)
    if kind in ("ascending", "descending"):
        rows = rows_twin.sort(rows)[:: 1 if kind == "ascending" else -1]
    if kind == "00 and ff":
        rows = rng.choice(np.array([0, 255], np.uint8), (count, width))
    return np.ascontiguousarray(rows[: {"one": 1, "none": 0}.get(kind, count)])


@pytest.mark.parametrize("width", [9, 17, 24, 28, 40, 72])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_sorted_and_parted_as_the_twin_does(kind: str, width: int) -> None:
    """Sorted by all their bytes, and parted stably by any byte, whatever the skew."""
    rows = rows_of(kind, width)
    assert rows_twin.sort(rows).tobytes() == _rows.sort(rows, width)
    for at in (0, width - 1):
        want, edges = rows_twin.part(rows, at)
        assert (want.tobytes(), edges.tobytes()) == _rows.part(rows, width, at)


@pytest.mark.parametrize("width", [24, 28, 40])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [4, 8])
def test_sorted_rows_are_cut_as_the_twin_does(kind: str, width: int, number: int) -> None:
    """Keys, little-endian numbers, and how many keys differ from the one before, also from the last of the block before."""
    rows = rows_twin.sort(rows_of(kind, width, 300))
    for last in (b"", bytes(width - 8), rows[0].tobytes()[:-8] if len(rows) else b""):
        assert rows_twin.cut(rows, number, last) == _rows.cut(rows, width, number, last)


def test_rows_out_of_order_are_refused() -> None:
    """What is written as an index is in order, or it is not written."""
    with pytest.raises(ValueError, match="order"):
        _rows.cut(np.array([[9] * 16, [8] * 16], np.uint8), 16, 4, b"")
    with pytest.raises(ValueError, match="order"):
        _rows.cut(np.array([[8] * 16], np.uint8), 16, 4, bytes([9] * 8))


def test_the_fingerprint_is_the_published_one() -> None:
    """The published vector of SipHash-2-4-128 for 15 bytes under the key 00..0f (vectors.h of its authors)."""
    assert _rows.fingerprints(bytes(range(15)), 15, bytes(range(16))).hex() == "5493e99933b0a8117e08ec0f97cfc3d9"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(0, 5), st.binary(min_size=16, max_size=16), st.data())
def test_fingerprints_equal_the_twin(width: int, count: int, key: bytes, data: st.DataObject) -> None:
    """Any width, any key."""
    rows = np.frombuffer(data.draw(st.binary(min_size=width * count, max_size=width * count)), np.uint8).reshape(-1, width)
    assert rows_twin.fingerprints(rows, key).tobytes() == _rows.fingerprints(rows, width, key)


def test_impossible_sizes_are_refused() -> None:
    """Bytes that are no whole number of rows are an error."""
    for call in (
        lambda: _rows.sort(b"abc", 2),
        lambda: _rows.part(b"abcd", 2, 2),
        lambda: _rows.cut(b"abcd", 4, 4, b""),
        lambda: _rows.cut(bytes(16), 16, 5, b""),
        lambda: _rows.fingerprints(b"abc", 2, bytes(16)),
        lambda: _rows.fingerprints(b"ab", 2, bytes(15)),
    ):
        with pytest.raises(ValueError):
            call()
