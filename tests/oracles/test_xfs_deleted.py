"""Deleted files of XFS against what the kernel wrote before it deleted them: names, bytes, times, states."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import images
from images import blank, content, interleave, mounted, run
from kits.filesystem_kit import FileSource, Listing, listing, read
from safelight.evidence.filesystems.walked import Hooks
from safelight.evidence.filesystems.xfs_structures import XfsVolume
from safelight.evidence.filesystems.xfs_walk import XfsInodes
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
        interleave([many / f"piece {i}.bin" for i in range(2)], 5, 8192, 200, 10)
        for i in range(2):
            with (many / f"piece {i}.bin").open("ab") as f:
                f.write(LAST)
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


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Path]:
    """A volume as mkfs.xfs makes it, from which files were deleted; to be damaged."""
    _made(tmp_path / "x.img")
    yield tmp_path / "x.img"
    (tmp_path / "x.img").unlink()


def _tree_of_inodes(image: Path) -> int:
    """Return where the root of the first group's tree of inodes lies."""
    with image.open("rb") as f:
        block_size = int.from_bytes(f.read(8)[4:], "big")
        f.seek(2 * 512 + 20)
        return int.from_bytes(f.read(4), "big") * block_size


def _overwrite(image: Path, at: int, data: bytes) -> None:
    with image.open("r+b") as f:
        f.seek(at)
        f.write(data)


def test_a_volume_with_a_new_identifier(plain: Path) -> None:
    """A volume that was given another identifier (a clone): its deleted files are found as before."""
    truth, before = _truth(plain), _gone(listing(plain))
    run("xfs_admin", "-U", "generate", plain)
    found = listing(plain)
    assert ["second-reader"] == [p.kind for p in found.problems]
    assert {n: e.size for n, e in before.items()} == {n: e.size for n, e in _gone(found).items()}
    assert truth["short/s1"][0] in {_md5(found, e.address) for e in _gone(found).values() if e.state == "orphan"}


@pytest.mark.parametrize("damage", ["signature", "loop", "leaves the group"])
def test_a_damaged_tree_of_inodes_costs_no_neighbour(plain: Path, damage: str) -> None:
    """A tree of inodes that has no signature, does not end, or leaves its group: a problem; live files and other lists are complete."""
    before = sorted(e.path for e in listing(plain).entries if e.state == "live")
    root = _tree_of_inodes(plain)
    change = {"signature": (0, b"XXXX"), "loop": (12, (root // 4096).to_bytes(4, "big")), "leaves the group": (12, b"\x7f\xff\xff\xff")}
    _overwrite(plain, root + change[damage][0], change[damage][1])
    found = listing(plain)
    assert before == sorted(e.path for e in found.entries if e.state == "live")
    assert {"corrupt"} <= {p.kind for p in found.problems} <= {"corrupt", "second-reader"}


def test_an_impossible_size_is_no_size(plain: Path) -> None:
    """A freed inode that claims a first extent far behind the volume, or the last one of it: nothing is read from there, others come."""
    truth, before = _truth(plain), listing(plain)
    (orphan,) = [e for e in _gone(before).values() if e.state == "orphan"]
    volume = XfsVolume(FileSource(plain))
    number = int(orphan.address.removeprefix("free-"))
    raw = volume.inode(number)
    with plain.open("rb") as f:
        place = f.read().index(raw)
    _overwrite(plain, place + 176 + 16, ((1 << 40) << 73 | 5 << 21 | 3).to_bytes(16, "big"))
    found = listing(plain)
    assert truth["short/s1"][0] in {_md5(found, e.address) for e in _gone(found).values() if e.state == "orphan"}
    _overwrite(plain, place + 176, (((1 << 51) - 1) << 21 | 9).to_bytes(16, "big"))
    assert [] == [e for e in _gone(listing(plain)).values() if e.state == "orphan"]


def test_a_truncated_volume_keeps_what_is_before_the_end(plain: Path) -> None:
    """A volume cut in its middle: names and orphans of the first half come out, what is missing is a problem."""
    truth = _truth(plain)
    os.truncate(plain, plain.stat().st_size // 2)
    found = listing(plain)
    gone = _gone(found)
    assert "truncated" in {p.kind for p in found.problems}
    assert truth["many/picture number 017.jpg"][0] == _md5(found, gone["many/picture number 017.jpg"].address)


def _readers_differ(image: Path) -> list[str]:
    """Return where our own walk and libfsxfs differ: paths, types, sizes, times, blocks, links, bytes."""
    first, source = listing(image), FileSource(image)
    xfs = XfsVolume(source)
    second = XfsInodes(xfs, source, Hooks())
    entries = [e for e in second.entries() if isinstance(e, Entry)]
    facts = ("address", "path", "type", "size", "allocated", "mtime", "atime", "ctime", "btime", "link", "has_content")
    live = [e for e in first.entries if e.state == "live"]
    ours, theirs = ({tuple(getattr(e, f) for f in facts) for e in each} for each in (entries, live))
    bytes_differ = [e.path for e in entries if e.has_content and _md5(first, e.address) != hashlib.md5(read(second, e.address)).hexdigest()]
    return [repr(x) for x in (*sorted(ours ^ theirs), *bytes_differ)] if len(entries) == len(live) else [f"{len(entries)} {len(live)}"]


def test_the_second_reader_equals_the_first(image: Path) -> None:
    """Our own walk gives what libfsxfs gives."""
    assert [] == _readers_differ(image)


def test_the_second_reader_equals_the_first_on_odd_names() -> None:
    """The same on a tree with names that are not UTF-8, links, deep folders, empty and large files."""
    assert [] == _readers_differ(images.xfs())


def test_a_deleted_folder_comes_back_with_its_files(plain: Path) -> None:
    """A folder that was deleted with 70 files in it: it, and each file below it by its name and byte for byte."""
    with mounted(plain, "xfs") as point:
        shutil.rmtree(point / "many/inner folder")
    truth, found = _truth(plain), listing(plain)
    gone = _gone(found)
    inside = {n: truth[n][0] for n in truth if n.startswith("many/inner folder/")}
    assert ("directory", "deleted") == (gone["many/inner folder"].type, gone["many/inner folder"].state)
    assert (70, inside) == (len(inside), {n: _md5(found, e.address) for n, e in gone.items() if n.startswith("many/inner folder/")})


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
