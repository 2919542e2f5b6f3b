"""The table of the review against plain queries and sorts over the same facts; and a table that is missing, changed or half made."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import Command
from reviewing import Serving, reviewed_case
from safelight.access import Gate
from safelight.case import Case
from safelight.decisions.numbers import Numbers
from safelight.table import file, ordering
from safelight.table.step import keys, make_table, open_table, stored
from safelight.table.table import KNOWN, NO_TIME, Table

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import make_review_case


@pytest.fixture(scope="module")
def scoped(module_safelight: Command) -> Case:
    """A case with three exhibits: one whole, one within paths and kinds, one within a period; many contents lie in several of them."""
    run, folder = module_safelight, module_safelight.folder
    case = reviewed_case(run, folder)
    run("add", case, folder / "phone", "--exhibit", "B", "--scope-path", "DCIM/*", "--scope-path", "W*/g1/*", "--scope-kind", "image")
    older = folder / "older"
    (older / "a/b").mkdir(parents=True)
    for n, name in enumerate(("x.txt", "a/y.txt", "a/b/z.txt", "a/b/ü/späť.txt", "a/broken.jpg")):
        (older / name).parent.mkdir(exist_ok=True)
        (older / name).write_text(f"\xff\xd8\xff broken {n}")
    run("add", case, older, "--exhibit", "C", "--scope-since", "2001-01-01")
    run("run", case, "--workers", 1, "-q")
    return Case(case)


@pytest.fixture(scope="module")
def table(scoped: Case, module_safelight: Command) -> Table:
    return open_table(scoped, module_safelight.env["SAFELIGHT_LIBRARY"]).number_by(Numbers())


def asked(case: Case, run: Command, query: str) -> list[tuple[Any, ...]]:
    gate = Gate(case, library=run.env["SAFELIGHT_LIBRARY"])
    gate.facts.con.execute("create temp table here as select distinct sha256 from visible join contents using (sha256)")
    return gate.facts.con.execute(query).fetchall()


def test_contents_are_those_of_the_facts(scoped: Case, table: Table, module_safelight: Command) -> None:
    """Each column of contents and pictures has what a plain query over the facts has, for the contents within the scopes."""
    found = asked(scoped, module_safelight, """
        select sha256, c.size, c.kind, c.media_type, p.width, p.height, p.orientation, p.pdq, p.pdq_quality,
            nullif(trim(coalesce(exif_make, '') || ' ' || coalesce(exif_model, '')), ''), p.exif_taken, p.pack, p.small_at, p.small_size
        from here join contents c using (sha256) left join pictures p using (sha256) order by sha256
    """)  # fmt: skip
    assert table.rows == len(found) > 20
    for row, (name, size, kind, media, width, height, turned, pdq, quality, camera, taken, pack, at, length) in enumerate(found):
        assert (name, size, kind, media) == (
            table.names[row].tobytes(), int(table.size[row]), table.kind.name(row), table.media_type.name(row),
        )  # fmt: skip
        across, down = (height, width) if (turned or 1) >= 5 else (width, height)
        assert (across or 0, down or 0) == (int(table.width[row]), int(table.height[row]))
        assert (pdq or b"\0" * 32, -1 if quality is None else quality) == (table.pdq[row].tobytes(), int(table.quality[row]))
        assert (camera, NO_TIME if taken is None else taken) == (table.camera.name(row), int(table.taken[row]))
        small = table.renditions["small"]
        assert (-1 if pack is None else pack, at or 0, length or 0) == (int(table.pack[row]), int(small.at[row]), int(small.size[row]))
        assert (pack is not None) == (table.pack_exhibit.name(row) is not None)


def test_places_are_those_of_the_facts(scoped: Case, table: Table, module_safelight: Command) -> None:
    """Items within the scopes in canonical order, each with its content, exhibit, state, path, folder and time."""
    found = asked(scoped, module_safelight, """
        select v.sha256, v.exhibit, v.state, v.path, v.mtime from visible v join here using (sha256)
        order by v.exhibit, v.source, v.ordinal, v.member
    """)  # fmt: skip
    assert table.items == len(found)
    assert {"A", "B", "C"} == {exhibit for _, exhibit, *_ in found}
    everything = asked(scoped, module_safelight, "select count(*) from items where sha256 is not null")[0][0]
    assert table.items < everything, "the scopes leave something out"
    row_of = {n.tobytes(): r for r, n in enumerate(table.names)}
    places: dict[int, list[int]] = {}
    for item, (name, exhibit, state, path, mtime) in enumerate(found):
        row = row_of[name]
        places.setdefault(row, []).append(item)
        assert (row, exhibit, state) == (int(table.content[item]), table.exhibit.name(item), table.state.name(item))
        assert (path, mtime) == (table.path[item].as_py(), int(table.mtime[item]))
        assert (exhibit, path[: path.rfind("/") + 1]) == table.folder_names[int(table.folder[item])]
    for row in range(table.rows):
        assert places[row] == table.items_of(row).tolist()
        assert (places[row][0], len(places[row])) == (int(table.first[row]), int(table.places[row]))
    assert np.bincount(table.folder, minlength=table.folders).tolist() == table.folder_total.tolist()


def test_matches_problems_and_stacks_are_those_of_the_facts(scoped: Case, table: Table, module_safelight: Command) -> None:
    """What counts as what, by which sets and methods; kinds of problems; contents of one stack have one number, others do not."""
    row_of = {n.tobytes(): r for r, n in enumerate(table.names)}
    judged = asked(scoped, module_safelight, 'select distinct sha256, "set", method from judged join here using (sha256) where stands')
    own = [(int(r), table.match_set.name(n), table.match_method.name(n)) for n, r in enumerate(table.match_row)]
    assert sorted((row_of[s], set_, method) for s, set_, method in judged) == own != []
    assert {row for row, _, _ in own} == set(np.flatnonzero(table.known == KNOWN.index("illegal")).tolist())
    problems = asked(
        scoped, module_safelight, "select distinct v.sha256, p.kind from problems p join visible v using (item_id) join here using (sha256)"
    )
    assert sorted((row_of[s], kind) for s, kind in problems) == sorted(
        (int(r), table.problem.name(n)) for n, r in enumerate(table.problem_row)
    )
    assert problems
    stacks = dict(asked(scoped, module_safelight, "select sha256, stack from stacks join here using (sha256)"))
    lead = [stacks.get(n.tobytes(), n.tobytes()) for n in table.names]
    assert np.unique(lead, return_inverse=True)[1].tolist() == np.unique(table.stack, return_inverse=True)[1].tolist()
    assert len(set(lead)) < table.rows


def plain_orders(t: Table) -> dict[str, list[int]]:
    """Return the orders by Python's sort of tuples."""
    rows, first = range(t.rows), t.first.tolist()

    def named(row: int) -> tuple[Any, ...]:
        return (t.camera.name(row) is None, t.camera.name(row) or "", int(t.serial.code[row]), *timed(row))

    def timed(row: int) -> tuple[Any, ...]:
        when = int(t.taken[row]) if t.taken[row] != NO_TIME else int(t.mtime[first[row]])
        return (when == NO_TIME, when, first[row])

    def steps(row: int) -> tuple[int, ...]:
        made = t.camera.name(row) is not None and "shop" not in (t.software.name(row) or "")
        generation = made + int(t.made_by_people[row]) + (int(t.places[row]) == 1)
        return ([0, 2, 1, 3, 3][t.known[row]], -int(t.near[row]), -int(t.density[row]), -generation, first[row])

    return {
        "path": sorted(rows, key=lambda r: first[r]),
        "time": sorted(rows, key=timed),
        "size": sorted(rows, key=lambda r: (-int(t.size[r]), first[r])),
        "camera": sorted(rows, key=named),
        "first": sorted(rows, key=steps),
    }


def test_orders_are_plain_sorts(scoped: Case, table: Table, tmp_path: Path) -> None:
    """All orders of a small case with texts, and of one of 3,000 items, are what a sort of tuples says."""
    made = open_table(Case(make_review_case.make(tmp_path / "made.case", 3_000)), str(tmp_path / "library"))
    for t in (table, made):
        for name, rows in plain_orders(t).items():
            assert rows == t.orders[name].tolist(), name


def test_the_same_bytes_whatever_the_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made in pieces of seven rows and sorted ten at a time, the files are byte-equal to those made in one go."""
    case, library = Case(make_review_case.make(tmp_path / "made.case", 700)), str(tmp_path / "library")
    make_table(case, library)
    whole = {p.name: p.read_bytes() for p in (case.folder / "table").iterdir()}
    for path in (case.folder / "table").iterdir():
        path.unlink()
    monkeypatch.setattr(file, "PIECE", 7)
    monkeypatch.setattr(ordering, "AT_ONCE", 10)
    make_table(case, library)
    assert whole == {p.name: p.read_bytes() for p in (case.folder / "table").iterdir()}
    assert len(whole) == 2


@pytest.mark.parametrize("spread", [1, 3, 1000, 1 << 62])
def test_sorting_in_parts_is_sorting(spread: int, tmp_path: Path) -> None:
    """Parts by value give what one stable sort gives: few keys, many, the largest of 64 bits."""
    rng, scratch = np.random.default_rng(spread), file.Scratch(tmp_path / "scratch")
    keys_of = rng.integers(0, spread, 5_000).astype(np.uint64)
    keys_of[rng.random(5_000) < 0.3] = np.uint64((1 << 64) - 1)
    rows, out = rng.permutation(5_000).astype(np.int32), np.zeros(5_000, np.int32)
    ordering.stable_order(scratch, rows, lambda r: keys_of[r], out, at_once=300)
    assert rows[np.argsort(keys_of[rows], kind="stable")].tolist() == out.tolist()
    assert np.unique(keys_of).tolist() == np.concatenate(list(ordering.distinct(keys_of, scratch, at_once=300))).tolist()


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("part", ["contents", "judged"])
@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_table_that_is_not_what_was_written_is_made_again(part: str, harm: str, tmp_path: Path) -> None:
    """A byte changed, the end missing, or the file gone: it is not opened, and the next look makes the same file again and says why."""
    case, library = Case(make_review_case.make(tmp_path / "made.case", 500)), str(tmp_path / "library")
    names = open_table(case, library).names.copy()
    (path,) = (case.folder / "table").glob(f"{part}-*.table")
    before = path.read_bytes()
    if harm == "changed":
        flip(path)
    elif harm == "cut":
        path.write_bytes(before[:-1])
    else:
        path.unlink()
    assert stored(case, library) is None
    assert names.tolist() == open_table(case, library).names.tolist()
    assert before == path.read_bytes()
    last = [e for e in case.ledger.entries() if e["what"] == "table"][-1]
    assert (part, harm != "gone") == (last["part"], path.name in last.get("because", ""))


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a column, or for the file: an error, nothing left behind, nothing in the ledger; with room the same bytes as ever."""
    case, library = Case(make_review_case.make(tmp_path / "made.case", 500)), str(tmp_path / "library")
    before = case.ledger.path.read_bytes()

    def full(after: int) -> Any:
        calls = iter(range(1_000))

        def call(*_: Any) -> None:
            if next(calls) == after:
                raise OSError(errno.ENOSPC, "No space left on device")

        return call

    for after, name in ((0, "posix_fallocate"), (15, "posix_fallocate"), (0, "fsync")):
        with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
            patched.setattr(file.os, name, full(after))
            make_table(case, library)
        assert [] == list((case.folder / "table").iterdir())
        assert before == case.ledger.path.read_bytes()
    assert make_table(case, library).rows == 450


def test_verify_names_a_changed_table(safelight: Command) -> None:
    """`verify` finds a changed table; one that was deleted is no finding, and a run makes the same one again."""
    case = reviewed_case(safelight, safelight.folder)
    (path,) = (case / "table").glob("contents-*.table")
    before = path.read_bytes()
    flip(path)
    assert b"changed: table/contents-" in safelight("verify", case, expect=(4,)).stdout
    path.unlink()
    safelight("verify", case, expect=(0,))
    safelight("run", case, "-q")
    assert before == path.read_bytes()


def test_a_new_set_makes_only_what_sets_say_anew(safelight: Command) -> None:
    """After `rematch` the review has the new matches; the part that follows from the evidence is the same file."""
    case = reviewed_case(safelight, safelight.folder)
    before = {p.name for p in (case / "table").iterdir()}
    (name,) = safelight("find", case, "--kind", "image", "--known", "new", "--format", "jsonl").stdout.splitlines()[:1]
    (safelight.folder / "more.sha256").write_text(json.loads(name)["sha256"] + "  x\n")
    safelight("hashset", "add", safelight.folder / "more.sha256", "--name", "more", "--as", "illegal")
    safelight("rematch", "--cases", safelight.folder)
    after = {p.name for p in (case / "table").iterdir()}
    assert len(before) == len(after) == 2
    assert ["contents"] == [n.partition("-")[0] for n in before & after]
    found = stored(Case(case), safelight.env["SAFELIGHT_LIBRARY"])
    assert found is not None and "more" in found.match_set.names


def test_serve_makes_a_missing_table_and_old_ones_stay_readable(safelight: Command) -> None:
    """Without a table the server makes one; what is removed beneath a server is still there for it."""
    case = reviewed_case(safelight, safelight.folder)
    for path in (case / "table").iterdir():
        path.unlink()
    (case / "table/.tmp-left").mkdir()
    with Serving(safelight, case, "--user", "anna") as running:
        browser = running.browser()
        view = browser.view(order="path")
        assert view["count"] > 10
        assert 2 == len(list((case / "table").iterdir()))
        for path in (case / "table").iterdir():
            path.unlink()
        assert browser.rows(view)["n"] == view["count"] == browser.view(order="path")["count"]
    safelight("verify", case, expect=(0,))


def test_a_case_without_contents_has_a_table(tmp_path: Path) -> None:
    """Nothing listed yet: no rows, no items, no order is missing."""
    found = open_table(Case(Case.create(tmp_path / "empty.case", "empty", "test").folder), str(tmp_path / "library"))
    assert (0, 0) == (found.rows, found.items)
    assert [0] * 5 == [len(rows) for rows in found.orders.values()]
    assert 0 == len(found.path) == len(found.match_row)


def test_keys_change_with_scope_flood_and_facts(tmp_path: Path) -> None:
    """What the table is made from is in its key: another limit of floods concerns what sets say, not the contents."""
    case, library = Case(make_review_case.make(tmp_path / "made.case", 100)), str(tmp_path / "library")
    first = keys(case, library)
    case.settings["policies"] = {"flood": 3}
    second = keys(case, library)
    assert first.contents == second.contents and first.judged != second.judged
    case.ledger.append("compact", exhibit="A", step="extract-1", files={"items-0000.parquet": [1, "0" * 64, ""]})
    assert keys(case, library).contents != first.contents
