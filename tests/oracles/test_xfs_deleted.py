"""Deleted files of XFS against what the kernel wrote before it deleted them: names, bytes, times, states."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from images import blank, content, mounted, run
from kits.filesystem_kit import Listing, listing, read
from safelight.evidence.source import Entry

FORMS = {
    "v5": (),
    "small-blocks": ("-b", "size=1024"),
    "large-inodes": ("-i", "size=1024,nrext64=1", "-n", "size=8192"),
    "old-times": ("-m", "bigtime=0,inobtcount=0,reflink=0,finobt=0,rmapbt=0"),
}
LAST = b"\xff end"
"""What each file ends with: a file that ends in zeros comes back shorter, and its entry says so."""


def _write(folder: Path, name: str, size: int, seed: int) -> None:
    (folder / name).write_bytes(content(seed, size) + LAST)


def _made(image: Path, *options: str) -> None:
    run("mkfs.xfs", "-q", "-f", *options, blank(image, 320 << 20))
    with mounted(image, "xfs") as point:
        many, short = point / "many", point / "short"
        for folder in (many, short):
            folder.mkdir()
        for i in range(60):
            _write(many, f"picture number {i:03}.jpg", 1000 + 1777 * i, i)
        for i in range(3):
            _write(short, f"s{i}", 20_000, 100 + i)
        pieces = [(many / f"piece {i}.bin").open("wb", buffering=0) for i in range(2)]
        for k in range(5):
            for i, f in enumerate(pieces):
                f.write(content(200 + 10 * i + k, 8192))
                os.fsync(f.fileno())
        for f in pieces:
            f.write(LAST)
            f.close()
        inner = many / "inner folder"
        inner.mkdir()
        for i in range(70):
            _write(inner, f"inside the folder that goes {i:03}.dat", 3000 + i, 300 + i)
    with mounted(image, "xfs") as point:
        truth = [p for p in sorted(point.rglob("*")) if p.is_file()]
        lines = [f"{hashlib.md5(p.read_bytes()).hexdigest()} {p.stat().st_mtime_ns} {p.relative_to(point)}\n" for p in truth]
        for i in (3, 4, 5, 17, 40, 59):
            (point / f"many/picture number {i:03}.jpg").unlink()
        (point / "many/piece 1.bin").unlink()
        (point / "short/s1").unlink()
        (point / "many/picture number 020.jpg").rename(point / "short/moved.jpg")
    image.with_suffix(".md5").write_text("".join(lines))


@pytest.fixture(scope="module", params=list(FORMS))
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A volume of each form, from which files were deleted."""
    path = tmp_path_factory.mktemp("xfs") / "x.img"
    _made(path, *FORMS[request.param])
    yield path
    path.unlink()


def _truth(image: Path) -> dict[str, tuple[str, int]]:
    lines = (line.split(" ", 2) for line in image.with_suffix(".md5").read_text().splitlines())
    return {name: (md5, int(mtime)) for md5, mtime, name in lines}


def _md5(found: Listing, address: str) -> str:
    return hashlib.md5(read(found.fs, address)).hexdigest()


def _gone(found: Listing) -> dict[str, Entry]:
    return {os.fsdecode(e.path): e for e in found.entries if e.state != "live"}


def test_removed_names_come_back_with_their_bytes(image: Path) -> None:
    """Files deleted from a folder of many names: each by its name, byte for byte, with its time; nothing else is called deleted."""
    truth, found = _truth(image), listing(image)
    gone = _gone(found)
    names = [f"many/picture number {i:03}.jpg" for i in (3, 4, 5, 17, 40, 59)] + ["many/piece 1.bin"]
    assert [truth[n] for n in names] == [(_md5(found, gone[n].address), gone[n].mtime) for n in names]
    assert {("deleted", "file", "clusters free, zeros at the end cut off")} == {(gone[n].state, gone[n].type, gone[n].note) for n in names}
    assert {*names, "many/picture number 020.jpg"} == {n for n in gone if not n.startswith("$OrphanFiles/")}


def test_a_freed_inode_without_a_name_is_an_orphan(image: Path) -> None:
    """A file deleted from a folder whose names stand in its inode: an orphan with the bytes and the time of the file."""
    truth, found = _truth(image), listing(image)
    orphans = [e for e in _gone(found).values() if e.state == "orphan"]
    assert [truth["short/s1"]] == [(_md5(found, e.address), e.mtime) for e in orphans]
    assert (8, 1) == (found.fs.accounts().deleted, found.fs.accounts().orphans)


def test_a_moved_file_is_not_read_under_its_old_name(image: Path) -> None:
    """The old name of a file that lives on under another one is listed, has no content, and says why."""
    old = _gone(listing(image))["many/picture number 020.jpg"]
    assert ("deleted", False, ["reallocated"]) == (old.state, old.has_content, [kind for kind, _ in old.problems])


def test_nothing_live_is_lost(image: Path) -> None:
    """Every file that was not deleted is live, and the accounts of the volume hold."""
    truth, found = _truth(image), listing(image)
    deleted = {f"many/picture number {i:03}.jpg" for i in (3, 4, 5, 17, 40, 59, 20)} | {"many/piece 1.bin", "short/s1"}
    assert (set(truth) - deleted) | {"short/moved.jpg"} == {
        os.fsdecode(e.path) for e in found.entries if e.state == "live" and e.type == "file"
    }
    assert [] == found.problems


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A volume on which a folder and files were deleted, blocks were used again, and a file was deleted while it was open."""
    image = tmp_path_factory.mktemp("xfs-later") / "x.img"
    _made(image)
    with mounted(image, "xfs") as point:
        shutil.rmtree(point / "many/inner folder")
        run("sync", "-f", point)
        for i in range(40):
            _write(point / "many", f"new {i}", 200_000, 900 + i)
        held = (point / "many/held open.bin").open("wb", buffering=0)
        held.write(content(77, 50_000) + LAST)
        os.fsync(held.fileno())
        (point / "many/held open.bin").unlink()
        run("xfs_freeze", "-f", point)
        try:
            shutil.copyfile(image, image.with_suffix(".frozen"))
        finally:
            run("xfs_freeze", "-u", point)
            held.close()
    yield image.with_suffix(".frozen")
    image.with_suffix(".frozen").unlink()


def test_a_file_deleted_while_open_is_an_orphan(later: Path) -> None:
    """A volume taken while a deleted file was still open: the file is an orphan with all its bytes and its size."""
    found = listing(later)
    (held,) = [e for e in found.entries if e.note == "deleted while open"]
    assert (hashlib.md5(content(77, 50_000) + LAST).hexdigest(), "orphan", 50_000 + len(LAST)) == (
        _md5(found, held.address),
        held.state,
        held.size,
    )


def test_blocks_in_use_again_are_said(later: Path) -> None:
    """A deleted file whose bytes come out changed is called overwritten or was read from an inode that is in use; never deleted and whole."""
    truth, found = _truth(later.with_suffix(".img")), listing(later)
    whole = [e for e in found.entries if e.state == "deleted" and e.has_content and e.type == "file"]
    by_name = {name.rsplit("/", 1)[-1]: md5 for name, (md5, _) in truth.items()}
    wrong = [e.path for e in whole if _md5(found, e.address) != by_name.get(os.fsdecode(e.path).rsplit("/", 1)[-1])]
    assert [] == wrong
