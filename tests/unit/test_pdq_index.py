"""The index of PDQ hashes: exact by each way, the same from disk as from memory, and refused where a file is not what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kits import matcher_kit
from safelight.match import pdq, pdq_index
from safelight.match.indexes import SetDamaged
from safelight.match.pdq_index import FILES, PdqIndex, open_pdq, write_bands, write_pdq
from safelight.native.hamming_twin import join as plain_join

Hashes = matcher_kit.Hashes
WAYS = ("join", "query", "brute", "")


@pytest.fixture(autouse=True)
def bands_for_small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give sets of any size their bands."""
    monkeypatch.setattr(pdq_index, "SMALL", 0)


def sorted_blocks(hashes: Hashes, rows: Hashes, size: int = 100) -> Iterator[Hashes]:
    order = np.lexsort((rows, *hashes.T[::-1]))
    table = np.concatenate([hashes, rows.astype(">u8").view(np.uint8).reshape(-1, 8)], axis=1)[order]
    return (table[at : at + size] for at in range(0, len(table), size))


def written(folder: Path, hashes: Hashes, total_rows: int | None = None) -> PdqIndex:
    """Write hash n as row n and open the index."""
    write_pdq(folder, sorted_blocks(hashes, np.arange(len(hashes))), len(hashes), total_rows or len(hashes))
    return open_pdq(folder)


def matches(index: PdqIndex, queries: Hashes, distance: int) -> list[list[int]]:
    found = [np.stack(piece, axis=1) for piece in index.join(queries, distance)]
    return sorted(np.concatenate([np.zeros((0, 3), np.int64), *found]).tolist())


def truth(queries: Hashes, entries: Hashes, distance: int) -> list[list[int]]:
    return sorted(np.stack(plain_join(queries, entries, distance), axis=1).tolist())


@pytest.fixture
def clustered() -> Hashes:
    rng = np.random.default_rng(9)
    centres = rng.integers(0, 256, (20, 32), dtype=np.uint8)
    return np.stack([matcher_kit.flipped(centres[n % 20], list(rng.choice(256, n % 36, replace=False))) for n in range(1500)])


@pytest.mark.parametrize("name", [n for n, (_, e) in matcher_kit.adversarial().items() if len(e)])
def test_rows_are_those_of_brute_force(name: str, tmp_path: Path) -> None:
    """Batch and single query give each row of each equal hash, at distances 0, 1, 31, 32 and 64."""
    queries, entries = matcher_kit.adversarial()[name]
    index = written(tmp_path, entries)
    for distance in (0, 1, 31, 32, 64):
        want = truth(queries, entries, distance)
        assert want == matches(index, queries, distance)
        for n in range(min(len(queries), 5)):
            rows, bits = index.query(queries[n], distance)
            assert [[r, d] for q, r, d in want if q == n] == sorted([r, d] for r, d in zip(rows.tolist(), bits.tolist(), strict=True))


@pytest.mark.parametrize("distance", range(0, 65, 4))
def test_every_way_gives_the_same_pairs(distance: int, tmp_path: Path, clustered: Hashes) -> None:
    """Batch, single accesses and brute force give the same pairs in the same order, whatever the number of bands."""
    index = written(tmp_path, clustered)
    queries = clustered[::50]
    q, e, d = plain_join(queries, index.keys, distance)
    for bands in (16, 13, 19):
        write_bands(tmp_path, len(clustered), bands)
        again = open_pdq(tmp_path)
        for way in WAYS:
            pieces = list(again.pairs(queries, distance, way=way))
            assert [x.tolist() for x in (q, e, d)] == [np.concatenate(c).tolist() for c in zip(*pieces, strict=True)], (bands, way)


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_and_a_one_entry_index(count: int, tmp_path: Path) -> None:
    """An index of nothing finds nothing, one of one finds it; no queries give no pairs."""
    entries = np.full((count, 32), 7, np.uint8)
    index = written(tmp_path, entries)
    queries = np.full((3, 32), 7, np.uint8)

    assert [[q, 0, 0] for q in range(3) if count] == matches(index, queries, 31)
    assert matches(index, queries[:0], 31) == []
    assert index.query(queries[0], 64)[0].tolist() == [0] * count


def test_small_sets_have_no_bands_and_the_same_answers(tmp_path: Path, clustered: Hashes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the limit the hashes are compared in full: same matches, no bands on disk."""
    monkeypatch.setattr(pdq_index, "SMALL", 5000)
    index = written(tmp_path, clustered)

    assert (index.widths, (tmp_path / "pdq.bands").stat().st_size) == ((), 4096)
    assert truth(clustered[:30], clustered, 31) == matches(index, clustered[:30], 31)


def test_a_flood_of_pairs_comes_in_bounded_pieces(tmp_path: Path, clustered: Hashes, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pairs than a piece holds are given in several, in the order of the queries; by single accesses too."""
    index = written(tmp_path, clustered)
    want = plain_join(clustered[:400], index.keys, 64)
    monkeypatch.setattr(pdq, "MOST_PAIRS", 1500)
    for way in ("join", "query"):
        pieces = list(index.pairs(clustered[:400], 64, way=way))
        assert len(pieces) > 10
        assert max(len(p[0]) for p in pieces) <= 1500
        assert [x.tolist() for x in want] == [np.concatenate(c).tolist() for c in zip(*pieces, strict=True)]


def test_wrong_use_is_an_error(tmp_path: Path, clustered: Hashes) -> None:
    """Distances beyond 64, and hashes of another width, are refused."""
    index = written(tmp_path, clustered)
    for distance in (-1, 65):
        with pytest.raises(ValueError, match=r"0\.\.64"):
            index.query(clustered[0], distance)
    with pytest.raises(ValueError, match="uint8"):
        list(index.join(clustered[:, :31]))
    with pytest.raises(ValueError, match="uint8"):
        index.query(b"short")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_longer_or_changed_file_is_refused(name: str, tmp_path: Path, clustered: Hashes) -> None:
    """A file that is missing, empty, cut, longer by a byte, or changed in one byte is refused at opening, with its name."""
    written(tmp_path, clustered)
    path = tmp_path / name
    good = path.read_bytes()
    places = [0, 17, 25, 300, len(good) // 2, len(good) - 1]
    changed = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in places if at < len(good)]
    if name == "pdq.bands":  # the body is sampled at opening and read whole by `verify`; here it is large, so only its samples count
        changed = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in (0, 17, 25, 300, 4096, len(good) - 1)]
    for bad in [b"", good[:1], good[: len(good) // 2], good[:-1], good + b"\0", *changed]:
        path.write_bytes(bad)
        with pytest.raises(SetDamaged, match=name.replace(".", r"\.")):
            open_pdq(tmp_path)
    path.unlink()
    with pytest.raises(SetDamaged, match=name.replace(".", r"\.")):
        open_pdq(tmp_path)


def test_an_index_of_another_format_is_refused(tmp_path: Path, clustered: Hashes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of a later format is refused and says which."""
    monkeypatch.setattr(pdq_index, "FORMAT", 2)
    write_pdq(tmp_path, sorted_blocks(clustered, np.arange(len(clustered))), len(clustered), len(clustered))
    monkeypatch.setattr(pdq_index, "FORMAT", 1)
    with pytest.raises(SetDamaged, match="format 2"):
        open_pdq(tmp_path)


def tampered(folder: Path, name: str, rng: np.random.Generator) -> None:
    """Change some bytes of a file, or exchange two numbers of it."""
    raw = bytearray((folder / name).read_bytes())
    low = 4096 if name == "pdq.bands" else 0
    if rng.integers(2):
        for at in rng.integers(low, len(raw), rng.integers(1, 4)):
            raw[at] ^= int(rng.integers(1, 256))
    else:
        a, b = (int(x) // 4 * 4 for x in rng.integers(low, len(raw) - 4, 2))
        raw[a : a + 4], raw[b : b + 4] = raw[b : b + 4], raw[a : a + 4]
    (folder / name).write_bytes(raw)


@pytest.mark.parametrize("name", ["pdq.bands", "pdq.keys"])
def test_what_the_digests_did_not_see_the_batch_refuses_or_answers_rightly(
    name: str, tmp_path: Path, clustered: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the digests switched off, a batch over tampered bands or hashes is refused, or its answer is right for what the file holds."""
    rng = np.random.default_rng(4)
    written(tmp_path, clustered)
    write_bands(tmp_path, len(clustered), 21)
    good = (tmp_path / name).read_bytes()
    refused = 0
    for _ in range(150):
        (tmp_path / name).write_bytes(good)
        tampered(tmp_path, name, rng)
        index = PdqIndex(tmp_path, len(clustered))
        for way in ("join", "query"):
            try:
                pieces = list(index.pairs(clustered[:40], 31, way=way))
            except SetDamaged:
                refused += 1
                continue
            if way == "join":
                want = plain_join(clustered[:40], index.keys, 31)
                assert [x.tolist() for x in want] == [np.concatenate(c).tolist() for c in zip(*pieces, strict=True)]
    assert refused > 20


def test_verify_reads_everything(tmp_path: Path, clustered: Hashes) -> None:
    """One byte changed where opening does not look is found by `verify`."""
    index = written(tmp_path, clustered)
    index.verify()
    raw = bytearray((tmp_path / "pdq.bands").read_bytes())
    at = 4096 + (len(raw) - 8192) // 64 + 5000  # between two samples
    raw[at] ^= 1
    (tmp_path / "pdq.bands").write_bytes(raw)
    with pytest.raises(SetDamaged, match=r"pdq\.bands"):
        open_pdq(tmp_path).verify()


def test_the_same_set_gives_the_same_files(tmp_path: Path, clustered: Hashes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files do not depend on the size of the blocks or the number of threads."""
    found = []
    for threads, size in ((1, 7), (3, 400)):
        monkeypatch.setattr(pdq, "THREADS", threads)
        folder = tmp_path / str(threads)
        folder.mkdir()
        write_pdq(folder, sorted_blocks(clustered, np.arange(len(clustered)), size), len(clustered), len(clustered))
        found.append([(folder / name).read_bytes() for name in FILES])
    assert found[0] == found[1]


def test_every_pair_is_found_by_the_pieces_of_the_library(clustered: Hashes) -> None:
    """The join of hashes that lie in no index gives the same as the plain twin, whatever way is chosen."""
    want = plain_join(clustered[:50], clustered, 31)
    assert [x.tolist() for x in want] == [x.tolist() for x in pdq.join(clustered[:50], clustered, 31)]
