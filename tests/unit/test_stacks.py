"""Stacks: near, never chained, independent of the order of input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelight import records
from safelight.native.hamming_twin import distances
from safelight.stack.stacks import Stacked, stack_batches, stacks


def name(n: int) -> bytes:
    return n.to_bytes(32, "big")


def picture_table(rows: list[tuple[bytes, bytes | None, int | None]]) -> pa.Table:
    schema = pa.schema([("sha256", pa.binary(32)), ("pdq", pa.binary(32)), ("pdq_quality", pa.int16())])
    return pa.table(dict(zip(schema.names, [list(c) for c in zip(*rows, strict=True)] or [[], [], []], strict=True)), schema=schema)


def ones(number: int) -> bytes:
    return np.packbits(np.arange(256) < number).tobytes()


def plain_stacks(rows: list[tuple[bytes, bytes | None, int | None]]) -> dict[bytes, tuple[bytes, int]]:
    """The definition, spelt out: leaders in ascending hash order, then the nearest leader."""
    good = sorted((p, s) for s, p, q in rows if p is not None and q is not None and q >= 50)
    first: dict[bytes, bytes] = {}
    for p, s in good:
        first.setdefault(p, s)
    bits = {(a, b): int(distances(np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8)[None])[0]) for a in first for b in first}
    leaders: list[bytes] = []
    for p in sorted(first):
        if all(bits[p, leader] > 31 for leader in leaders):
            leaders.append(p)
    found = {s: (s, 0) for s, _, _ in rows}
    for p, s in good:
        leader = min(leaders, key=lambda x: (bits[p, x], x))
        found[s] = (first[leader], bits[p, leader])
    return found


hashes = st.builds(lambda base, flips: bytes(b ^ f for b, f in zip(base, flips, strict=True)),
                   st.sampled_from([bytes(32), b"\xff" * 32, b"\x0f" * 32]),
                   st.lists(st.sampled_from([0, 0, 1, 3, 255]), min_size=32, max_size=32))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(hashes | st.none(), st.sampled_from([None, 0, 49, 50, 100])), max_size=40), st.randoms())
def test_stacks_follow_the_definition_in_any_order(given_rows: list[tuple[bytes | None, int | None]], random: object) -> None:
    """The stacks are those of the plain definition, whatever the order of the pictures."""
    rows = [(name(n), p, q) for n, (p, q) in enumerate(given_rows)]
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    found = stacks([picture_table(shuffled)])
    assert plain_stacks(rows) == {r.sha256: (r.stack, r.distance) for r in found}
    assert found == stacks([picture_table(rows[: len(rows) // 2]), picture_table(rows[len(rows) // 2 :])])
    sizes = {s: sum(r.stack == s for r in found) for s in {r.stack for r in found}}
    assert all(sizes[r.stack] == r.size and r.distance <= 31 for r in found)


def test_a_pan_does_not_chain() -> None:
    """Sixty frames, each 5 bits from the next: no member is more than 31 bits from its representative."""
    rows = [(name(n), ones(4 * n), 100) for n in range(60)]
    found = stacks([picture_table(rows)])

    assert len({r.stack for r in found}) > 1
    assert max(r.distance for r in found) <= 31


def test_equal_hashes_are_one_stack_led_by_the_smallest_content() -> None:
    """Pictures with one hash collapse to one stack, named by the smallest SHA-256."""
    rows = [(name(n), ones(100), 80) for n in (5, 3, 9)]

    assert [Stacked(name(n), name(3), 0, 3) for n in (3, 5, 9)] == stacks([picture_table(rows)])


def test_low_quality_is_never_stacked() -> None:
    """Equal hashes of quality 49 stay apart."""
    found = stacks([picture_table([(name(1), ones(3), 49), (name(2), ones(3), 49), (name(3), ones(3), 50)])])

    assert [(name(n), name(n), 0, 1) for n in (1, 2, 3)] == found


def test_nothing_gives_nothing_and_a_content_twice_is_an_error() -> None:
    """No pictures give no rows; the same content twice is wrong use."""
    assert stacks([]) == []
    with pytest.raises(ValueError):
        stacks([picture_table([(name(1), None, None), (name(1), None, None)])])


def test_rows_fit_the_table() -> None:
    """The rows become batches of the stacks table."""
    rows = stacks([picture_table([(name(n), ones(n), 90) for n in range(10)])])
    batches = list(stack_batches(rows, 4))

    assert sum(b.num_rows for b in batches) == 10
    assert records.schema("stacks") == batches[0].schema
