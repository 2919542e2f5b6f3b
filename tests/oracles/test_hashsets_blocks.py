"""The fast way of reading large lists (blocks) against the reader that judges one record at a time: the same records, whatever the text."""

from __future__ import annotations

import io
import sqlite3
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safelight.match.entries import Block, Columns, Event, NeedsColumns, Options, Refused, records_of
from safelight.match.formats import by_name, columnar
from safelight.match.importer import import_set
from safelight.match.library import Library

GOOD = [md5(b"%d" % n).hexdigest() for n in range(6)]
PIECES = [
    *GOOD,
    *(h.upper() for h in GOOD[:2]),
    md5(b"").hexdigest(),
    md5(b"\n").hexdigest(),
    "0" * 32,
    "aA" * 16,
    GOOD[0][:-1],
    GOOD[0] + "g",
    GOOD[0][:16] + " " + GOOD[0][16:],
    sha256(b"x").hexdigest(),
    "1", "2", "n/a", "null", "-", "", " ", "\t", "x" * 9, "æ", "\ufeff", "\x00", "\x1a", "#", "//", "a b", "'",
]  # fmt: skip
ENDS = ["\n", "\r\n", "\r", "\n\n", " \n", "\r\r\n", "\x00\n"]

cell = st.one_of(
    st.sampled_from(GOOD),
    st.sampled_from(PIECES),
    st.builds(lambda a, b: a + b, st.sampled_from(PIECES), st.sampled_from(PIECES)),
    st.builds(lambda a: f'"{a}"', st.sampled_from(PIECES)),
    st.builds(lambda a, b: f"{a}{b}{a}", st.sampled_from([" ", '"', '""', "'", ' "', '" ']), st.sampled_from(PIECES)),
)


def expanded(events: Any) -> list[Event]:
    return [e for event in events for e in (records_of(event) if isinstance(event, Block) else (event,))]


def both(name: str, data: bytes, options: Options) -> tuple[list[Event] | str, list[Event] | str, int]:
    """Return what both ways read (or the refusal), and how many blocks there were."""
    known: Any = by_name(name)
    found: list[list[Event] | str] = []
    blocks = 0
    for way in (known.records, known.blocks):
        try:
            events = list(way(io.BytesIO(data), options))
            blocks = sum(isinstance(e, Block) for e in events)
            found.append(expanded(events))
        except (Refused, NeedsColumns) as error:
            found.append(str(error))
    return found[0], found[1], blocks


def hold(name: str, data: bytes, options: Options) -> int:
    plain, fast, blocks = both(name, data, options)
    assert plain == fast
    return blocks


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    header=st.sampled_from(["md5;sha1;category", "md5;x;category", "hash;category", "x;md5", "sep=;\nmd5;kategori", "md5", "hash", '"md5";"category"']),
    rows=st.lists(st.tuples(st.lists(cell, min_size=1, max_size=4), st.sampled_from(ENDS)), max_size=12),
    last=st.sampled_from(["", GOOD[0], GOOD[0][:9], '"', f'"{GOOD[1]}']),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    declared=st.sampled_from([None, "md5", "sha256"]),
)  # fmt: skip
@example(header="md5;x", rows=[([GOOD[0], '"a'], "\n"), (['b";' + GOOD[1]], "\n")], last="", encoding="utf-8", declared=None)
@example(header="md5;x", rows=[([GOOD[0], "a", "b", '"c'], "\n"), ([GOOD[1]], "\n")], last="", encoding="utf-8", declared=None)
def test_tables_are_read_alike(header: str, rows: Any, last: str, encoding: str, declared: str | None) -> None:
    """Quotes, blanks, bad values, short and long rows, any line end, a cut last line: the same events in the same order."""
    text = header + "\n" + "".join(";".join(cells) + end for cells, end in rows) + last
    hold("csv", text.encode(encoding, "replace"), Options(declared_type=declared))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(st.tuples(cell, st.sampled_from(ENDS)), max_size=25),
    last=st.sampled_from(["", GOOD[0], GOOD[0][:9], "#"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    declared=st.sampled_from([None, "md5", "pdq", "sha256"]),
)
def test_lists_are_read_alike(lines: Any, last: str, encoding: str, declared: str | None) -> None:
    """Comments, dirt, other lengths, placeholders, digests of nothing: the same events in the same order."""
    text = "".join(value + end for value, end in lines) + last
    hold("list", text.encode(encoding, "replace"), Options(declared_type=declared))


def test_chunks_and_open_quotes_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a chunk, also where a line, a CR LF or a quoted field of two lines lies over its edge."""
    rows = [f'{GOOD[n % 6]};"{n}"\r\n' if n % 3 else f"{GOOD[n % 6]};{n}\r" for n in range(60)]
    rows[40] = f'{GOOD[0]};"two\nlines"\n'
    data = ("md5;name of it\n" + "".join(rows)).encode()
    for size in (1, 2, 7, 40, 41, 1000):
        monkeypatch.setattr(columnar, "CHUNK", size)
        assert hold("csv", data, Options()) > 0


def test_a_line_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the longest is read the slow way and cut there."""
    monkeypatch.setattr(columnar, "CHUNK", 1 << 16)
    data = b"\n".join([GOOD[0].encode(), b"a" * (5 << 20), GOOD[1].encode(), b""])
    assert hold("list", data, Options()) == 1


def test_a_flood_of_odd_lines_is_no_flood_of_blocks() -> None:
    """Where every second line is odd, lines are judged one by one, all the same."""
    data = "".join(f"{GOOD[n % 6]}\nodd\n" for n in range(3000)).encode()
    assert hold("list", data, Options()) == 0


def rds3(path: Path, rows: list[tuple[Any, ...]], key: bool = True) -> Path:
    db = sqlite3.connect(path)
    primary = ", PRIMARY KEY (sha256, sha1, md5, crc32, file_name, file_size, package_id)" if key else ""
    db.execute(f"CREATE TABLE FILE (sha256, sha1, md5, crc32, file_name, file_size INTEGER, package_id INTEGER{primary})")
    db.executemany("INSERT OR IGNORE INTO FILE VALUES (?, ?, ?, ?, ?, ?, ?)", [(*r, "c", "n", 1, k) for k, r in enumerate(rows)])
    db.commit()
    db.close()
    return path


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_a_database_is_read_alike(key: bool, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats, nulls, blobs, numbers, surrogates of case, digests of nothing and cut values: the same events."""
    from safelight.match.formats import nsrl

    monkeypatch.setattr(nsrl, "BATCH", batch)
    rng = np.random.default_rng(5)
    values: list[tuple[Any, ...]] = [tuple(rng.bytes(w).hex().upper() for w in (32, 20, 16)) for _ in range(40)]
    values += [values[0]] * 5 + [(None, *values[1][1:]), (values[2][0], None, ""), (5, b"\0" * 20, "x"), (bytes(32), bytes(20), bytes(16))]
    values += [
        (sha256(b"").hexdigest(), values[3][1], md5(b"").hexdigest()),
        (values[4][0].lower(), *values[4][1:]),
        ("æ", "\0", values[5][2]),
    ]
    values += [(bytes.fromhex(values[6][0]), bytes.fromhex(values[6][1]), bytes.fromhex(values[6][2]))]
    path = rds3(tmp_path / "x.db", values, key)
    known: Any = by_name("nsrl-rds3")
    options = Options(path=str(path))

    plain = expanded(known.records(io.BytesIO(), options))
    blocks = list(known.blocks(io.BytesIO(), options))
    assert plain == expanded(blocks)
    assert any(isinstance(e, Block) for e in blocks) == key


def test_a_damaged_database_gives_the_same_as_far_as_it_goes(tmp_path: Path) -> None:
    """Damage in the middle: the records before it, then `Incomplete`, both ways."""
    rng = np.random.default_rng(6)
    path = rds3(tmp_path / "x.db", [tuple(rng.bytes(w).hex() for w in (32, 20, 16)) for _ in range(3000)])
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4 :] = b"\xff" * (len(data) - len(data) * 3 // 4)
    path.write_bytes(data)
    known: Any = by_name("nsrl-rds3")
    plain = expanded(known.records(io.BytesIO(), Options(path=str(path))))
    fast = expanded(known.blocks(io.BytesIO(), Options(path=str(path))))

    assert type(plain[-1]).__name__ == "Incomplete"
    assert plain == fast


@pytest.mark.parametrize("kind", ["csv", "list", "rds3"])
def test_a_set_made_of_blocks_is_the_set_made_of_records(kind: str, tmp_path: Path) -> None:
    """All files of the version, and its report, are the same whichever way it was read."""
    rng = np.random.default_rng(8)
    hashes = [(rng.bytes(16).hex(), rng.bytes(20).hex()) for _ in range(4000)]
    hashes += [hashes[n % 50] for n in range(500)] + [(hashes[0][0], hashes[1][1]), (md5(b"\n").hexdigest(), hashes[2][1])]
    path = tmp_path / kind
    if kind == "csv":
        path.write_text(
            "md5,sha1,category\n" + "".join(f"{m},{s},{'' if n % 7 == 0 else n % 4}\n" for n, (m, s) in enumerate(hashes)) + "bad,,\n"
        )
    elif kind == "list":
        path.write_text("# a list\n" + "".join(f"{m}\n" for m, _ in hashes) + "bad\n")
    else:
        rds3(path, [(sha256(m.encode()).hexdigest(), s, m) for m, s in hashes])
    made = []
    for way in ("records", "blocks"):
        library = Library(tmp_path / way)

        def reader(source: Path, known: Any, options: Options, way: str = way) -> Any:
            with source.open("rb") as stream:
                yield from getattr(known, way)(stream, msgspec.structs.replace(options, path=str(source)))

        report = import_set(library, path, name="s", as_="known", format={"rds3": "nsrl-rds3"}.get(kind, kind), reader=reader)
        folder = library.set_folder("s") / "1"
        library.verify("s", "1")
        files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("manifest.json", "entries.parquet")}
        manifest = library.manifest("s", "1")
        made.append(
            (
                files,
                pq.read_table(folder / "entries.parquet").to_pylist(),
                msgspec.structs.replace(report, imported_at=""),
                manifest.categories,
            )
        )
    assert made[0] == made[1]
    stated = {
        "csv": [(m, s, "" if n % 7 == 0 else n % 4) for n, (m, s) in enumerate(hashes)],
        "list": [m for m, _ in hashes],
        "rds3": hashes,  # repeats of one group are duplicates too
    }[kind]
    assert len(stated) - len(set(stated)) == made[0][2].duplicates


N = 3
WHOLE = Block(positions=np.arange(1, N + 1, dtype="<i8").tobytes(), methods=["md5"], digests=bytes(range(16)) * N)


@pytest.mark.parametrize(
    "lie",
    [
        {"positions": b""},
        {"positions": bytes(8 * N)},
        {"positions": np.array([3, 2, 1], "<i8").tobytes()},
        {"positions": np.array([1, 2, 1 << 62], "<i8").tobytes()},
        {"positions": b"123"},
        {"methods": []},
        {"methods": ["md5", "md5"], "digests": bytes(32 * N)},
        {"methods": ["crc32"]},
        {"digests": b"x"},
        {"lines": b"x"},
        {"lines": np.array([1, -1, 2], "<i8").tobytes()},
        {"repeats": np.array([1, 0, 1], "<i8").tobytes()},
        {"repeats": np.array([2, 1, 1], "<i8").tobytes()},
        {"categories": [], "category_of": bytes(2 * N)},
        {"categories": ["1"], "category_of": b"\1\0" * N},
    ],
)
def test_a_lying_block_is_refused(lie: dict[str, Any], tmp_path: Path) -> None:
    """What a worker answers is checked: impossible columns stop the import, the library stays as it was."""
    Columns(WHOLE)
    source = tmp_path / "x.csv"
    source.write_text("md5\n")
    library = Library(tmp_path / "library")
    with pytest.raises(Refused):
        import_set(library, source, name="s", as_="other", reader=lambda *unused: iter([msgspec.structs.replace(WHOLE, **lie)]))
    assert library.list() == []
