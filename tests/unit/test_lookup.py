"""Look-ups without a case: digests, PDQ hashes and files against the sets, and against all cases of the unit within their gates."""

from __future__ import annotations

import csv
import io
import json
from hashlib import md5, sha1, sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from command import Command
from safelight.match import lookup
from safelight.match.importer import import_set
from safelight.match.library import Library
from safelight.match.lookup import Asked, asked, matches, open_sets
from safelight.native.hamming_twin import distances


def rows(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def picture(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    small.resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=92)
    return path


@pytest.fixture
def unit(safelight: Command, tmp_path: Path) -> Command:
    """A library of two sets: digests with categories, and the PDQ hash of a picture."""
    from safelight.extract.pictures import extract_picture

    data = [b"one", b"two", b"three"]
    (tmp_path / "a.csv").write_text(
        "md5,sha1,category\n" + "".join(f"{md5(d).hexdigest()},{sha1(d).hexdigest()},{n}\n" for n, d in enumerate(data))
    )
    shown = extract_picture(picture(tmp_path / "p.jpg", 1).read_bytes(), "image/jpeg").picture
    assert shown is not None and shown.pdq is not None
    (tmp_path / "b.csv").write_text(f"pdq,category\n{shown.pdq.hex()},1\n")
    safelight("hashset", "add", tmp_path / "a.csv", "--as", "illegal", "--name", "A", "--scheme", "vics-us", expect=(0, 1))
    safelight("hashset", "add", tmp_path / "b.csv", "--as", "other", "--name", "B", expect=(0, 1))
    return safelight


def test_a_digest_is_found_with_its_entry(unit: Command) -> None:
    """One digest, in the columns that are promised; the exit code is 0 with or without a match."""
    done = unit("lookup", md5(b"two").hexdigest().upper(), "--format", "jsonl", expect=(0,))
    (row,) = rows(done)
    wanted = {
        "query": md5(b"two").hexdigest().upper(),
        "set": "A",
        "version": "1",
        "entry": 2,
        "distance": 0,
        "form": "full",
        "category": "vics-us:1",
    }
    assert wanted.items() <= row.items()
    assert b"1 queries, 1 with a match" in done.stderr
    assert rows(unit("lookup", md5(b"unknown").hexdigest(), "--format", "jsonl", expect=(0,))) == []


def test_a_list_is_read_from_a_file_and_what_is_none_is_said(unit: Command, tmp_path: Path) -> None:
    """md5sum lines, blanks, comments, SHA-1 and SHA-256 in one list; a line that is no digest is a problem with its number."""
    lines = [
        f"{md5(b'one').hexdigest()}  name of it",
        "# note",
        "",
        "zz",
        sha1(b"three").hexdigest(),
        sha256(b"one").hexdigest(),
        "0" * 31 + "g",
    ]
    (tmp_path / "q.txt").write_text("\n".join(lines))
    done = unit("lookup", "--digests", tmp_path / "q.txt", "--format", "csv", expect=(1,))
    found = list(csv.DictReader(io.StringIO(done.stdout.decode("utf-8-sig"))))

    assert [("1", "md5"), ("3", "sha1")] == [(r["entry"], r["method"]) for r in found]
    assert b"line 4" in done.stderr and b"line 7" in done.stderr and b"line 3" not in done.stderr


def test_a_picture_is_hashed_as_a_run_does(unit: Command, tmp_path: Path) -> None:
    """A mirrored, smaller copy of a listed picture is found with its distance and turn; a text file is no picture and no problem."""
    Image.open(tmp_path / "p.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((240, 180)).save(tmp_path / "copy.png")
    (tmp_path / "one.bin").write_bytes(b"one")
    found = rows(unit("lookup", tmp_path / "copy.png", tmp_path / "one.bin", "--format", "jsonl"))

    assert [("B", "pdq", "flipy"), ("A", "md5", "identity"), ("A", "sha1", "identity")] == [
        (r["set"], r["method"], r["transform"]) for r in found
    ]
    assert 0 <= found[0]["distance"] <= 31


def test_a_picture_inside_a_screenshot_or_collage_is_found(unit: Command, tmp_path: Path) -> None:
    """The listed picture in a chat, and mirrored beside another one: the match says panel, the turn, and where. A light page alone hits nothing."""
    listed = Image.open(tmp_path / "p.jpg")
    chat = Image.new("RGB", (420, 800), (245, 245, 245))
    draw = ImageDraw.Draw(chat)
    draw.rectangle((0, 0, 420, 60), fill=(20, 90, 80))
    draw.rounded_rectangle((20, 600, 300, 660), 12, fill=(210, 240, 210))
    draw.text((30, 610), "seen it?", fill=0, font_size=30)
    chat.save(tmp_path / "page.png")
    chat.paste(listed, (50, 200))
    chat.save(tmp_path / "chat.png")
    both = Image.new("RGB", (660, 240), (255, 255, 255))
    both.paste(listed.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (0, 0))
    both.paste(Image.open(picture(tmp_path / "other.jpg", 9)), (340, 0))
    both.save(tmp_path / "both.png")
    found = rows(unit("lookup", *(tmp_path / f"{n}.png" for n in ("chat", "both", "page")), "--format", "jsonl"))

    assert [("chat.png", "panel", "identity"), ("both.png", "panel", "flipy")] == [
        (Path(r["query"]).name, r["form"], r["transform"]) for r in found
    ]
    assert all(r["distance"] <= 8 for r in found)
    for row, want in zip(found, ((50, 200, 320, 240), (0, 0, 320, 240)), strict=True):
        assert all(abs(int(a) - b) <= 4 for a, b in zip(row["box"].split(","), want, strict=True))
    assert list(found[0])[:7] == ["query", "set", "version", "entry", "distance", "form", "category"]


def test_pdq_hashes_are_found_within_the_distance(unit: Command, tmp_path: Path) -> None:
    """31 bits away is found, 32 is not; 64 digits are PDQ only where that is said."""
    base = bytes.fromhex((tmp_path / "b.csv").read_text().split("\n")[1].split(",")[0])
    near = [np.packbits(np.unpackbits(np.frombuffer(base, np.uint8)) ^ (np.arange(256) < bits)).tobytes().hex() for bits in (0, 31, 32)]
    (tmp_path / "q.txt").write_text("\n".join(near))

    assert [0, 31] == [r["distance"] for r in rows(unit("lookup", "--pdq", tmp_path / "q.txt", "--format", "jsonl"))]
    assert [0] == [r["distance"] for r in rows(unit("lookup", "--pdq", tmp_path / "q.txt", "--distance", 30, "--format", "jsonl"))]
    assert rows(unit("lookup", "--digests", tmp_path / "q.txt", "--format", "jsonl")) == []


def test_wrong_use_and_damage_have_their_exit_codes(unit: Command, tmp_path: Path) -> None:
    """Nothing asked, no such file, no such set: 2. A damaged set: 4, and it is named."""
    unit("lookup", expect=(2,))
    unit("lookup", tmp_path / "none", expect=(2,))
    unit("lookup", "0" * 32, "--set", "C", expect=(2,))
    (tmp_path / "library" / "sets" / "A" / "1" / "md5.keys").write_bytes(b"x")
    assert b"md5.keys" in unit("lookup", "1" * 32, expect=(4,)).stderr


def test_all_cases_are_asked_within_their_gates(unit: Command, tmp_path: Path) -> None:
    """Which exhibits hold it: only what the scope of each shows; every case has the question in its ledger; a broken one is said."""
    for name, scope in (("x", ()), ("y", ("--scope-path", "seen/*"))):
        folder = tmp_path / f"phone-{name}"
        for sub in ("seen", "hidden"):
            (folder / sub).mkdir(parents=True)
            (folder / sub / f"{name}-{sub}.bin").write_bytes(b"two")
        picture(folder / "seen" / "p.jpg", 1)
        case = tmp_path / "cases" / f"{name}.case"
        case.parent.mkdir(exist_ok=True)
        unit("new", case)
        unit("add", case, folder, "--exhibit", name.upper(), *scope)
        unit("run", case, "-q")
    (tmp_path / "cases" / "broken.case").mkdir()
    (tmp_path / "cases" / "broken.case" / "case.toml").write_text("format = 99\n")
    done = unit(
        "lookup",
        md5(b"two").hexdigest(),
        tmp_path / "p.jpg",
        "--cases",
        tmp_path / "cases",
        "--purpose",
        "who",
        "--format",
        "jsonl",
        expect=(1,),
    )
    found = rows(done)

    paths = {(Path(r["case"]).name, r["exhibit"], r["path"], r["method"]) for r in found}
    assert {
        ("x.case", "X", "seen/x-seen.bin", "md5"),
        ("x.case", "X", "hidden/x-hidden.bin", "md5"),
        ("y.case", "Y", "seen/y-seen.bin", "md5"),
    } == {p for p in paths if p[3] == "md5"}
    assert {("x.case", "pdq"), ("x.case", "sha256"), ("y.case", "pdq"), ("y.case", "sha256")} == {
        (p[0], p[3]) for p in paths if p[3] != "md5"
    }
    assert b"broken.case: not asked" in done.stderr
    for name in ("x", "y"):
        last = json.loads((tmp_path / "cases" / f"{name}.case" / "ledger.jsonl").read_text().splitlines()[-1])
        assert ("consult", "lookup", "who") == (last["what"], last["shows"], last["purpose"])


value = st.sampled_from([bytes([n]) * 2 + bytes(13) + bytes([m]) for n in (0, 1, 127, 128, 254, 255) for m in (0, 1, 255)])


@settings(max_examples=40, deadline=None)
@given(entries=st.lists(value, min_size=1, max_size=25), queries=st.lists(value, max_size=15), most=st.sampled_from([1, 3, 1000]))
def test_matches_are_those_of_a_dictionary(
    entries: list[bytes], queries: list[bytes], most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Duplicates, neighbours, first and last keys: the rows are those of a plain dictionary, however few are held at once."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "x.txt").write_text("".join(f"{e.hex()}\n" for e in entries))
    import_set(Library(folder / "library"), folder / "x.txt", name="s", as_="other", format="list")
    placeholders = {bytes([n]) * 16 for n in (0, 255)}
    listed: dict[bytes, list[int]] = {}
    for position, entry in enumerate(entries, 1):
        if entry not in placeholders:
            listed.setdefault(entry, []).append(position)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "CHUNK", 4)
        patch.setattr(lookup, "MOST_ROWS", most)
        batch, wrong = asked([q.hex() for q in queries])
        found = [(f.of, f.entry) for f in matches(batch, open_sets(Library(folder / "library")), 31)] if listed else []

    assert wrong == []
    assert [(n, position) for n, q in enumerate(queries) for position in listed.get(q, [])] == found


def test_pdq_look_ups_equal_a_plain_loop(tmp_path: Path) -> None:
    """Every pair within the distance, duplicates of entries included, in the order of queries and entries."""
    rng = np.random.default_rng(4)
    base = rng.integers(0, 256, (6, 32), dtype=np.uint8)
    flips = [np.packbits(np.arange(256) < bits) for bits in (0, 5, 31, 32)]
    entries = [b ^ f for b in base for f in flips] + [base[0]]
    (tmp_path / "x.txt").write_text("".join(f"{e.tobytes().hex()}\n" for e in entries))
    from safelight.match.entries import Options

    import_set(Library(tmp_path / "l"), tmp_path / "x.txt", name="s", as_="other", format="list", options=Options(declared_type="pdq"))
    batch, _ = asked([b.tobytes().hex() for b in base], pdq=True)
    found = [(f.of, f.entry, f.distance) for f in matches(batch, open_sets(Library(tmp_path / "l")), 31)]
    every = [(q, e, int(distances(b, entry[None])[0])) for q, b in enumerate(base) for e, entry in enumerate(entries, 1)]

    assert [row for row in every if row[2] <= 31] == found


def test_lines_are_sorted_out() -> None:
    """Widths decide; what has a wrong digit is told apart from its neighbours of the same length."""
    batch, wrong = asked(["a" * 31 + "1", "b" * 31 + "x", "c" * 40, "é" * 32, "", "d" * 64, "١" * 32])
    assert (Asked, [1, 3, 4, 6]) == (type(batch), wrong)
    assert {"md5": [0], "sha1": [2], "sha256": [5]} == {m: n.tolist() for m, (n, _) in batch.values.items()}
