"""Stacks: near, never chained, independent of the order of input."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelight import records
from safelight.facts.writer import TableWriter
from safelight.match import pdq
from safelight.native import _stacks
from safelight.native.hamming_twin import distances
from safelight.stack import leaders as leading
from safelight.stack import step
from safelight.stack.leaders import leaders, led, plain_leaders, updated
from safelight.stack.stacks import Stacked, before_of, read_pictures, stack_batches, stack_pictures, stacks


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

    assert [Stacked(name(n), name(3), 0, 3, rank + 1, ones(100)) for rank, n in enumerate((3, 5, 9))] == stacks([picture_table(rows)])


def test_low_quality_is_never_stacked() -> None:
    """Equal hashes of quality 49 stay apart."""
    found = stacks([picture_table([(name(1), ones(3), 49), (name(2), ones(3), 49), (name(3), ones(3), 50)])])

    assert [(name(n), name(n), 0, 1, 1, ones(3) if n == 3 else None) for n in (1, 2, 3)] == found


def test_nothing_gives_nothing_and_a_content_twice_is_an_error() -> None:
    """No pictures give no rows; the same content twice is wrong use."""
    assert stacks([]) == []
    with pytest.raises(ValueError):
        stacks([picture_table([(name(1), None, None), (name(1), None, None)])])


def test_rows_fit_the_table() -> None:
    """The rows become batches of the stacks table."""
    found = stack_pictures(read_pictures([picture_table([(name(n), ones(n), 90) for n in range(10)])]))
    batches = list(stack_batches(found, 4))

    assert sum(b.num_rows for b in batches) == 10
    assert records.schema("stacks") == batches[0].schema


def test_the_largest_then_sharpest_member_is_shown_first() -> None:
    """Ranks follow pixels, then PDQ quality, then the smallest SHA-256, and do not change who represents the stack."""
    given_rows = [(1, 60, 10, 10), (2, 90, 20, 5), (3, 80, 30, 30), (4, 95, 30, 30), (5, 95, 30, 30), (6, 100, None, None)]
    table = picture_table([(name(n), ones(n), quality) for n, quality, _, _ in given_rows])
    table = table.append_column("width", pa.array([r[2] for r in given_rows], pa.int32()))
    table = table.append_column("height", pa.array([r[3] for r in given_rows], pa.int32()))
    rows = stacks([table])

    assert [name(n) for n in (4, 5, 3, 2, 1, 6)] == [r.sha256 for r in sorted(rows, key=lambda r: r.rank)]
    # 6 ones in front is the largest string of bytes; the smallest leads
    assert {r.stack for r in rows} == {name(1)}


clustered = st.builds(
    lambda seed, count, spread: np.stack([
        np.packbits(np.random.default_rng([seed, n % 4]).integers(0, 2, 256, dtype=np.uint8)
                    ^ (np.random.default_rng([seed, n, 7]).random(256) < spread).astype(np.uint8)) for n in range(count)]),
    st.integers(0, 1 << 30), st.integers(1, 60), st.sampled_from([0.01, 0.05, 0.08, 0.12]),
)  # fmt: skip


def distinct(hashes: np.ndarray) -> np.ndarray:
    return hashes[pdq.collapse(hashes)[0]]


@settings(max_examples=150, deadline=None)
@given(clustered, st.randoms(use_true_random=False), st.sampled_from([0, 8, 31]))
def test_an_update_equals_doing_it_all(hashes: np.ndarray, random: object, distance: int) -> None:
    """Hashes come and go in any order; what is updated step by step is what a full rebuild says at each step."""
    hashes = distinct(hashes)
    numbers = list(range(len(hashes)))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    cuts = [numbers[: len(numbers) // 3], numbers[: len(numbers) * 2 // 3], numbers[len(numbers) // 4 :], numbers]
    before, said = hashes[:0], led(hashes[:0], distance)
    for cut in cuts:
        now = hashes[np.sort(np.array(cut, np.int64))]
        fresh, found = led(now, distance), updated(before, said, now, distance)
        assert [fresh.lead.tolist(), fresh.bits.tolist()] == [found.lead.tolist(), found.bits.tolist()]
        assert plain_leaders(now, distance).tolist() == (fresh.lead == np.arange(len(now))).tolist()
        before, said = now, found


def test_an_update_leaves_untouched_stacks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only hashes in components that the new ones touch are stacked again."""
    rng = np.random.default_rng(2)
    hashes = distinct(rng.integers(0, 256, (4000, 32), dtype=np.uint8))
    near = hashes[[5, 77]].copy()
    near[:, 31] ^= 3
    now = distinct(np.concatenate([hashes, near]))
    said, again, real = led(hashes, 31), [], leading.led
    monkeypatch.setattr(leading, "led", lambda part, d: (again.append(len(part)), real(part, d))[1])

    found = updated(hashes, said, now, 31)
    assert again == [4]
    assert int((found.lead != np.arange(len(now))).sum()) == 2


def test_a_hot_spot_is_settled_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand variants of one template, with more pairs than are held at once: the same leaders as one by one."""
    rng = np.random.default_rng(4)
    flips = rng.random((2000, 256)) < 0.06
    hashes = distinct(np.packbits(flips, axis=1))
    want = plain_leaders(hashes, 31)
    most: list[int] = []
    monkeypatch.setattr(pdq, "MOST_PAIRS", 20_000)
    real = pdq.unpacked
    monkeypatch.setattr(pdq, "unpacked", lambda pairs, start=0: (most.append(len(pairs)), real(pairs, start))[1])
    for piece in (10_000, 300):
        monkeypatch.setattr(leading, "PIECE", piece)
        assert want.tolist() == leaders(hashes, 31).tolist()
    assert max(most) <= 20_000


def test_what_was_stacked_is_read_back_from_its_table() -> None:
    """Stacks as written give the same leaders again, pictures without a hash and equal hashes included; a table that contradicts itself is refused."""
    rng = np.random.default_rng(6)
    given_rows = [(name(n), np.packbits(rng.random(256) < 0.05).tobytes(), 60) for n in range(50)]
    given_rows += [(name(60), given_rows[3][1], 90), (name(61), None, None), (name(62), ones(3), 10)]
    pictures = read_pictures([picture_table(given_rows)])
    table = pa.Table.from_batches(list(stack_batches(stack_pictures(pictures))))
    before = before_of(table.column)
    want = led(before.hashes, 31)

    assert [want.lead.tolist(), want.bits.tolist()] == [before.said.lead.tolist(), before.said.bits.tolist()]
    more = read_pictures([picture_table([*given_rows, (name(70), ones(9), 70)])])
    for old in (before, None):
        assert list(stack_batches(stack_pictures(more, before=old))) == list(stack_batches(stack_pictures(more)))
    for column, value in (("stack", name(99)), ("stack", name(61)), ("stack", name(7))):
        changed = table.to_pylist()
        changed[4][column] = value
        with pytest.raises(ValueError, match="stacks"):
            before_of(pa.Table.from_pylist(changed, schema=table.schema).column)


def test_pairs_out_of_order_are_refused() -> None:
    """The kernel that decides who leads checks its pairs: in order, each with an earlier hash that is there."""
    for pairs in ([5 << 40 | 1 << 8, 4 << 40 | 1 << 8], [1 << 40 | 1 << 8], [1 << 40 | 2 << 8], [9 << 40]):
        with pytest.raises(ValueError, match="pairs"):
            _stacks.decide(np.array(pairs, np.uint64), np.ones(9, np.uint8))


def test_stacks_of_before_are_used_only_as_the_ledger_knows_them(tmp_path: Path) -> None:
    """What the ledger says was made by the same rules, and is unchanged, is built upon; another distance, other rules or other bytes are not."""
    rng = np.random.default_rng(8)
    given_rows = [(name(n), np.packbits(rng.random(256) < 0.05).tobytes(), 60) for n in range(30)]
    found = stack_pictures(read_pictures([picture_table(given_rows)]))
    path = tmp_path / "stacks.parquet"
    writer = TableWriter(path, "stacks")
    for batch in stack_batches(found):
        writer.add_table(pa.Table.from_batches([batch]))
    written = writer.close()
    said = {"distance": 31, "quality_gate": 50, "rules": step.RULES, "folder": f"stacks/{step.STEP}"}

    def case(**more: object) -> Any:
        entry = {**said, "files": {"stacks.parquet": [written.rows, written.sha256, written.logical]}, **more}
        return SimpleNamespace(ledger=SimpleNamespace(entries=lambda: iter([{"folder": "other"}, entry])))

    before = step._before(case(), path, 31)
    assert before is not None
    assert before.said.lead.tolist() == led(before.hashes, 31).lead.tolist()
    assert step._before(case(), path, 30) is None
    assert step._before(case(rules=step.RULES - 1), path, 31) is None
    assert step._before(case(folder="other"), path, 31) is None
    path.write_bytes(path.read_bytes() + b"x")
    assert step._before(case(), path, 31) is None
