"""Candidates and links inside a case: the index misses nothing that geometry finds, steps give the same bytes, commands show the evidence."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image
from test_features import found, scene

from command import Command
from safelight.alike import features, geometry, index

Edit = Callable[[Image.Image], Image.Image]
EDITS: list[Edit] = [
    lambda i: i.crop((100, 70, 300, 220)),
    lambda i: i.rotate(10, Image.Resampling.BICUBIC),
    lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop((40, 30, 380, 280)),
    lambda i: i.resize((200, 150)),
]


def corners(gallery: list[features.Features]) -> index.Corners:
    points = [features.points_of(f) for f in gallery]
    who = np.repeat(np.arange(len(gallery), dtype=np.uint32), [len(p) for p in points])
    bits = np.concatenate([np.frombuffer(f.descriptors, np.uint8).reshape(-1, 32) for f in gallery])
    return index.Corners(who, np.concatenate([p["turn"] for p in points]), bits)


def test_candidates_hold_every_pair_that_shares_a_part() -> None:
    """Against the oracle that compares each with each: 60 pictures, 15 of them edited four times, mirrored ones too."""
    originals = [scene(200 + n) for n in range(60)]
    gallery = [found(i) for i in originals] + [found(edit(i)) for i in originals[:15] for edit in EDITS]
    first, second, mirrored = index.candidates(corners(gallery))
    candidates = set(zip(first.tolist(), second.tolist(), mirrored.tolist(), strict=True))
    assert all(a < b for a, b, _ in candidates)
    linked = {}
    for n in range(15):
        group = [n, *range(60 + 4 * n, 64 + 4 * n)]
        linked |= {pair: geometry.shared(gallery[pair[0]], gallery[pair[1]]) for pair in itertools.combinations(group, 2)}
    kept = {(a, b, s.mirrored) for (a, b), s in linked.items() if s is not None}
    assert len(kept) >= 120
    assert kept - candidates == set()


def test_candidates_do_not_depend_on_how_keys_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the keys worked off one by one give what all at once gives."""
    gallery = [found(scene(n, 200, 150)) for n in range(12)] + [found(EDITS[0](scene(n, 400, 300))) for n in range(4)]
    whole = index.candidates(corners(gallery))
    monkeypatch.setattr(index, "PART", 1000)
    for a, b in zip(whole, index.candidates(corners(gallery)), strict=True):
        assert np.array_equal(a, b)


def test_a_key_that_all_share_gives_few_pairs() -> None:
    """600 pictures with the same corners hang together by a number of pairs that grows with them, not with their square."""
    one = found(scene(9, 200, 150))
    few = features.Features(one.width, one.height, one.points[: 6 * 40], one.descriptors[: 32 * 40])
    first, second, _ = index.candidates(corners([few] * 600))
    assert len(first) <= 600 * index.MOST
    joined = list(range(600))

    def root(n: int) -> int:
        while joined[n] != n:
            n = joined[n]
        return n

    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        joined[root(b)] = root(a)
    assert len({root(n) for n in range(600)}) == 1


def test_nothing_gives_no_candidates() -> None:
    """No corners, one picture."""
    empty = index.Corners(np.zeros(0, np.uint32), np.zeros(0, np.uint8), np.zeros((0, 32), np.uint8))
    assert [0, 0, 0] == [len(c) for c in index.candidates(empty)]
    assert len(index.candidates(corners([found(scene(1))]))[0]) == 0


@pytest.fixture(scope="module")
def evidence_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(12):
        scene(300 + n).save(folder / f"{n}.jpg", quality=90)
    for n, edit in enumerate(EDITS[:3]):
        edit(scene(300)).save(folder / f"edit-{n}.png")
    scene(301).convert("RGBA").save(folder / "two.webp", quality=80)
    (folder / "broken.jpg").write_bytes((folder / "3.jpg").read_bytes()[:600])
    (folder / "no picture.txt").write_text("text\n" * 20)
    return folder


def made(folder: Path, evidence: Path, workers: int) -> Command:
    folder.mkdir()
    safelight = Command(folder)
    safelight("new", safelight.case)
    safelight("add", safelight.case, evidence, "--exhibit", "A")
    safelight("run", safelight.case, "-q", "--features", "--workers", workers)
    return safelight


def test_the_second_look_gives_the_same_bytes_and_is_not_done_twice(tmp_path: Path, evidence_folder: Path) -> None:
    """Whatever the number of workers, and whether it was left for later; a further run does nothing; verify finds all as it was."""
    one, two = made(tmp_path / "one", evidence_folder, 1), Command(tmp_path / "two")
    (tmp_path / "two").mkdir()
    two("new", two.case)
    two("add", two.case, evidence_folder, "--exhibit", "A")
    two("run", two.case, "-q", "--workers", 2)
    assert not (two.case / "alike").exists()
    two("run", two.case, "-q", "--features", "--workers", 2)
    for name in (
        "facts/features-1/A/tables/features-0000.parquet",
        "facts/features-1/A/tables/panels-0000.parquet",
        "alike/alike-1/alike.parquet",
    ):
        assert (one.case / name).read_bytes() == (two.case / name).read_bytes()
    before = [json.loads(line)["what"] for line in (two.case / "ledger.jsonl").read_text().splitlines()]
    two("run", two.case, "-q", "--features")
    after = [json.loads(line)["what"] for line in (two.case / "ledger.jsonl").read_text().splitlines()]
    assert [*before, "run", "run-end"] == after
    two("verify", two.case, expect=(0,))


def test_links_are_shown_with_their_evidence(tmp_path: Path, evidence_folder: Path) -> None:
    """`why` and `find --alike` give the pictures that share a part; stacks do not change."""
    safelight = made(tmp_path / "case", evidence_folder, 2)
    items = {i["path"]: i for i in safelight.find()}
    one = items["0.jpg"]["sha256"]
    edits = {items[f"edit-{n}.png"]["sha256"] for n in range(3)}
    (facts,) = json.loads(safelight("why", safelight.case, one, "--format", "json").stdout)["contents"]
    assert edits == {link["sha256"] for link in facts["alike"]}
    by_name = {name: link for link in facts["alike"] for name, i in items.items() if i["sha256"] == link["sha256"]}
    assert ("contains", False) == (by_name["edit-0.png"]["relation"], by_name["edit-0.png"]["mirrored"])
    assert by_name["edit-2.png"]["mirrored"]
    assert {"0.jpg", *(f"edit-{n}.png" for n in range(3))} == {i["path"] for i in safelight.find("--alike", one)}
    assert b"corners agree" in safelight("why", safelight.case, one).stdout
    rows = duckdb.sql(
        f"select count(*), count(distinct sha256) from '{safelight.case}/facts/features-1/A/tables/features-*.parquet'"
    ).fetchall()
    assert rows[0][0] == rows[0][1] >= 16


def test_features_without_pictures_are_refused(tmp_path: Path, evidence_folder: Path) -> None:
    """--features and --only digests contradict one another."""
    safelight = Command(tmp_path)
    safelight("new", safelight.case)
    safelight("add", safelight.case, evidence_folder, "--exhibit", "A")
    safelight("run", safelight.case, "--only", "digests", "--features", expect=(2,))
