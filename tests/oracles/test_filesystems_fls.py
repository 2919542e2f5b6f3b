"""Every file-system reader against the Sleuth Kit of the distribution, on images made by code and on published ones."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

import images
from kits.filesystem_kit import GONE, FileSource, FilesystemKit, fls, listing, printed, read
from safelight.evidence.filesystems import open_filesystem, warm_up
from safelight.evidence.source import Unreadable


class TestNtfs(FilesystemKit):
    """NTFS with streams, compressed, sparse, fragmented and deleted files."""

    name = "ntfs"

    @pytest.fixture
    def image(self) -> Path:
        return images.ntfs()


class TestFat12(FilesystemKit):
    """FAT12 with deleted files."""

    name, table_of_records = "fat12", False

    @pytest.fixture
    def image(self) -> Path:
        return images.fat12()


class TestFat16(FilesystemKit):
    """FAT16 with deleted files."""

    name, table_of_records = "fat16", False

    @pytest.fixture
    def image(self) -> Path:
        return images.fat16()


class TestFat32(FilesystemKit):
    """FAT32 with deleted files."""

    name, table_of_records = "fat32", False

    @pytest.fixture
    def image(self) -> Path:
        return images.fat32()


class TestExFat(FilesystemKit):
    """exFAT with deleted files."""

    name, table_of_records = "exfat", False

    @pytest.fixture
    def image(self) -> Path:
        return images.exfat()


class TestExt2(FilesystemKit):
    """ext2, files deleted by debugfs."""

    name = "ext2"

    @pytest.fixture
    def image(self) -> Path:
        return images.ext2()


class TestExt3(FilesystemKit):
    """ext3 with a journal."""

    name = "ext3"

    @pytest.fixture
    def image(self) -> Path:
        return images.ext3()


class TestExt4(FilesystemKit):
    """ext4, files deleted by debugfs."""

    name = "ext4"

    @pytest.fixture
    def image(self) -> Path:
        return images.ext4()


class TestExt4Kernel(FilesystemKit):
    """ext4, files deleted by the kernel: orphans without size."""

    name = "ext4"

    @pytest.fixture
    def image(self) -> Path:
        return images.ext4_kernel()


class TestIso9660(FilesystemKit):
    """ISO 9660 with Rock Ridge and Joliet."""

    name, has_accounts, table_of_records = "iso9660", False, False

    @pytest.fixture
    def image(self) -> Path:
        return images.iso()


class TestHfs(FilesystemKit):
    """HFS+ out of the published DMG."""

    name = "hfs+"
    sector: ClassVar[int] = 40

    @pytest.fixture
    def image(self, evidence: Callable[[str], Path]) -> Path:
        return raw_of("hfsplus_zlib.dmg", evidence)


TOOL_FORMATS = {".qcow2": "qcow2", ".vhd": "vpc", ".vmdk": "vmdk", ".dmg": "dmg"}


def raw_of(name: str, evidence: Callable[[str], Path]) -> Path:
    """Convert an image of the shared data by an independent tool."""
    source = evidence(name)
    target = source.with_name(source.name + ".raw")
    if target.exists():
        return target
    if source.suffix in TOOL_FORMATS:
        images.run("qemu-img", "convert", "-f", TOOL_FORMATS[source.suffix], "-O", "raw", source, target)
    elif source.suffix == ".E01":
        images.run("ewfexport", "-u", "-q", "-f", "raw", "-t", source.with_name(source.name), source)
    elif source.suffix == ".000":
        target.write_bytes(source.read_bytes() + evidence(source.stem + ".001").read_bytes())
    else:
        return source
    return target


def truth(shared: Path) -> dict[str, list[dict[str, object]]]:
    """Return the published truth: volumes by image."""
    loaded = json.loads((shared / "evidence" / "truth.json").read_text())
    return {name: value.get("volumes", []) for name, value in loaded.items()}


IMAGES = [
    "ext2.E01",
    "ext2.qcow2",
    "ext2.splitraw.000",
    "ext2.vhd",
    "ext2.vmdk",
    "hfsplus_zlib.dmg",
    "iso9660.raw",
    "vsstest.qcow2",
    "image.E01",
    "tsk_volume_system.raw",
    "6-fat-undel.dd",
    "daylight.dd",
    "fat-img-kw.dd",
    "iso-dirtree1.iso",
    "fat32.img",
    "ext4k.img",
    "ntfs_cp.img",
]


@pytest.mark.shared
@pytest.mark.parametrize("name", IMAGES)
def test_shared_image_equals_truth(name: str, shared: Path, evidence: Callable[[str], Path]) -> None:
    """Every row of truth.json is an entry with the same address, path, state and MD5."""
    image = raw_of(name, evidence)
    volumes = truth(shared)[name]
    assert volumes
    for volume in volumes:
        sector, rows = int(str(volume["sector"])), volume["entries"]
        assert isinstance(rows, list)
        found = listing(image, sector)
        assert [(p.kind, p.reason) for p in found.problems] == []
        expected = [(deleted, address.removesuffix("r"), path) for deleted, _, address, path, _, _ in rows]
        assert expected == [(e.state in GONE, e.address, shown(e.path)) for e in found.entries]
        for (_, _, _, _, size, md5), e in zip(rows, found.entries, strict=True):
            if md5 is not None:
                data = read(found.fs, e.address)
                assert (size, md5) == (len(data), hashlib.md5(data).hexdigest()), e


def shown(path: bytes) -> str:
    """Return a path as truth.json writes it."""
    return printed(path).decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()


def compared_with_tree(image: Path, ignore: tuple[bytes, ...] = ()) -> list[str]:
    """Compare a listing with the tree the image was made from; return the differences."""
    root = os.fsencode(images.made_tree(True))
    found = listing(image)
    differences = [f"problem {p}" for p in found.problems]
    seen = set()
    for e in found.entries:
        seen.add(e.path)
        place = os.path.join(root, e.path)
        if not os.path.lexists(place):
            differences.append(f"not in the tree: {e.path!r}")
        elif e.type == "symlink" and e.link != os.readlink(place):
            differences.append(f"target of {e.path!r}")
        elif e.type == "file" and Path(os.fsdecode(place)).read_bytes() != read(found.fs, e.address):
            differences.append(f"content of {e.path!r}")
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.relpath(os.path.join(folder, name), root)
            if path not in seen and path not in ignore:
                differences.append(f"not listed: {path!r}")
    return differences


def test_xfs_equals_its_tree() -> None:
    """XFS: every file of the tree with its bytes, names that are not UTF-8 byte for byte, accounts without a problem."""
    assert compared_with_tree(images.xfs()) == []


@pytest.mark.shared
def test_apfs_lists_its_files(evidence: Callable[[str], Path]) -> None:
    """APFS: the seven files and folders of the published image, with contents that the other images of the tree share."""
    found = listing(evidence("apfs.raw"))
    assert found.problems == []
    by_path = {e.path: e for e in found.entries}
    assert {b"passwords.txt", b"a_link", b"a_directory/another_file", b"a_directory/a_file"} <= set(by_path)
    assert by_path[b"a_link"].link == b"a_directory/another_file"
    digests = {path: hashlib.md5(read(found.fs, by_path[path].address)).hexdigest() for path in (b"passwords.txt", b"a_directory/a_file")}
    assert digests == {b"passwords.txt": "39cb097008d17660abd0539891a672af", b"a_directory/a_file": "85bebf486af24792085f769afa46717d"}


@pytest.mark.parametrize("recipe", ["ext4_10k", "ntfs_10k", "exfat_10k", "fat32_10k"])
def test_large_folder_equals_fls(recipe: str) -> None:
    """A folder of 10,000 names with deleted ones: the same names as `fls`, in the same order."""
    image = getattr(images, recipe)()
    expected = [(r.deleted, r.address, r.path) for r in fls(image)]
    assert expected == [(e.state in GONE, e.address, printed(e.path)) for e in listing(image).entries]


@pytest.mark.parametrize("recipe", ["fat12", "fat16", "fat32", "ntfs", "ext2", "ext4_kernel"])
def test_own_folder_parsers_equal_fls(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The linear parsers for large folders, used for every folder, give what `fls` gives."""
    import msgspec

    from safelight.evidence.filesystems import tsk

    made = tsk.TskFileSystem.__init__

    def forced(self: tsk.TskFileSystem, *arguments: object) -> None:
        made(self, *arguments)  # type: ignore[arg-type]
        self.profile = msgspec.structs.replace(self.profile, large_size=0)

    monkeypatch.setattr(tsk.TskFileSystem, "__init__", forced)
    image = getattr(images, recipe)()
    expected = [(r.deleted, r.address, r.path) for r in fls(image)]
    assert expected == [(e.state in GONE, e.address, printed(e.path)) for e in listing(image).entries]


def test_second_reader_opens_what_the_first_cannot(tmp_path: Path) -> None:
    """An ext4 whose superblock the first reader refuses is listed by the second, which says so."""
    from safelight.evidence.filesystems.ext import open_yal

    warm_up()
    names = {e.path for e in open_yal(FileSource(images.ext4())).entries() if hasattr(e, "path")}
    assert b"many/f003.dat" in names


@pytest.mark.parametrize(("recipe", "module"), [("ntfs", "ntfs"), ("fat16", "fat"), ("exfat", "exfat"), ("ext4", "ext")])
def test_second_reader_reads_the_same_files(recipe: str, module: str) -> None:
    """The second reader of a format gives the same bytes for the live files of both readers."""
    import importlib

    warm_up()
    image = getattr(images, recipe)()
    second = importlib.import_module(f"safelight.evidence.filesystems.{module}").open_yal(FileSource(image))
    first = listing(image)
    by_path = {e.path: e for e in first.entries if e.type == "file" and e.state == "live"}
    compared = 0
    for e in second.entries():
        if getattr(e, "type", "") == "file" and e.path in by_path and e.has_content:
            assert read(first.fs, by_path[e.path].address) == read(second, e.address), e
            compared += 1
    assert compared > 60


def test_nothing_recognised_is_unsupported(tmp_path: Path) -> None:
    """Random bytes, zeros and an empty volume are refused as unsupported."""
    warm_up()
    for data in (b"", b"\0" * 100_000, images.content(1, 100_000)):
        path = tmp_path / "x"
        path.write_bytes(data)
        with pytest.raises(Unreadable) as caught:
            open_filesystem(FileSource(path))
        assert caught.value.kind == "unsupported"


def test_fls_is_the_expected_version() -> None:
    """The oracle is The Sleuth Kit 4.11 or later."""
    out = subprocess.run(["fls", "-V"], capture_output=True, check=True).stdout
    assert b"The Sleuth Kit" in out
