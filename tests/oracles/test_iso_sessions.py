"""ISO 9660 discs of several sessions, written by xorriso and by genisoimage: every file of every session, with its bytes."""

from __future__ import annotations

from pathlib import Path

import images
from images import content, run
from kits.filesystem_kit import FileSource, fls, listing, printed, read
from safelight.evidence.filesystems.iso9660_sessions import sessions

SECTOR = 2048


def _tree(folder: Path, names: dict[str, int]) -> Path:
    folder.mkdir()
    for name, seed in names.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content(seed, 5000 + seed))
    return folder


def test_what_a_later_session_dropped_or_replaced_is_deleted(tmp_path: Path) -> None:
    """xorriso copies the newest descriptors to sector 16; the first session is behind them. `fls` lists the newest alone."""
    first, disc = _tree(tmp_path / "a", {"kept.bin": 1, "gone.bin": 2, "sub/changed.bin": 3}), tmp_path / "x.iso"
    later = tmp_path / "later.bin"
    later.write_bytes(content(9, 4000))
    run(
        *("xorriso", "-outdev", disc, "-joliet", "on", "-map", first, "/", "-commit", "-rm", "/gone.bin", "--"),
        *("-map", later, "/new.bin", "-rm", "/sub/changed.bin", "--", "-map", later, "/sub/changed.bin", "-commit", "-end"),
    )
    found = listing(disc)
    assert [p.kind for p in found.problems] == []
    rows = fls(disc)
    assert [r.path for r in rows] == [printed(e.path) for e in found.entries[: len(rows)]]
    older = {e.path: (e.state, e.note, read(found.fs, e.address)) for e in found.entries[len(rows) :]}
    assert older == {
        b"gone.bin": ("deleted", "session at sector 32", content(2, 5002)),
        b"sub/changed.bin": ("deleted", "session at sector 32", content(3, 5003)),
    }
    assert found.fs.accounts().deleted == 2


def test_a_disc_copied_as_it_is_gives_its_later_session(tmp_path: Path) -> None:
    """Sessions of genisoimage one behind the other: the descriptors at sector 16 are the first's, what the last adds is live."""
    first, second = _tree(tmp_path / "a", {"kept.bin": 1}), _tree(tmp_path / "b", {"new.bin": 4, "more/new.bin": 5})
    disc, more = tmp_path / "x.iso", tmp_path / "more.iso"
    run("genisoimage", "-quiet", "-R", "-J", "-o", disc, first)
    start = -(-disc.stat().st_size // SECTOR // 16) * 16
    disc.write_bytes(disc.read_bytes().ljust(start * SECTOR, b"\0"))
    run("genisoimage", "-quiet", "-R", "-J", "-C", f"0,{start}", "-M", disc, "-o", more, second)
    disc.write_bytes(disc.read_bytes() + more.read_bytes())
    found = listing(disc)
    files = {e.path: (e.state, read(found.fs, e.address)) for e in found.entries if e.type == "file"}
    assert files == {
        b"kept.bin": ("live", content(1, 5001)),
        b"new.bin": ("live", content(4, 5004)),
        b"more/new.bin": ("live", content(5, 5005)),
    }
    assert [p.kind for p in found.problems] == []


def test_a_disc_image_in_a_file_of_a_disc_is_no_session(tmp_path: Path) -> None:
    """Its descriptors count from the file, not from the disc."""
    folder = _tree(tmp_path / "a", {"one.bin": 1})
    (folder / "inner.iso").write_bytes(images.iso().read_bytes())
    run("genisoimage", "-quiet", "-R", "-J", "-o", tmp_path / "x.iso", folder)
    found = listing(tmp_path / "x.iso")
    assert sessions(FileSource(tmp_path / "x.iso")) == ([], None)
    assert {e.path for e in found.entries if e.type == "file"} == {b"one.bin", b"inner.iso"}
