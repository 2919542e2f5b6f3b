"""The kernel of bands against its plain twins and against brute force: each distance, each instruction set, data made to break it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kits import matcher_kit
from safelight.match import pdq
from safelight.match.pdq_bands import bands_for, packed, radii, reach, widths
from safelight.native import _bands, bands_twin
from safelight.native.hamming_twin import join as plain_join

BEST = _bands.level()
LEVELS = {"avx512": ["portable", "avx2", "avx512"], "avx2": ["portable", "avx2"], "neon": ["portable", "neon"], "portable": ["portable"]}[
    BEST
]
COUNTS = (11, 13, 14, 16)
Hashes = matcher_kit.Hashes


def spread(number: int, count: int) -> list[int]:
    """Return `number` bits spread over `count` bands as evenly as can be: the worst case of the pigeonhole argument."""
    starts = np.concatenate([[0], np.cumsum(widths(count))])
    return [int(starts[n % count]) + n // count for n in range(number)]


def boundaries() -> Hashes:
    """Return hashes whose keys are the first, the last, and those beside a power of two in every band."""
    rows = [np.zeros(32, np.uint8), np.full(32, 255, np.uint8)]
    for bits in ([0], [255], [63, 64], [127, 128], [191, 192], list(range(0, 256, 2)), list(range(128)), list(range(1, 256))):
        rows += [matcher_kit.flipped(rows[0], bits), matcher_kit.flipped(rows[1], bits[:3])]
    return np.stack(rows)


def pairs(found: bytes | None) -> list[tuple[int, ...]]:
    assert found is not None
    return sorted(zip(*(x.tolist() for x in pdq.unpacked(np.frombuffer(found, np.uint64))), strict=True))


def ordered(hashes: Hashes, count: int, band: int) -> tuple[np.ndarray, np.ndarray]:
    cut = widths(count)
    starts, numbers = np.empty((1 << cut[band]) + 1, np.uint32), np.empty(len(hashes), np.uint32)
    _bands.order(hashes, sum(cut[:band]), cut[band], starts, numbers)
    return starts, numbers


def whole_query(queries: Hashes, entries: Hashes, distance: int, count: int) -> pdq.Pairs:
    """Search by single accesses in a file that is made here."""
    arrays = [a for band in range(count) for a in ordered(entries, count, band)]
    places = np.concatenate([[0], np.cumsum([a.nbytes for a in arrays])])[:-1]
    plan = packed(widths(count), radii(distance, count))
    found = _bands.query(queries, entries, np.concatenate(arrays).view(np.uint8), places.astype(np.int64), plan, distance, 1 << 30, 1 << 40)
    assert found is not None
    return pdq.unpacked(np.sort(np.frombuffer(found, np.uint64)))


@pytest.mark.parametrize("count", [12, 16, 19, 256])
def test_the_order_of_a_band_is_that_of_the_twin(count: int) -> None:
    """Starts and numbers of each band equal a stable sort by NumPy; bands across words and of one bit too."""
    hashes = np.concatenate([boundaries(), np.random.default_rng(1).integers(0, 256, (3000, 32), dtype=np.uint8)])
    hashes = np.concatenate([hashes, hashes[:500]])
    for band in range(0, count, max(1, count // 20)):
        for want, got in zip(bands_twin.order(hashes, widths(count), band), ordered(hashes, count, band), strict=True):
            assert np.array_equal(want, got), (count, band)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("count", [13, 20])
def test_each_band_gives_the_pairs_of_the_twin(level: str, count: int) -> None:
    """Band by band the same pairs as the twin, in any number of parts, whether the order is given or made."""
    for name, (queries, entries) in matcher_kit.adversarial().items():
        for distance in (3, 31, 45):
            chosen = radii(distance, count)
            for band in [b for b, r in enumerate(chosen) if r >= 0][:: 1 + count // 4]:
                want = [tuple(r) for r in bands_twin.join(queries, entries, widths(count), chosen, band, distance).tolist()]
                plan, (starts, numbers) = packed(widths(count), chosen), ordered(entries, count, band)
                got = pairs(_bands.join(queries, entries, b"", b"", plan, band, distance, -1, 0, 1, 1 << 30, level))
                parts = [_bands.join(queries, entries, starts, numbers, plan, band, distance, -1, k, 3, 1 << 30, level) for k in range(3)]
                assert want == got == sorted(p for part in parts for p in pairs(part)), f"{name}, {distance}, band {band}"


@pytest.mark.parametrize("distance", range(65))
def test_batch_self_join_and_query_find_all_pairs_at_each_distance(distance: int) -> None:
    """At each distance from 0 to 64 the batch, the self-join and the single query equal brute force on adversarial data."""
    rng = np.random.default_rng(distance)
    base = rng.integers(0, 256, (6, 32), dtype=np.uint8)
    near = [matcher_kit.flipped(h, spread(bits, m)) for h in base for bits in (distance, distance + 1) for m in COUNTS]
    near += [matcher_kit.flipped(h, list(rng.choice(256, bits, replace=False))) for h in base for bits in (distance, distance + 1)]
    entries = np.concatenate([np.stack(near), boundaries(), base[:2], base[:2]])
    queries = np.concatenate([base, boundaries()])
    want = plain_join(queries, entries, distance)

    assert {distance, distance + 1} <= set(plain_join(base, np.stack(near), distance + 1)[2].tolist())
    plan, chosen = packed(widths(20), radii(distance, 20)), radii(distance, 20)
    batch = [
        p
        for b, r in enumerate(chosen)
        if r >= 0
        for p in pairs(_bands.join(queries, entries, b"", b"", plan, b, distance, -1, 0, 1, 1 << 30, ""))
    ]
    assert sorted(zip(*(x.tolist() for x in want), strict=True)) == sorted(batch)
    for found in (pdq.join(queries, entries, distance, way="bands"), whole_query(queries, entries, distance, 16)):
        assert [x.tolist() for x in want] == [x.tolist() for x in found]
    q, e, d = plain_join(entries, entries, distance)
    assert [x[e < q].tolist() for x in (q, e, d)] == [x.tolist() for x in pdq.self_join(entries, distance, way="bands")]


@pytest.mark.parametrize("count", COUNTS)
def test_an_edge_spread_over_any_bands_is_found_and_one_beyond_is_not(count: int) -> None:
    """Pairs that differ in exactly 31 bits spread evenly over the bands are found by batch and query; with 32 they are not."""
    base = np.random.default_rng(count).integers(0, 256, (40, 32), dtype=np.uint8)
    at31, at32 = (np.stack([matcher_kit.flipped(h, spread(bits, count)) for h in base]) for bits in (31, 32))

    found = whole_query(base, at31, 31, count)
    assert (list(range(40)), list(range(40)), {31}) == (found[0].tolist(), found[1].tolist(), set(found[2].tolist()))
    assert len(whole_query(base, at32, 31, count)[0]) == 0


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_small_data_gives_the_pairs_of_the_twin(data: st.DataObject) -> None:
    """Clusters around few centres, any distance and number of bands: batch and query equal their twin, and that equals brute force."""
    seed, distance = data.draw(st.integers(0, 1 << 32)), data.draw(st.integers(0, 64))
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (3, 32), dtype=np.uint8)
    sizes = rng.integers(0, data.draw(st.sampled_from([2, 40, 70])), 60)
    rows = np.stack([matcher_kit.flipped(centres[n % 3], list(rng.choice(256, s, replace=False))) for n, s in enumerate(sizes)])
    queries, entries = rows[: data.draw(st.integers(0, 20))], rows[data.draw(st.integers(10, 60)) :]
    chosen = radii(distance, 16)
    want = bands_twin.query(queries, entries, widths(16), chosen, distance).tolist()

    plain = plain_join(queries, entries, distance)
    assert want == np.stack([plain[0], plain[1], plain[2]], axis=1).tolist()
    for found in (pdq.join(queries, entries, distance, way="bands"), whole_query(queries, entries, distance, 16)):
        assert want == np.stack(found, axis=1).tolist()


def test_many_rows_of_one_key_are_compared_in_pieces() -> None:
    """A hundred thousand distinct hashes with the same first 240 bits: more rows of a key than a block holds, and none is lost."""
    entries = np.zeros((65_536, 32), np.uint8)
    entries[:, 30:] = np.arange(65_536, dtype=">u2").view(np.uint8).reshape(-1, 2)
    queries = entries[[0, 255, 65_535]]

    want = plain_join(queries, entries, 3)
    assert [x.tolist() for x in want] == [x.tolist() for x in pdq.join(queries, entries, 3, way="bands")]


def test_bands_that_would_miss_a_pair_are_refused() -> None:
    """The pigeonhole sum, the cover of all bits and the radii are checked by the kernel, not believed."""
    one = np.zeros((1, 32), np.uint8)
    good = packed(widths(11), radii(31, 11))
    assert _bands.join(one, one, b"", b"", good, 0, 31, -1, 0, 1, 10, "") is not None
    for plan, distance in (
        (good, 32),
        (good[:-2], 20),
        (packed((*widths(11)[:-1], 22), radii(31, 11)), 31),
        (packed((64, 64, 64, 64), (8, 8, 8, 8)), 31),
        (packed(widths(128), (3,) * 128), 31),
        (b"", 0),
        (good[:-1], 31),
        (good, 256),
    ):
        with pytest.raises(ValueError, match=r"would miss|no such"):
            _bands.join(one, one, b"", b"", plan, 0, distance, -1, 0, 1, 10, "")


def test_the_same_pairs_on_one_thread_and_on_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of threads changes neither pairs nor order."""
    rng = np.random.default_rng(3)
    entries = rng.integers(0, 256, (20_000, 32), dtype=np.uint8)
    queries = np.concatenate([entries[::7] ^ np.uint8(1), rng.integers(0, 256, (500, 32), dtype=np.uint8)])
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(pdq, "THREADS", threads)
        found.append([x.tolist() for x in pdq.join(queries, entries, 33, way="bands")])
    assert found[0] == found[1]
    assert len(found[0][0]) == len(entries[::7])


def test_radii_satisfy_the_pigeonhole_sum_exactly() -> None:
    """For each distance and number of bands sum(r + 1) is the distance and one; the example of the docs holds."""
    for count in range(10, 33):
        for distance in range(65):
            assert sum(r + 1 for r in radii(distance, count)) == distance + 1
        assert sum(widths(count)) == 256
    assert radii(31, 11) == (2,) * 10 + (1,)
    assert (bands_for(1_000_000), bands_for(10_000_000), bands_for(100_000_000)) == (16, 13, 11)
    assert reach(widths(16), 31)[0] == 16 * 17
