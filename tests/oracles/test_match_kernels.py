"""The kernels of matching against their plain twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kits import matcher_kit
from safelight.match import pdq
from safelight.match.digests import bits_for, expand, lookup, plain_lookup, prefix_table
from safelight.match.spill import sort_rows
from safelight.native import _digestset, _hamming
from safelight.native.hamming_twin import join as plain_join

WAYS = [
    w
    for w in ("portable", "avx2", "avx512")
    if w in {"avx512": ("portable", "avx2", "avx512"), "avx2": ("portable", "avx2"), "portable": ("portable",)}[_hamming.level()]
]


@pytest.mark.parametrize("way", [*WAYS, "brute", "bands", ""])
@pytest.mark.parametrize("distance", [0, 1, 15, 16, 31, 32, 47])
def test_every_way_gives_the_pairs_of_the_plain_twin(way: str, distance: int) -> None:
    """Brute force at each instruction set and the bands find the same pairs as NumPy, on adversarial data."""
    matcher_kit.hold_to_twin(lambda q, e, d: pdq.join(q, e, d, way=way), distance)


@pytest.mark.parametrize("distance", [48, 64, 255])
def test_distances_beyond_the_bands_are_compared_in_full(distance: int) -> None:
    """Distances up to 64 and beyond are served by brute force."""
    matcher_kit.hold_to_twin(lambda q, e, d: pdq.join(q, e, d), distance)


@pytest.mark.parametrize("way", ["brute", "bands"])
def test_an_edge_of_31_bits_is_found_and_32_is_not(way: str) -> None:
    """Pairs that differ in exactly 31 bits, spread evenly over all bands, are found; with 32 they are not."""
    base = np.random.default_rng(1).integers(0, 256, (200, 32), dtype=np.uint8)
    at31 = np.stack([matcher_kit.flipped(h, matcher_kit.evenly(31)) for h in base])
    at32 = np.stack([matcher_kit.flipped(h, matcher_kit.evenly(32)) for h in base])

    q, e, d = pdq.join(base, at31, 31, way=way)
    assert (list(range(200)), list(range(200)), {31}) == (q.tolist(), e.tolist(), set(d.tolist()))
    assert len(pdq.join(base, at32, 31, way=way)[0]) == 0


@pytest.mark.parametrize("way", ["brute", "bands"])
def test_self_join_gives_each_pair_once(way: str) -> None:
    """The self-join is the twin's join without i = j and without repeats, also over clusters."""
    for _, entries in matcher_kit.adversarial().values():
        q, e, d = plain_join(entries, entries, 31)
        below = e < q

        found = pdq.self_join(entries, 31, way=way)
        assert [x[below].tolist() for x in (q, e, d)] == [x.tolist() for x in found]


@pytest.mark.parametrize("way", ["brute", "bands"])
def test_a_flood_of_pairs_is_given_in_bounded_pieces(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more pairs than one call may hold, the queries are split and nothing is lost."""
    monkeypatch.setattr(pdq, "MOST_PAIRS", 5000)
    hashes = np.zeros((300, 32), np.uint8)

    pieces = list(pdq.join_batches(hashes, hashes, 31, way=way))
    assert sum(len(p[0]) for p in pieces) == 300 * 300
    assert max(len(p[0]) for p in pieces) <= 5000
    assert list(range(300)) == sorted({int(q) for p in pieces for q in p[0]})


def test_wrong_shapes_and_distances_are_refused() -> None:
    """Hashes of another width, or a distance out of range, are an error and not an answer."""
    good = np.zeros((1, 32), np.uint8)
    with pytest.raises(ValueError):
        pdq.join(np.zeros((1, 31), np.uint8), good)
    with pytest.raises(ValueError):
        pdq.join(good, good, 256)
    with pytest.raises(ValueError):
        _hamming.brute(b"x", good, 31, -1, 10, "")
    with pytest.raises(ValueError):
        _hamming.brute(good, good, 256, -1, 10, "")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_look_up_equals_the_linear_scan(data: st.DataObject) -> None:
    """The look-up finds exactly what a search over the sorted keys finds, duplicates included, for each width."""
    width = data.draw(st.sampled_from([16, 20, 32, 64]))
    alphabet = st.binary(min_size=1, max_size=1).map(lambda b: b * (width - 2))
    key = st.tuples(st.binary(min_size=1, max_size=1), alphabet, st.sampled_from([b"\0", b"\1", b"\xff"])).map(b"".join)
    keys = sorted(data.draw(st.lists(key, max_size=60)))
    queries = data.draw(st.lists(key, max_size=30)) + keys[:5]
    k = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, width)
    q = np.frombuffer(b"".join(queries), np.uint8).reshape(-1, width)
    bits = data.draw(st.sampled_from([0, 1, bits_for(len(keys)), 12]))

    first, count = lookup(k, prefix_table(k, bits), bits, q)
    assert [keys.count(x) for x in queries] == count.tolist()
    pairs = list(zip(*(x.tolist() for x in expand(first, count)), strict=True))
    assert [(n, row) for n, x in enumerate(queries) for row, y in enumerate(keys) if x == y] == pairs
    plain = plain_lookup(k, q)
    assert plain[1].tolist() == count.tolist()
    assert plain[0][count > 0].tolist() == first[count > 0].tolist()


def test_a_table_that_contradicts_its_keys_is_refused() -> None:
    """Starts beyond the keys are refused, never followed."""
    keys = np.sort(np.random.default_rng(3).integers(0, 256, (100, 16), dtype=np.uint8), axis=0)
    table = prefix_table(keys, 4)
    table[5] = 1 << 40
    with pytest.raises(ValueError, match="contradicts"):
        lookup(keys, table, 4, keys)


EDGES = [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1]
"""First 8 bytes at the edges of 64 bits."""


def hard_keys(kind: str, width: int) -> np.ndarray:
    """Return sorted keys that are hard: at the edges of 64 bits, all equal, one prefix, clusters with gaps, one, none."""
    rng = np.random.default_rng(width)
    rows = rng.integers(0, 256, (4000, width), dtype=np.uint8)
    if kind == "edges":
        heads = [e.to_bytes(8, "big") for e in EDGES]
        tails = [bytes(width - 8), bytes(width - 9) + b"\1", b"\xff" * (width - 8)]
        rows = np.frombuffer(b"".join(h + t for h in heads for t in tails), np.uint8).reshape(-1, width)
    if kind == "all equal":
        rows = np.full((3000, width), 0xAB, np.uint8)
    if kind == "one prefix":
        rows[:, :9] = 7
    if kind == "clusters":
        rows[:, :2] = rng.choice(np.array([0, 3, 255], np.uint8), (4000, 2))
        rows[::5] = rows[0]
    if kind == "00 and ff":
        rows = np.concatenate([np.zeros((5, width), np.uint8), np.full((5, width), 255, np.uint8)])
    rows = rows[: {"one": 1, "none": 0}.get(kind, len(rows))]
    return np.ascontiguousarray(rows[np.lexsort(rows.T[::-1])]) if len(rows) else rows


@pytest.mark.parametrize("width", [16, 20, 32, 64])
@pytest.mark.parametrize("kind", ["random", "edges", "all equal", "one prefix", "clusters", "00 and ff", "one", "none"])
def test_hard_keys_are_found_as_a_dictionary_finds_them(kind: str, width: int) -> None:
    """Each key, its neighbours on both sides, first and last possible keys: places and counts are those of the plain search."""
    keys = hard_keys(kind, width)
    numbers = {int.from_bytes(k.tobytes(), "big") for k in keys[:600]} | {0, (1 << 8 * width) - 1}
    near = sorted({m for n in numbers for m in (n - 1, n, n + 1) if 0 <= m < 1 << 8 * width})
    queries = np.frombuffer(b"".join(m.to_bytes(width, "big") for m in near), np.uint8).reshape(-1, width)
    for bits in (0, 1, bits_for(len(keys)), 11):
        first, count = lookup(keys, prefix_table(keys, bits), bits, queries)
        wanted_first, wanted = plain_lookup(keys, queries)
        assert (wanted.tolist(), wanted_first[wanted > 0].tolist()) == (count.tolist(), first[wanted > 0].tolist())


@pytest.mark.parametrize("damage", ["shifted", "swapped", "empty", "all in the first", "of other keys"])
def test_a_wrong_table_never_gives_a_wrong_answer(damage: str) -> None:
    """A table that is in order and fits in size, but is not that of the keys: refused, or every answer is still right."""
    rng = np.random.default_rng(9)
    keys = hard_keys("random", 16)
    bits = bits_for(len(keys))
    table = prefix_table(keys, bits)
    if damage == "shifted":
        table[1:-1] += 1
    if damage == "swapped":
        table[3:5] = table[3:5][::-1]
    if damage == "empty":
        table[:-1] = len(keys)
    if damage == "all in the first":
        table[1:] = len(keys)
    if damage == "of other keys":
        table = prefix_table(hard_keys("clusters", 16), bits)
    queries = np.concatenate([keys, rng.integers(0, 256, (2000, 16), dtype=np.uint8)])
    refused = 0
    for n in range(0, len(queries), 10):
        try:
            _, count = lookup(keys, table, bits, queries[n : n + 10])
        except ValueError:
            refused += 1
            continue
        assert plain_lookup(keys, queries[n : n + 10])[1].tolist() == count.tolist()
    assert refused > 0


def test_the_table_is_the_same_in_pieces() -> None:
    """Tables of a set are written while sorted keys pass, block by block, and are those of the keys at once."""
    import io

    from safelight.match.indexes import _Table

    for kind in ("random", "edges", "clusters", "one prefix", "one"):
        keys = hard_keys(kind, 20)
        for bits in (0, 3, 9):
            for size in (1, 7, 5000):
                out = io.BytesIO()
                table = _Table(out, bits)
                for at in range(0, len(keys), size):
                    table.add(keys[at : at + size])
                table.close()
                assert prefix_table(keys, bits).astype("<u8").tobytes() == out.getvalue()


@pytest.mark.parametrize("width", [16, 32])
def test_a_large_batch_is_answered_in_the_order_of_its_queries(width: int) -> None:
    """Batches that are parted by their first bits inside the kernel give each query its own answer, duplicates and all."""
    rng = np.random.default_rng(11)
    rows = rng.integers(0, 256, ((33 << 20) // width, width), dtype=np.uint8)
    rows[:40] = rows[40]  # duplicates
    rows[50:90, :12] = rows[50, :12]  # one head, different ends
    keys = sort_rows(rows)
    queries = np.concatenate([rows[:3000], keys[:20], keys[-20:], rng.integers(0, 256, (3000, width), dtype=np.uint8)])
    queries[-10:, :12] = rows[50, :12]
    rng.shuffle(queries)
    bits = bits_for(len(keys))

    first, count = lookup(keys, prefix_table(keys, bits), bits, queries)
    wanted_first, wanted = plain_lookup(keys, queries)
    assert wanted.tolist() == count.tolist()
    assert wanted_first[wanted > 0].tolist() == first[wanted > 0].tolist()
    assert wanted.max() == 41


def test_answers_that_have_no_room_are_refused() -> None:
    """The kernel writes where the caller says, and nowhere else."""
    keys = hard_keys("random", 16)
    room, short = np.zeros(len(keys), np.int64), np.zeros(len(keys) - 1, np.int64)
    for first, count in ((short, room), (room, short)):
        with pytest.raises(ValueError, match="do not fit together"):
            _digestset.lookup(keys, 16, prefix_table(keys, 4), 4, keys, first, count)
