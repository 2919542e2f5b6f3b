"""Kinds of volumes beyond the usual: each line of `fls -r -p` and each content of `icat`; where those cannot, the tree itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import images
from images_kinds import DELETED, KINDS
from kits.filesystem_kit import GONE, FileSource, fls, icat, listing, printed, read
from safelight.evidence.source import Entry

NOT_BY_FLS = [name for name in KINDS if name.startswith("xfs") or "bigalloc" in name]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", [n for n in KINDS if n not in NOT_BY_FLS])
def test_kind_equals_fls_and_icat(name: str) -> None:
    """The same addresses, paths and states in the same order, the same bytes, and accounts that add up."""
    image = KINDS[name]()
    found = listing(image)
    rows = fls(image)
    assert [(r.deleted, r.address, r.path) for r in rows] == [(e.state in GONE, e.address, printed(e.path)) for e in found.entries]
    compared = 0
    step = 1 + len(rows) // 300  # a process of `icat` for each content is dear: of the large ones every so-manieth
    for row, e in list(zip(rows, found.entries, strict=True))[::step]:
        if row.kind[-1] == "r" and not row.reallocated and not e.problems:
            assert icat(image, row.address) == read(found.fs, e.address), e
            compared += 1
    assert compared > 20
    assert [(p.kind, p.reason) for p in found.problems] == []


@pytest.mark.parametrize("name", [n for n in KINDS if not n.startswith(("fat", "iso"))])
def test_kind_equals_its_tree(name: str) -> None:
    """Every live file of the tree that went in is listed, with its bytes. A hole that mke2fs lost (inline data) says so."""
    root = os.fsencode(images.made_tree(not name.startswith(("ntfs", "exfat"))))
    found = listing(KINDS[name]())
    live = {e.path: e for e in found.entries if e.state == "live"}
    gone = {n[1:].encode() for n in DELETED}
    compared = 0
    for folder, _, files in os.walk(root):
        for file in files:
            place = os.path.join(folder, file)
            path = os.path.relpath(place, root)
            if path in gone or path.startswith(b"del/") or os.path.islink(place) or not os.path.isfile(place):
                continue
            if name == "ext4_inline" and path.startswith((b"text/hole", b"text/zeros")):
                continue  # mke2fs 1.47.0 writes a wrong size or no content for a sparse file with inline_data
            assert Path(os.fsdecode(place)).read_bytes() == read(found.fs, live[path].address), path
            compared += 1
    assert compared > 80
    assert [(p.kind, p.reason) for p in found.problems] == []


@pytest.mark.parametrize("name", ["iso_joliet", "iso_xorriso", "iso_plain", "iso_udf"])
def test_second_iso_reader_equals_fls(name: str) -> None:
    """The second reader of ISO 9660 gives the live names of `fls` with the bytes of `icat`."""
    from safelight.evidence.filesystems.iso9660 import open_records

    image = KINDS[name]()
    rows = {r.path: r for r in fls(image) if not r.deleted and r.kind[-1] != "V"}
    second = open_records(FileSource(image))
    # The Sleuth Kit drops a dot at the end of a name, the second reader keeps it.
    found = {printed(e.path).removesuffix(b"."): e for e in second.entries() if isinstance(e, Entry)}
    assert set(rows) == set(found)
    for path, e in found.items():
        assert (e.type == "directory") == (rows[path].kind[-1] == "d")
        if e.has_content:
            assert icat(image, rows[path].address) == read(second, e.address), path


def test_second_iso_reader_knows_rock_ridge() -> None:
    """Names of Rock Ridge, which the Sleuth Kit leaves out on discs of genisoimage without Joliet: those of the tree."""
    from safelight.evidence.filesystems.iso9660 import open_records

    second = open_records(FileSource(KINDS["iso_rock_ridge"]()))
    found = {e.path: e for e in second.entries() if isinstance(e, Entry)}
    root = images.made_tree(True)
    for path in (b"deep/a/b/c/d/leaf", b"names/nfd_e\xcc\x81.txt", b"sizes/s1048577.bin", b"many/f059.dat"):
        assert (root / os.fsdecode(path)).read_bytes() == read(second, found[path].address)


def test_a_disc_that_the_first_reader_refuses_is_read_by_the_second(tmp_path: Path) -> None:
    """With a root folder that the Sleuth Kit cannot use in the primary descriptor, the disc comes from the second, which says so."""
    disc = bytearray(KINDS["iso_joliet"]().read_bytes())
    disc[32768 + 128 : 32768 + 132] = b"\x01\x00\x00\x01"  # the block size of the primary descriptor
    target = tmp_path / "x.iso"
    target.write_bytes(disc)
    found = listing(target)
    assert [p.kind for p in found.problems] == ["second-reader"]
    assert b"many/f059.dat" in {e.path for e in found.entries}
