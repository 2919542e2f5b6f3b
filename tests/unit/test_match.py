"""Matching a case with a set: each method, transforms, gates, order, canaries, against a plain nested loop."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5, sha1, sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safelight import records
from safelight.match import canaries, matcher, pictures
from safelight.match.canaries import CanaryLost
from safelight.match.importer import import_set
from safelight.match.library import Library, OpenSet
from safelight.match.matcher import Match, match_batches, match_case_contents
from safelight.match.pdq_index import PdqIndex
from safelight.match.pictures import PICTURE_COLUMNS
from safelight.native.hamming_twin import distances

Maker = Callable[..., OpenSet]


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Import a CSV of rows and open it."""
    library = Library(tmp_path / "library")

    def build(header: str, rows: list[str], name: str = "s", **more: Any) -> OpenSet:
        source = tmp_path / "source.csv"
        source.write_text("\n".join([header, *rows]) + "\n")
        import_set(library, source, name=name, as_=more.pop("as_", "illegal"), **more)
        return library.open(name)

    return build


def contents(*data: bytes) -> pa.Table:
    rows = sorted({(sha256(d).digest(), sha1(d).digest(), md5(d).digest(), len(d)) for d in data})
    schema = pa.schema([("sha256", pa.binary(32)), ("sha1", pa.binary(20)), ("md5", pa.binary(16)), ("size", pa.int64())])
    return pa.table(dict(zip(schema.names, [list(c) for c in zip(*rows, strict=True)], strict=True)), schema=schema)


def picture(n: int, **more: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(PICTURE_COLUMNS)
    return {**nothing, "sha256": n.to_bytes(32, "big"), "pdq_quality": 100, **more}


def picture_table(rows: list[dict[str, Any]]) -> pa.Table:
    schema = pa.schema([f for f in records.schema("pictures") if f.name in PICTURE_COLUMNS])
    return pa.Table.from_pylist(rows, schema=schema)


def noise(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


def flip(raw: bytes, bits: int, start: int = 0) -> bytes:
    array = np.unpackbits(np.frombuffer(raw, np.uint8))
    array[(np.arange(bits) * 8 + start) % 256] ^= 1
    return np.packbits(array).tobytes()


def test_a_content_matches_by_each_method_it_can(make: Maker) -> None:
    """One row per content, entry and method, in the order of the table; sets and categories are named."""
    data = b"safelight golden sample 1\n"
    m, s, h = md5(data), sha1(data), sha256(data)
    opened = make(
        "md5,sha1,sha256,category", [f"{m.hexdigest()},{s.hexdigest()},{h.hexdigest()},1", f"{m.hexdigest()},,,2"], scheme="vics-us"
    )
    rows = list(match_case_contents([contents(data, b"other")], None, opened))

    wanted = [("md5", 1, "vics-us:1"), ("md5", 2, "vics-us:2"), ("sha1", 1, "vics-us:1"), ("sha256", 1, "vics-us:1")]
    assert wanted == [(r.method, r.entry, r.category) for r in rows]
    first = (h.digest(), "s", "1", "illegal", "md5", 0, "identity", "full", 1, "vics-us:1", None)
    assert first == tuple(rows[0])


def test_nothing_and_trivial_content_never_match(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of zero bytes and of trivial content do not match, even where an older import holds them."""
    monkeypatch.setattr("safelight.match.values.EMPTY", frozenset())
    rows = [f"{md5(d).hexdigest()},{sha1(d).hexdigest()}" for d in (b"", b"\n", bytes(512), b"real")]
    opened = make("md5,sha1", rows)
    case = [contents(b"", b"\n", bytes(512), b"real")]

    assert {4} == {r.entry for r in match_case_contents(case, None, opened)}
    assert {2, 3, 4} == {r.entry for r in match_case_contents(case, None, opened, trivial=True)}


def test_nulls_and_empty_batches_are_no_match(make: Maker) -> None:
    """A content without a digest matches by the others only; an empty batch gives nothing."""
    data = b"x1"
    opened = make("md5,sha1", [f"{md5(data).hexdigest()},{sha1(data).hexdigest()}"])
    table = contents(data)
    table = table.set_column(2, "md5", pa.array([None], pa.binary(16)))

    assert [r.method for r in match_case_contents([table.slice(0, 0), table], None, opened)] == ["sha1"]


def test_contents_out_of_order_are_wrong_use(make: Maker) -> None:
    """The order of rows rests on the order of contents, so it is demanded."""
    opened = make("md5", [md5(b"x").hexdigest()])
    table = contents(b"a", b"b")
    with pytest.raises(ValueError, match="ascending"):
        list(match_case_contents([table.take([1, 0])], None, opened))
    with pytest.raises(ValueError, match="ascending"):
        list(match_case_contents([table, table], None, opened))


def test_pdq_finds_31_bits_and_not_32(make: Maker) -> None:
    """A picture 31 bits away matches with its distance, one 32 bits away does not."""
    base = noise(1)
    opened = make("pdq", [base.hex()])
    table = picture_table([picture(n, pdq=flip(base, bits)) for n, bits in enumerate([0, 1, 31, 32])])

    assert [(int.from_bytes(r.of), r.distance) for r in match_case_contents([], [table], opened)] == [(0, 0), (1, 1), (2, 31)]


@pytest.mark.parametrize("slot", range(8))
def test_each_transform_is_queried(slot: int, make: Maker) -> None:
    """A listed picture that was turned or mirrored is found, and the row says how."""
    base = noise(2)
    turns = [noise(100 + n) for n in range(8)]
    turns[slot] = flip(base, 5)
    opened = make("pdq", [base.hex()])
    (row,) = match_case_contents([], [picture_table([picture(1, pdq=turns[0], pdq_transforms=turns)])], opened)

    assert (records.TRANSFORMS[slot], 5, "full") == (row.transform, row.distance, row.form)


def test_the_least_distance_wins_then_the_first_transform(make: Maker) -> None:
    """One row per entry: the nearest hash, on a tie the picture as it is, then the first transform."""
    base = noise(3)
    opened = make("pdq", [base.hex()])
    turns = [noise(50), flip(base, 7), flip(base, 3), flip(base, 3, 4), *(noise(60 + n) for n in range(4))]
    (row,) = match_case_contents(
        [], [picture_table([picture(1, pdq=turns[0], pdq_transforms=turns, pdq_white=flip(base, 3), pdq_white_quality=90)])], opened
    )
    assert (row.transform, row.distance, row.form) == ("rotate180", 3, "full")

    (row,) = match_case_contents(
        [], [picture_table([picture(1, pdq=turns[0], pdq_transforms=turns, pdq_white=base, pdq_white_quality=90)])], opened
    )
    assert (row.transform, row.distance, row.form) == ("identity", 0, "white")


def test_each_form_is_matched_in_all_turns_and_says_its_name(make: Maker) -> None:
    """The form and the turn that hit are named; on a tie the first form in the order of `records.FORMS`."""
    base = noise(3)
    opened = make("pdq", [base.hex()])
    for number, form in enumerate(records.FORMS[1:]):
        turns = [noise(70 + n) for n in range(8)]
        turns[number + 4] = flip(base, 31)
        column = f"pdq_{form}"
        one = picture(1, pdq=noise(1), **{column: turns[0], f"{column}_quality": 50, f"{column}_transforms": turns})
        (row,) = match_case_contents([], [picture_table([one])], opened)
        assert (form, records.TRANSFORMS[number + 4], 31) == (row.form, row.transform, row.distance)
        assert [] == list(match_case_contents([], [picture_table([{**one, f"{column}_quality": 49}])], opened))
    same = {f"pdq_{form}": base for form in records.FORMS[1:]} | {f"pdq_{form}_quality": 90 for form in records.FORMS[1:]}
    (row,) = match_case_contents([], [picture_table([picture(1, pdq=noise(1), **same)])], opened)
    assert row.form == "white"


def test_a_panel_matches_as_the_form_panel_and_says_where(make: Maker) -> None:
    """A rectangle inside a picture is a query in eight turns; the row names its place. The picture itself comes first on a tie."""
    base = noise(3)
    opened = make("pdq", [base.hex()])
    turns = [[noise(70 + 8 * p + n) for n in range(8)] for p in range(3)]
    turns[1][4] = flip(base, 31)
    one = picture_table([picture(1, pdq=noise(1))])
    inside = pa.array([[h for panel in turns for h in panel]], pa.list_(pa.binary()))
    boxes = pa.array([["0,0,1,1", "10,20,300,400", "5,5,5,5"]], pa.list_(pa.string()))
    table = one.append_column("panel_transforms", inside).append_column("panel_boxes", boxes)
    (row,) = match_case_contents([], [table], opened)
    assert ("panel", records.TRANSFORMS[4], 31, "10,20,300,400") == (row.form, row.transform, row.distance, row.box)
    same = picture_table([picture(1, pdq=flip(base, 31))])
    table = same.append_column("panel_transforms", inside).append_column("panel_boxes", boxes)
    (row,) = match_case_contents([], [table], opened)
    assert ("full", None) == (row.form, row.box)
    none = one.append_column("panel_transforms", pa.array([None], inside.type)).append_column("panel_boxes", pa.array([None], boxes.type))
    assert [] == list(match_case_contents([], [none], opened))


def test_the_quality_gate_holds_on_both_sides(make: Maker) -> None:
    """Hashes below the gate do not match, neither of the picture nor of the entry; an entry without quality does."""
    base, other = noise(4), noise(5)
    opened = make("pdq,quality", [f"{base.hex()},100", f"{base.hex()},49", f"{other.hex()},"])
    table = picture_table(
        [
            picture(1, pdq=base, pdq_quality=50),
            picture(2, pdq=base, pdq_quality=49),
            picture(3, pdq=other),
            picture(4, pdq=base, pdq_quality=None),
            picture(5, pdq=noise(9), pdq_white=base, pdq_white_quality=49),
        ]
    )

    def found(gate: int) -> list[tuple[int, int]]:
        return [(int.from_bytes(r.of), r.entry) for r in match_case_contents([], [table], opened, quality_gate=gate)]

    assert found(50) == [(1, 1), (3, 3)]
    assert found(0) == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (5, 1), (5, 2)]


def plain_rows(
    pictures_: list[dict[str, Any]], entries: list[tuple[bytes, int | None]], distance: int, gate: int
) -> list[tuple[int, int, int]]:
    rows = []
    for p in pictures_:
        queries = [h for h in (p["pdq"], *(p["pdq_transforms"] or [])) if h] if (p["pdq_quality"] or 0) >= gate and p["pdq"] else []
        for position, (raw, quality) in enumerate(entries, 1):
            near = [int(distances(np.frombuffer(q, np.uint8), np.frombuffer(raw, np.uint8)[None])[0]) for q in queries]
            if near and min(near) <= distance and (quality is None or quality >= gate):
                rows.append((int.from_bytes(p["sha256"]), position, min(near)))
    return rows


near_hash = st.builds(flip, st.sampled_from([noise(n) for n in range(3)]), st.sampled_from([0, 1, 15, 16, 30, 31]), st.integers(0, 7))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    entries=st.lists(st.tuples(near_hash, st.sampled_from([None, 0, 49, 50, 100])), min_size=1, max_size=12),
    queried=st.lists(st.tuples(near_hash, st.sampled_from([0, 49, 50, 100]), st.lists(near_hash, max_size=8) | st.none()), max_size=10),
    distance=st.sampled_from([0, 15, 31, 40, 64]),
)
def test_picture_matches_equal_the_nested_loop(entries: Any, queried: Any, distance: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the entries and pictures, the rows are those of a plain loop over all pairs, in any split into batches."""
    folder = tmp_path_factory.mktemp("set")
    source = folder / "x.csv"
    source.write_text("pdq,quality\n" + "".join(f"{h.hex()},{'' if q is None else q}\n" for h, q in entries))
    library = Library(folder / "library")
    import_set(library, source, name="s", as_="other")
    opened = library.open("s")
    rows = [picture(n, pdq=h, pdq_quality=q, pdq_transforms=t) for n, (h, q, t) in enumerate(queried, 1)]

    for split in (0, len(rows) // 2):
        batches = [picture_table(part) for part in (rows[:split], rows[split:]) if part]
        found = [(int.from_bytes(r.of), r.entry, r.distance) for r in match_case_contents([], batches, opened, distance=distance)]
        assert plain_rows(rows, entries, distance, 50) == found


def test_a_flood_of_pairs_is_halved_and_complete(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pictures near many equal entries: worked off in halves, nothing lost, in order."""
    base = noise(6)
    opened = make("pdq", [base.hex()] * 40)
    monkeypatch.setattr(pictures, "MOST_PAIRS", 100)
    table = picture_table([picture(n, pdq=base) for n in range(1, 31)])
    rows = [(int.from_bytes(r.of), r.entry) for r in match_case_contents([], [table], opened)]

    assert [(n, e) for n in range(1, 31) for e in range(1, 41)] == rows


def test_exact_and_similar_rows_are_merged_in_order(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of both kinds come in one total order, however few are held at once."""
    data = [b"%d" % n for n in range(50)]
    base = noise(7)
    lines = [f"{md5(d).hexdigest()},{sha1(d).hexdigest()},{base.hex()}" for d in data] * 2
    opened = make("md5,sha1,pdq", lines)
    table = contents(*data)
    shown = picture_table([picture(int.from_bytes(s), pdq=base) for s in table["sha256"].to_pylist()])
    rows = list(match_case_contents([table], [shown], opened))
    monkeypatch.setattr(matcher, "MOST_ROWS", 3)

    assert len(rows) == 50 * (2 + 2) + 50 * 100
    assert sorted(rows, key=lambda r: (r.of, r.set, r.version, r.method, r.entry, r.transform)) == rows
    assert rows == list(match_case_contents(table.to_batches(max_chunksize=7), shown.to_batches(max_chunksize=11), opened))
    batches = list(match_batches(rows, 1000))
    assert (records.schema("matches"), len(rows)) == (batches[0].schema, sum(b.num_rows for b in batches))
    assert Match(*batches[0].to_pylist()[0].values()) == rows[0]


def exact_case() -> tuple[pa.Table, pa.Table]:
    return contents(b"a", b"b"), picture_table([picture(1, pdq=noise(1))])


def hide_canaries(opened: OpenSet, method: str) -> None:
    """Make the look-up blind for the canaries, as a broken index would be."""
    index = opened.pdq if method == "pdq" else opened.indexes[method]
    assert index is not None
    keys = np.array(index.keys)
    for key in canaries.keys(opened.set_id, method):
        keys[(keys == key).all(axis=1)] ^= 255
    index.keys = keys


@pytest.mark.parametrize("method", ["md5", "pdq"])
def test_a_lost_canary_stops_the_run(method: str, make: Maker) -> None:
    """An index that lost its canaries gives no answer at all, and the error names set and method."""
    opened = make("md5,pdq", [f"{md5(b'a').hexdigest()},{noise(1).hex()}"])
    hide_canaries(opened, method)
    with pytest.raises(CanaryLost, match=f"set s.*{method}"):
        list(match_case_contents([exact_case()[0]], [exact_case()[1]], opened))


def test_a_look_up_that_loses_distant_pairs_is_caught(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A join that finds only near pairs loses the canaries at 31; one that reaches too far is caught by those at 32."""
    opened = make("pdq", [noise(1).hex()])
    real = PdqIndex.pairs
    for wrong, said in ((30, "distance \\[31\\] not found"), (32, "distance 32 found")):
        monkeypatch.setattr(PdqIndex, "pairs", lambda index, q, d, wrong=wrong: real(index, q, wrong))
        with pytest.raises(CanaryLost, match=said):
            list(match_case_contents([], [exact_case()[1]], opened))


def test_a_blind_digest_look_up_is_caught(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that finds nothing, or everything, is caught by the digest canaries."""
    opened = make("md5", [md5(b"a").hexdigest()])
    for count in (0, 1):
        monkeypatch.setattr(matcher, "lookup", lambda k, t, b, q, count=count: (np.zeros(len(q), np.int64), np.full(len(q), count)))
        with pytest.raises(CanaryLost):
            list(match_case_contents([exact_case()[0]], None, opened))


def test_canaries_are_in_no_result(make: Maker) -> None:
    """A content that is a canary's twin by chance of evil gives no row."""
    opened = make("md5,pdq", [f"{md5(b'a').hexdigest()},{noise(1).hex()}"])
    twin = canaries.keys(opened.set_id, "pdq")[0].tobytes()
    table = contents(b"a").set_column(2, "md5", pa.array([canaries.keys(opened.set_id, "md5")[3].tobytes()], pa.binary(16)))

    assert list(match_case_contents([table], [picture_table([picture(1, pdq=twin)])], opened)) == []


@pytest.mark.parametrize("distance", [0, 1, 2, 31, 64])
def test_canary_twins_are_at_their_distance(distance: int) -> None:
    """Twins stand at 0, 1, the distance and one beyond."""
    twins, number, bits = canaries.pdq_twins("s|1", distance)
    planted = canaries.keys("s|1", "pdq")

    assert sorted({0, min(1, distance), distance, distance + 1}) == sorted(set(bits.tolist()))
    assert bits.tolist() == [int(distances(t, planted[n][None])[0]) for t, n in zip(twins, number, strict=True)]
