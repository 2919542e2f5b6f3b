"""The readers of hash sets against the golden files: every figure of expected.json, and the kit for each format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kits.hashset_kit import HashSetKit, all_events, assert_expected, check_events, importer
from safelight.match.entries import Incomplete, NeedsColumns, Options, Record, Refused, Skip, Warn
from safelight.match.formats import FORMATS, by_name, detect
from safelight.match.report import ImportReport
from safelight.match.values import photodna

EXPECTED = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats" / "expected.json"
FILES: dict[str, Any] = json.loads(EXPECTED.read_text())["files"] if EXPECTED.is_file() else {}
PLAIN = sorted(k for k in FILES if k.startswith("hashsets/") and not k.endswith(".sql"))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ImportReport]:
    return importer(tmp_path)


@pytest.mark.parametrize("name", PLAIN)
def test_a_golden_file_gives_exactly_its_figures(name: str, shared: Path, run: Callable[..., ImportReport]) -> None:
    """Format, counts, reasons, distinct values, flags, facts: all keys of expected.json, with the format recognised."""
    expected = FILES[name]
    report = run(shared / "formats" / name, options=Options(declared_type=expected.get("declared_type")))

    assert_expected(report, expected)
    assert report.adds_up()


def test_a_delta_is_applied_to_its_base(shared: Path, run: Callable[..., ImportReport]) -> None:
    """An RDS 3 delta changes a copy of its base; the base stays as it is, and both files are named by digest."""
    folder = shared / "formats"
    expected = FILES["hashsets/nsrl_rds3_delta.sql"]
    base = folder / expected["apply_to"]
    before = base.read_bytes()
    report = run(base, deltas=[folder / "hashsets/nsrl_rds3_delta.sql"])

    assert_expected(report, expected["after"])
    assert before == base.read_bytes()
    assert list(report.source_files) == ["nsrl_rds3_delta.sql"]


def test_a_delta_alone_is_refused(shared: Path, run: Callable[..., ImportReport]) -> None:
    """A delta without its base is no set."""
    with pytest.raises(Refused, match="delta"):
        run(shared / "formats" / "hashsets/nsrl_rds3_delta.sql")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE FILE;",
        "ATTACH DATABASE '/tmp/x' AS y;",
        "PRAGMA writable_schema=ON;",
        "INSERT INTO sqlite_master VALUES(1,2,3,4,5);",
        "CREATE TABLE z(a);",
        "UPDATE FILE SET md5 = load_extension('x');",
        "INSERT INTO FILE(sha256) VALUES('unfinished",
    ],
)
def test_a_delta_may_only_change_the_published_tables(
    statement: str, shared: Path, tmp_path: Path, run: Callable[..., ImportReport]
) -> None:
    """Anything but INSERT, UPDATE and DELETE on NIST's tables is refused, and the library stays empty."""
    script = tmp_path / "d.sql"
    script.write_text(f"BEGIN TRANSACTION;\n{statement}\nCOMMIT;\n")
    with pytest.raises(Refused):
        run(shared / "formats" / "hashsets/nsrl_rds3_minimal.db", deltas=[script])
    assert list((tmp_path / "library" / "sets").iterdir()) == []


def test_each_file_is_recognised_by_one_format(shared: Path) -> None:
    """The order of FORMATS finds the right format for each golden file and trap."""
    for name, expected in FILES.items():
        path = shared / "formats" / name
        with path.open("rb") as stream:
            found = detect(stream.read(65536), path.name)
        assert found is not None and expected["format"] == found.name, name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_list_is_recognised_with_any_line_end_in_any_encoding(end: str, encoding: str) -> None:
    """Bare values, GNU and BSD sums and tables are recognised and read whole, with the line ends of every system."""
    value, other = "cfcd208495d565ef66e7dff9f98764da", "c4ca4238a0b923820dcc509a6f75849b"
    texts = {
        "list": [value, other],
        "gnu-sum": [f"{value}  a.jpg", f"{other} *b.jpg"],
        "bsd-sum": [f"MD5 (a.jpg) = {value}", f"MD5 (b.jpg) = {other}"],
        "csv": ["Name|MD5", f"a.jpg|{value}", f"b.jpg|{other}"],
    }
    for name, parts in texts.items():
        data = (end.join(parts) + end).encode(encoding)
        found = detect(data, "unit.txt")
        assert found is not None, name
        assert name == found.name
        records = [e for e in all_events(found, data) if isinstance(e, Record)]
        assert [("md5", bytes.fromhex(v)) for v in (value, other)] == [d for r in records for d in r.digests], name


def test_names_of_formats_are_unique() -> None:
    """A format is found by its name, and an unknown name is refused with the list."""
    assert len({f.name for f in FORMATS}) == len(FORMATS)
    assert by_name("vics").name == "vics"
    with pytest.raises(Refused, match="known: "):
        by_name("nope")


class TestVics(HashSetKit):
    known, golden, is_line_format = by_name("vics"), "hashsets/vics20_cases_uk.json", False


class TestVicsOld(HashSetKit):
    known, golden, is_line_format = by_name("vics"), "hashsets/vics13_media.json", False


class TestIcse(HashSetKit):
    known, golden = by_name("icse-csv"), "hashsets/icse_export.csv"


class TestRds2(HashSetKit):
    known, golden = by_name("nsrl-rds2"), "hashsets/nsrl_rds2/NSRLFile.txt"


class TestIdx(HashSetKit):
    known, golden = by_name("tsk-idx"), "hashsets/sample.txt-md5.idx"


class TestEnCase(HashSetKit):
    known, golden, is_line_format = by_name("encase-hash"), "hashsets/encase_v1.hash", False


class TestHashKeeper(HashSetKit):
    known, golden = by_name("hashkeeper"), "hashsets/hashkeeper.hsh"


class TestGnu(HashSetKit):
    known, golden = by_name("gnu-sum"), "hashsets/md5sum.txt"


class TestBsd(HashSetKit):
    known, golden = by_name("bsd-sum"), "hashsets/sha1sum_bsd.txt"


class TestHashDeep(HashSetKit):
    known, golden = by_name("hashdeep"), "hashsets/hashdeep.txt"


class TestPdqList(HashSetKit):
    known, golden, options = by_name("pdq-list"), "hashsets/pdq_list.txt", Options(declared_type="pdq")


class TestPdqCsv(HashSetKit):
    known, golden = by_name("pdq-csv"), "hashsets/pdq_quality.csv"


class TestSignals(HashSetKit):
    known, golden = by_name("tx-local-file"), "hashsets/tx_signals.txt"


class TestThreatUpdates(HashSetKit):
    known, golden, is_line_format = by_name("threatexchange-updates"), "hashsets/tx_threat_updates.json", False


class TestNcmec(HashSetKit):
    known, golden, is_line_format = by_name("ncmec-hashsharing-v2"), "hashsets/ncmec_entries.xml", False


class TestCsv(HashSetKit):
    known, golden = by_name("csv"), "traps/t03_utf16le_bom.csv"


MD5 = [f"{n:032x}" for n in range(0x1234567, 0x1234567 + 50)]


def test_a_table_without_a_known_column_asks() -> None:
    """An unknown header is a question with the header in it, never a guess; the answer is honoured."""
    data = f"Fingeravtrykk;Navn\n{MD5[0]};x\n".encode()
    with pytest.raises(NeedsColumns) as asked:
        all_events(by_name("csv"), data)
    assert asked.value.header == ["Fingeravtrykk", "Navn"]

    events = all_events(by_name("csv"), data, Options(columns={"fingeravtrykk": "md5"}))
    assert [("md5", bytes.fromhex(MD5[0]))] == next(e for e in events if isinstance(e, Record)).digests


def test_columns_by_number_read_a_table_without_header() -> None:
    """A table without header is read once the user says which column is what."""
    events = all_events(by_name("csv"), f"x,{MD5[0]}\ny,{MD5[1]}\n".encode(), Options(columns={"#2": "md5"}))

    assert [e.position for e in events if isinstance(e, Record)] == [1, 2]


def test_an_open_quote_does_not_swallow_the_file() -> None:
    """A quote that is never closed costs its own line at most: the lines after it are still read."""
    rows = [f'{h},"open' if n == 3 else f"{h},ok" for n, h in enumerate(MD5)]
    events = all_events(by_name("csv"), ("md5,name\n" + "\n".join(rows) + "\n").encode())

    assert len(MD5) == sum(isinstance(e, Record) for e in events)


def test_a_quoted_name_may_hold_a_newline() -> None:
    """A quoted field over two lines is one record."""
    events = all_events(by_name("csv"), f'md5,name\n{MD5[0]},"a\nb"\n{MD5[1]},c\n'.encode())

    assert [e.extra["name"] for e in events if isinstance(e, Record)] == ["a\nb", "c"]


def test_an_endless_line_is_bounded() -> None:
    """A line of many MiB is one bad record, and the next line is read."""
    events = all_events(by_name("list"), b"a" * (5 << 20) + b"b\n" + MD5[0].encode() + b"\n")

    assert [type(e).__name__ for e in events if isinstance(e, Record | Skip)] == ["Skip", "Record"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-8"])
def test_vics_of_any_encoding_is_read(encoding: str) -> None:
    """JSON in UTF-16 is read like JSON in UTF-8."""
    text = json.dumps({"value": [{"MediaID": 1, "MD5": MD5[0], "Comments": "blåbær"}]}, ensure_ascii=False)
    events = all_events(by_name("vics"), text.encode(encoding))

    assert [e.extra["comments"] for e in events if isinstance(e, Record)] == ["blåbær"]


def test_media_outside_the_media_level_is_not_read() -> None:
    """Arrays beside `value`, and arrays named Media deep below other keys, hold no records."""
    data = {"other": [{"MD5": MD5[1]}], "x": [{"Media": [{"MD5": MD5[2]}]}], "value": [{"MD5": MD5[0], "n": {"Media": [{"MD5": MD5[3]}]}}]}
    data["after"] = [{"y": [{"Media": [{"MD5": MD5[4]}]}]}]
    events = all_events(by_name("vics"), json.dumps(data).encode())

    assert [bytes.fromhex(MD5[0])] == [raw for e in events if isinstance(e, Record) for _, raw in e.digests]


def test_two_cases_in_one_file() -> None:
    """Each case gives its Media; fields of the case before and after the array are no record."""
    case = {"CaseID": "a", "Media": [{"MD5": MD5[0]}, {"MD5": MD5[1]}], "ContactName": "x", "Extra": [{"MD5": MD5[9]}]}
    events = all_events(by_name("vics"), json.dumps({"value": [case, {"CaseID": "empty"}, case]}).encode())
    facts = {e.name: e.value for e in events if type(e).__name__ == "Fact"}

    assert sum(isinstance(e, Record) for e in events) == 4
    assert (facts["cases"], facts["shape"]) == (3, "Cases")


def test_flags_are_tri_state() -> None:
    """Absent, null, false and true are four things, and "false" is not true."""
    media = [
        {"MD5": MD5[0]},
        {"MD5": MD5[1], "IsDistributed": None},
        {"MD5": MD5[2], "IsDistributed": "False"},
        {"MD5": MD5[3], "IsDistributed": True},
    ]
    events = all_events(by_name("vics"), json.dumps(media).encode())

    assert [e.flags for e in events if isinstance(e, Record)] == [
        {},
        {"IsDistributed": None},
        {"IsDistributed": False},
        {"IsDistributed": True},
    ]


def test_categories_zero_null_and_absent_differ() -> None:
    """Category 0, null and none at all are kept apart."""
    media = [{"MD5": MD5[0], "Category": 0}, {"MD5": MD5[1], "Category": None}, {"MD5": MD5[2]}]
    events = all_events(by_name("vics"), json.dumps(media).encode())

    assert [(e.category, e.category_stated) for e in events if isinstance(e, Record)] == [("0", True), (None, True), (None, False)]


@pytest.mark.parametrize("depth", [9_000, 200_000])
def test_deep_nesting_is_no_recursion(depth: int) -> None:
    """Nesting of any depth is followed without recursion, or ends the set as incomplete."""
    data = f'[{{"MD5":"{MD5[0]}","x":'.encode() + b"[" * depth + b"]" * depth + f'}},{{"MD5":"{MD5[1]}"}}]'.encode()
    events = all_events(by_name("vics"), data)
    records = sum(isinstance(e, Record) for e in events)

    assert (2 if depth < 10_000 else 0) == records
    assert (depth >= 10_000) == any(isinstance(e, Incomplete) for e in events)


def test_broken_json_in_the_middle_is_incomplete() -> None:
    """What stands before the damage is kept, the record in it is `truncated`, and the set is incomplete."""
    events = all_events(by_name("vics"), f'[{{"MD5":"{MD5[0]}"}},{{"MD5":"{MD5[1]}",,}},{{"MD5":"{MD5[2]}"}}]'.encode())

    assert [e.position for e in events if isinstance(e, Record)] == [1]
    assert [e.reason for e in events if isinstance(e, Skip)] == ["truncated"]
    assert any(isinstance(e, Incomplete) for e in events)


@pytest.mark.parametrize("tail", [b"", b" \r\n\t\n", b"\0\0\0\n", b'{"MD5": "x"}', b"}]}" * 100_000])
def test_bytes_behind_the_end_are_counted(tail: bytes) -> None:
    """Bytes behind the document are counted exactly, also over many chunks, with quotes and backslashes before them."""
    body = json.dumps([{"MD5": h, "Comments": '\\"]}\\' * 40} for h in MD5 * 10]).encode()
    events = all_events(by_name("vics"), body + tail)
    wanted = [f"trailing_bytes:{len(tail)}"] if tail.strip() else []

    assert sum(isinstance(e, Record) for e in events) == 500
    assert wanted == [e.text for e in events if isinstance(e, Warn) and e.text.startswith("trailing")]


def test_xml_entities_are_refused() -> None:
    """An XML file that declares entities is refused before anything is expanded."""
    bomb = b'<!DOCTYPE q [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">&b;</queryResult>'
    with pytest.raises(Refused, match="entities"):
        all_events(by_name("ncmec-hashsharing-v2"), bomb)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (",".join(["7", *["1"] * 143]), bytes([7] + [1] * 143)),
        ("01" * 143 + "ff", bytes([1] * 143 + [255])),
        ("00" * 144, "photodna_placeholder"),
        ("00" * 143, "photodna_bad_length"),
        ("256," * 144, "photodna_bad_length"),
        ("æ", "photodna_bad_length"),
    ],
)
def test_photodna_spellings(text: str, wanted: bytes | str) -> None:
    """PhotoDNA comes as base64, hex or decimals; another length or all-equal bytes are refused."""
    assert wanted == photodna(text)


@pytest.mark.parametrize("name", ["hashsets/nsrl_rds3_minimal.db", "hashsets/autopsy.kdb"])
def test_damaged_sqlite_is_refused_or_incomplete(name: str, shared: Path, tmp_path: Path) -> None:
    """A SQLite set with bytes overwritten or cut anywhere is refused, incomplete or still readable; never a crash."""
    data = (shared / "formats" / name).read_bytes()
    known = detect(data[:65536], name)
    assert known is not None
    for at in range(0, len(data), 311):
        for damaged in (data[:at], data[:at] + b"\xff" * 40 + data[at + 40 :]):
            path = tmp_path / "x.db"
            path.write_bytes(damaged)
            try:
                with path.open("rb") as stream:
                    check_events(list(known.records(stream, Options(path=str(path)))))
            except Refused:
                continue


def test_sqlite_cannot_be_read_from_a_stream(shared: Path) -> None:
    """Formats that need a path say so."""
    for known in FORMATS:
        if known.needs_path:
            with pytest.raises(Refused, match="path"):
                all_events(known, b"SQLite format 3\0")


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "1e99999999999999999999", "1" * 70_000, "9223372036854775808", "-", "1e"])
def test_numbers_beyond_measure_end_as_incomplete(number: str) -> None:
    """A number that no program can hold ends the set as incomplete, it does not kill the reader."""
    events = all_events(by_name("vics"), f'[{{"MD5":"{MD5[0]}"}},{{"MD5":"{MD5[1]}","MediaID":{number}}}]'.encode())

    assert [e.position for e in events if isinstance(e, Record)] == [1]
    assert any(isinstance(e, Incomplete) for e in events)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("1.0", "1"), ("1e0", "1"), ('"1"', "1"), ("1", "1"), ("1.5", "1.5"), ("9223372036854775807", "9223372036854775807")],
)
def test_whole_numbers_are_one_category_however_written(written: str, wanted: str) -> None:
    """1, 1.0, 1e0 and "1" are one category, and 64-bit integers stay exact."""
    events = all_events(by_name("vics"), f'[{{"MD5":"{MD5[0]}","Category":{written}}}]'.encode())

    assert [wanted] == [e.category for e in events if isinstance(e, Record)]


@pytest.mark.parametrize("text", [b"\\ud800", b"\\udc00", b"\\ud800\\ud800", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xff", b"\\u0000"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_that_is_no_unicode_does_not_kill_the_reader(text: bytes, mark: bytes) -> None:
    """Half surrogates and bytes that are no UTF-8 end in a record or an incomplete set, in values and in keys."""
    for body in (b'[{"MD5":"%s","Comments":"%s"}]', b'[{"MD5":"%s","%s":1}]'):
        events = all_events(by_name("vics"), mark + body % (MD5[0].encode(), text))

        assert any(isinstance(e, Record | Incomplete) for e in events)
        for event in events:
            if isinstance(event, Record):
                "".join(event.extra.values()).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_chunk_borders_do_not_matter(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the stream is cut into chunks, records, warnings and the count of trailing bytes are the same."""
    text = [{"MD5": h, "Comments": 'é\\"]}\\\\', "MediaFiles": [{"FileName": '}]"'}]} for h in MD5[:6]]
    data = json.dumps(text, ensure_ascii=False).encode() + b'\0"]}\n'
    whole = all_events(by_name("vics"), data)
    monkeypatch.setattr("safelight.match.formats.json_stream.CHUNK", size)
    monkeypatch.setattr("safelight.match.formats.text.CHUNK", size)
    rows = "md5;name\r\n" + "".join(f'{h};"a\n""é"\r\n' for h in MD5[:6])

    assert whole == all_events(by_name("vics"), data)
    assert "trailing_bytes:5" in [e.text for e in whole if isinstance(e, Warn)]
    for encoding in ("utf-8", "utf-16", "cp1252"):
        events = all_events(by_name("csv"), rows.encode(encoding))
        assert [e.extra["name"] for e in events if isinstance(e, Record)] == ['a\n"é'] * 6


def test_low_quality_hashes_are_stored_and_not_used(shared: Path, run: Callable[..., ImportReport]) -> None:
    """Of three PDQ hashes one has quality 49: it is stored and flagged, two are used for matching."""
    report = run(shared / "formats" / "hashsets/pdq_quality.csv")

    assert (report.stored_values["pdq"], report.low_quality, report.used_for_matching) == (3, 1, 2)
