"""The library: atomic imports, history, damage that is refused, and sorting in bounded memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from safelight.match import canaries
from safelight.match.entries import Record, Refused
from safelight.match.importer import import_set
from safelight.match.indexes import SetDamaged, quick_digest
from safelight.match.library import Library, default_path
from safelight.match.spill import Spill

MD5 = [f"{n * 0x9E3779B97F4A7C15 % (1 << 128):032x}" for n in range(1, 2001)]


def write_list(path: Path, hashes: list[str]) -> Path:
    path.write_text("md5,category\n" + "".join(f"{h},{n % 3}\n" for n, h in enumerate(hashes)))
    return path


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_list(tmp_path / "list.csv", MD5)


def test_a_set_is_listed_with_what_it_is(library: Library, source: Path) -> None:
    """The list names owner, meaning, counts and the digest of the source."""
    import_set(library, source, name="Unit list", as_="illegal", owner="unit 7", scheme="vics-us")
    (info,) = library.list()

    assert (info.name, info.version, info.owner, info.as_, info.scheme, info.state) == (
        "Unit list",
        "1",
        "unit 7",
        "illegal",
        "vics-us",
        "ready",
    )
    assert (info.matchable, info.records, len(info.source_sha256)) == ({"md5": 2000}, 2000, 64)


def test_canaries_are_planted_and_not_counted(library: Library, source: Path) -> None:
    """The index holds the canaries, marked and after the last entry; no count knows them."""
    report = import_set(library, source, name="s", as_="other")
    opened = library.open("s")

    assert (report.stored_values["md5"], len(opened.indexes["md5"].keys)) == (2000, 2000 + canaries.COUNT)
    assert canaries.COUNT == int((opened.marks == 4).sum()) == int((opened.marks[2000:] == 4).sum())


def test_a_new_version_becomes_current_and_the_old_one_stays(library: Library, source: Path, tmp_path: Path) -> None:
    """A set imported again under its name is a new version; the history is kept and can be opened."""
    import_set(library, source, name="s", as_="other")
    import_set(library, write_list(tmp_path / "b.csv", MD5[:5]), name="s", as_="other")

    assert [(i.version, i.state) for i in library.list()] == [("2", "ready")]
    assert [(i.version, i.state) for i in library.list(history=True)] == [("1", "history"), ("2", "ready")]
    assert (library.open("s").rows, library.open("s", "1").rows) == (5, 2000)


def test_an_incomplete_version_does_not_replace_a_whole_one(library: Library, source: Path, tmp_path: Path) -> None:
    """A cut download waits for a person; until then the version before it is matched with."""
    import_set(library, source, name="s", as_="other")
    cut = tmp_path / "cut.csv"
    cut.write_bytes(source.read_bytes()[:-20])
    report = import_set(library, cut, name="s", as_="other")

    assert (report.state, report.needs_confirmation, library.open("s").version) == ("incomplete", True, "1")
    library.confirm("s", "2", by="ab")
    assert (library.open("s").version, library.open("s").rows) == ("2", 1999)


def test_a_version_is_never_overwritten(library: Library, source: Path) -> None:
    """A version name that exists is refused."""
    import_set(library, source, name="s", as_="other", version="2026.1")
    with pytest.raises(Refused, match="already"):
        import_set(library, source, name="s", as_="other", version="2026.1")


def test_remove_takes_a_version_or_the_set(library: Library, source: Path) -> None:
    """Removing the current version brings back the one before; removing the set leaves nothing."""
    import_set(library, source, name="s", as_="other")
    import_set(library, source, name="s", as_="other")
    library.remove("s", "2")
    assert library.open("s").version == "1"
    library.remove("s")
    assert library.list() == []
    with pytest.raises(Refused):
        library.remove("s")


@pytest.mark.parametrize("name", ["../escape", "a/b", ".", "..", "nyå æøå", "x" * 120, "a%2Fb", "CON", " "])
def test_any_name_stays_inside_the_library(name: str, library: Library, source: Path) -> None:
    """A name is percent-encoded: it never leaves the folder of sets, and reads back as it was given."""
    import_set(library, source, name=name, as_="other")

    assert [name] == [i.name for i in library.list()]
    assert len(list(library.sets.iterdir())) == 1
    library.verify(name, "1")


@pytest.mark.parametrize("name", ["", "x" * 241, "æ" * 50, "a\nb"])
def test_impossible_names_are_refused(name: str, library: Library, source: Path) -> None:
    """Empty, too long, or with control characters: refused."""
    with pytest.raises(Refused):
        import_set(library, source, name=name, as_="other")


def test_what_the_set_means_must_be_said(library: Library, source: Path) -> None:
    """Without a meaning nothing is imported, and an unknown one is refused."""
    for wrong in (None, "bad"):
        with pytest.raises(Refused):
            import_set(library, source, name="s", as_=wrong)
    assert library.list() == []


def test_the_library_path_comes_from_option_environment_or_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The option goes before $SAFELIGHT_LIBRARY, that before the XDG data folder."""
    monkeypatch.setenv("SAFELIGHT_LIBRARY", str(tmp_path / "env"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert (tmp_path / "o", tmp_path / "env") == (default_path(tmp_path / "o"), default_path())
    monkeypatch.delenv("SAFELIGHT_LIBRARY")
    assert tmp_path / "xdg" / "safelight" / "library" == default_path()


FILES = ["md5.keys", "md5.rows", "md5.table", "positions", "categories", "marks", "qualities", "entries.parquet"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "gone"])
def test_a_damaged_file_is_refused(name: str, damage: str, library: Library, source: Path) -> None:
    """A file that was changed, cut, lengthened or removed is refused at opening, never matched with."""
    import_set(library, source, name="s", as_="other")
    path = library.set_folder("s") / "1" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    changed = {"flip": bytes(data), "cut": bytes(data[:-1]), "grow": bytes(data) + b"\0"}
    path.unlink()
    if damage in changed:
        path.write_bytes(changed[damage])

    with pytest.raises(SetDamaged):
        library.open("s")
    with pytest.raises(SetDamaged):
        library.verify("s", "1")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null"])
def test_a_damaged_manifest_is_refused_and_listed(data: bytes, library: Library, source: Path) -> None:
    """A manifest that cannot be read is refused; the list says `damaged` and goes on."""
    import_set(library, source, name="s", as_="other")
    (library.set_folder("s") / "1" / "manifest.json").write_bytes(data)

    with pytest.raises(SetDamaged):
        library.open("s")
    assert [i.state for i in library.list()] == ["damaged"]


def test_a_manifest_of_another_set_is_refused(library: Library, source: Path) -> None:
    """Folders that were swapped are noticed."""
    import_set(library, source, name="a", as_="other")
    import_set(library, source, name="b", as_="illegal")
    for file in (library.set_folder("a") / "1").iterdir():
        (library.set_folder("b") / "1" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(SetDamaged, match="another set"):
        library.open("b")


def test_large_files_are_checked_at_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit for a full check, a change at either end or in a sampled page still changes the quick digest."""
    monkeypatch.setattr("safelight.match.indexes.FULL_CHECK", 1000)
    path = tmp_path / "f"
    data = bytearray(1 << 20)
    path.write_bytes(data)
    before = quick_digest(path, len(data))
    for at in (0, len(data) - 1, (len(data) - 4096) // 2):
        changed = bytearray(data)
        changed[at] = 1
        path.write_bytes(changed)
        assert before != quick_digest(path, len(data))


def test_a_second_writer_is_refused(library: Library, source: Path) -> None:
    """Two imports at a time are not possible; the second is refused and says why."""
    import_set(library, source, name="s", as_="other")
    with library.writing(), pytest.raises(Refused, match="another import"):
        import_set(library, source, name="t", as_="other")


@pytest.mark.parametrize("fail_at", range(1, 40, 3))
def test_an_import_that_fails_at_any_file_operation_leaves_the_old_one(
    fail_at: int, library: Library, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever fsync or rename fails (disk full), the old version opens and verifies, and the next import works."""
    import_set(library, source, name="s", as_="other")
    calls = 0

    def failing(real: object) -> object:
        def run(*arguments: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls == fail_at:
                raise OSError(28, "No space left on device")
            return real(*arguments, **more)  # type: ignore[operator]

        return run

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync))
        patch.setattr(Path, "rename", failing(Path.rename))
        try:
            import_set(library, write_list(tmp_path / "b.csv", MD5[:7]), name="s", as_="other")
        except OSError:
            pass
        else:
            assert calls < fail_at
    assert library.open("s").rows in (2000, 7)
    library.verify("s", library.open("s").version)
    assert import_set(library, write_list(tmp_path / "c.csv", MD5[:3]), name="s", as_="other").records_stored == 3
    assert not (library.path / ".importing").exists()


def test_a_killed_import_leaves_the_old_one(library: Library, source: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of an import: the old version is current, the remains go with the next import."""
    import_set(library, source, name="s", as_="other")
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from safelight.match.importer import import_set\n"
        "from safelight.match.library import Library\n"
        "def slow(path, known, options):\n"
        "    for n, event in enumerate(known.records(path.open('rb'), options)):\n"
        "        if n == 100: print('half', flush=True); time.sleep(60)\n"
        "        yield event\n"
        "import_set(Library(sys.argv[1]), sys.argv[2], name='s', as_='other', reader=slow)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(library.path), str(source)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"half\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    assert (library.path / ".importing").exists()
    assert [(i.name, i.version, i.state) for i in library.list()] == [("s", "1", "ready")]
    assert import_set(library, source, name="s", as_="other").version == "2"
    assert not (library.path / ".importing").exists()


@pytest.mark.parametrize(
    "record",
    [
        Record(position=1, digests=[("md5", b"short")]),
        Record(position=1, digests=[("crc32", bytes(16))]),
        Record(position=1),
        Record(position=-1, digests=[("md5", bytes(16))]),
        Record(position=1, digests=[("md5", bytes(16))], repeats=0),
    ],
)
def test_a_lying_reader_is_refused(record: Record, library: Library, source: Path) -> None:
    """What the sandboxed reader answers is checked: impossible records stop the import, the library stays as it was."""
    with pytest.raises(Refused):
        import_set(library, source, name="s", as_="other", reader=lambda *unused: iter([record]))
    assert library.list() == []


def test_a_source_that_changes_while_it_is_read_is_refused(library: Library, source: Path) -> None:
    """The digest of the source is that of the bytes that were read, or there is no import."""

    def growing(path: Path, *unused: object) -> object:
        yield Record(position=1, digests=[("md5", bytes.fromhex(MD5[0]))])
        path.write_bytes(path.read_bytes() + b"x")

    with pytest.raises(Refused, match="changed"):
        import_set(library, source, name="s", as_="other", reader=growing)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["random", "one prefix", "all equal", "two keys", "few"])
def test_spilled_rows_come_back_sorted(kind: str, tmp_path: Path) -> None:
    """Radix partition gives every row back in order, whatever the skew, and leaves no files."""
    rng = np.random.default_rng(2)
    count = 50 if kind == "few" else 20_000
    rows = rng.integers(0, 256, (count, 24), dtype=np.uint8)
    if kind != "random":
        rows[:, :12] = 7
    if kind == "all equal":
        rows[:] = 9
    if kind == "two keys":
        rows[:, :16] = 9
        rows[::3, 15] = 8
    spill = Spill(tmp_path, "x", 24, buffer=10_000, block=4_000)
    for start in range(0, count, 700):
        spill.add(rows[start : start + 700])
    blocks = list(spill.blocks())

    assert sorted(r.tobytes() for r in rows) == [r.tobytes() for b in blocks for r in b]
    assert list(tmp_path.iterdir()) == []
    assert kind == "all equal" or max(b.nbytes for b in blocks) <= 4_000 or kind == "few"


@pytest.mark.slow
def test_memory_of_an_import_is_bounded(tmp_path: Path) -> None:
    """A million records of one line of JSON need less than 500 MiB, most of it the libraries."""
    source = tmp_path / "big.json"
    rng = np.random.default_rng(1)
    with source.open("w") as out:
        out.write('{"@odata.context":"http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media","value":[')
        for n, raw in enumerate(rng.bytes(36) for _ in range(1_000_000)):
            out.write(("," if n else "") + f'{{"MediaID":{n},"Category":{n % 4},"MD5":"{raw[:16].hex()}","SHA1":"{raw[16:].hex()}"}}')
        out.write("]}")
    code = (
        "import sys, resource, json\n"
        "from safelight.match.importer import import_set\n"
        "from safelight.match.library import Library\n"
        "r = import_set(Library(sys.argv[1]), sys.argv[2], name='s', as_='other')\n"
        "print(json.dumps([r.records_stored, r.stored_values['md5'], next(int(x.split()[1]) for x in open('/proc/self/status') if x.startswith('VmHWM'))]))\n"
    )
    started = time.monotonic()
    stored, distinct, peak_kib = json.loads(subprocess.check_output([sys.executable, "-c", code, str(tmp_path / "lib"), str(source)]))

    print(f"{stored / (time.monotonic() - started):.0f} records/s, {peak_kib >> 10} MiB")
    assert (stored, distinct) == (1_000_000, 1_000_000)
    assert peak_kib < 500 << 10


def test_long_texts_do_not_grow_memory(library: Library, tmp_path: Path) -> None:
    """A batch is written when its texts are large, so entries come in several row groups and none is lost."""
    source = tmp_path / "x.csv"
    source.write_text("md5,comments\n" + "".join(f"{h},{'x' * 40_000}\n" for h in MD5[:1200]))
    report = import_set(library, source, name="s", as_="other")
    entries = pq.ParquetFile(library.set_folder("s") / "1" / "entries.parquet")

    assert (report.records_stored, library.open("s").rows, entries.metadata.num_rows) == (1200, 1200, 1200)
    assert entries.num_row_groups > 2
