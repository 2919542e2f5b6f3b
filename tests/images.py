"""Recipes that make test images of file systems by code and tools, cached in a folder of the temporary directory.

Every recipe is a function that returns the path of the image; where a tool, FUSE or a loop device is missing it skips the
test. A recipe's images are made once per `VERSION`; delete the folder to make them anew.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import pytest

VERSION = 4
FOLDER = Path(tempfile.gettempdir()) / f"safelight-images-{VERSION}-{os.getuid()}"
SIZES = (0, 1, 511, 512, 513, 700, 701, 1023, 4095, 4096, 4097, 65536, 100_000, 1_048_577)
ODD_NAMES = (
    "emoji_\U0001f600.txt".encode(),
    "rlo_\u202egpj.exe".encode(),
    "\u0645\u0644\u0641.txt".encode(),
    "nfc_\u00e9.txt".encode(),
    "nfd_e\u0301.txt".encode(),
    b" leading space",
    b"x" * 240,
)
POSIX_NAMES = (b"bytes_\xff\xfe\x80.jpg", b"new\nline.txt", b"back\\slash:colon", b"tab\tname", b"trailing dot.", b"trailing space ")


def run(*command: str | Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    """Run a tool; skip the test where it is not installed."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, **more)  # type: ignore[call-overload,no-any-return]


def cached(recipe: Callable[[Path], None]) -> Callable[[], Path]:
    """Make a recipe return the path of its image, made at the first use."""

    @wraps(recipe)
    def image() -> Path:
        FOLDER.mkdir(exist_ok=True)
        target = FOLDER / f"{recipe.__name__}.img"
        if not target.exists():
            working = FOLDER / f"{recipe.__name__}.{os.getpid()}.part"
            working.unlink(missing_ok=True)
            recipe(working)
            working.rename(target)
        return target

    return image


def content(seed: int, size: int) -> bytes:
    """Random bytes, the same every time."""
    return random.Random(seed).randbytes(size)


def interleave(paths: list[Path], rounds: int, size: int, seed: int, apart: int) -> None:
    """Write files in turns, each turn to the disk at once, so that each gets many fragments."""
    files = [path.open("wb", buffering=0) for path in paths]
    for k in range(rounds):
        for i, f in enumerate(files):
            f.write(content(seed + apart * i + k, size))
            os.fsync(f.fileno())
    for f in files:
        f.close()


def tree(folder: Path, posix: bool = True) -> None:
    """Write the tree with odd names and sizes; `posix` adds what only a POSIX file system can hold."""
    for name in ("sizes", "names", "text", "del/sub", "many", "deep/a/b/c/d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, size in enumerate(SIZES):
        (folder / "sizes" / f"s{size}.bin").write_bytes(content(i, size))
    for i, name in enumerate((*ODD_NAMES, *(POSIX_NAMES if posix else ()))):
        Path(os.fsdecode(os.path.join(os.fsencode(folder / "names"), name))).write_bytes(content(100 + i, 100 + i))
    (folder / "text" / "lines.txt").write_text("the same line again\n" * 20_000)
    (folder / "text" / "zeros.bin").write_bytes(bytes(2_000_000))
    for i in range(60):
        (folder / "many" / f"f{i:03}.dat").write_bytes(content(200 + i, 3000))
    for i in range(12):
        (folder / "del" / f"gone with a long name {i}.bin").write_bytes(content(300 + i, 5000 + 700 * i))
        (folder / "del" / "sub" / f"g{i}").write_bytes(content(400 + i, 300))
    (folder / "deep/a/b/c/d/leaf").write_bytes(b"leaf")
    if posix:
        with (folder / "text" / "sparse.bin").open("wb") as f:
            f.seek(900_000)
            f.write(b"end of a sparse file")
        with (folder / "text" / "hole at the end.bin").open("wb") as f:
            f.write(b"start")
            f.truncate(300_000)
        with (folder / "text" / "hole only.bin").open("wb") as f:
            f.truncate(150_000)
        (folder / "link").symlink_to("text/lines.txt")
        (folder / "longlink").symlink_to("x" * 200)
        os.link(folder / "text/lines.txt", folder / "text/hard.txt")
        os.mkfifo(folder / "fifo")


def delete_some(folder: Path) -> None:
    """Delete a part of `del` and write new files, so that some of the deleted clusters and records are used again."""
    for i in range(0, 12, 2):
        (folder / "del" / f"gone with a long name {i}.bin").unlink()
    shutil.rmtree(folder / "del" / "sub")
    run("sync", "-f", folder)  # this file system alone: a machine at work may have much to write elsewhere
    for i in range(3):
        (folder / "many" / f"later{i}.dat").write_bytes(content(500 + i, 6000))


@contextmanager
def mounted(image: Path, kind: str, *options: str) -> Iterator[Path]:
    """Mount an image for writing: by the kernel (root), or by FUSE for NTFS and exFAT. Skip where that is not possible."""
    point = Path(tempfile.mkdtemp(prefix="safelight-mount-"))
    loop = ""
    try:
        try:
            if kind == "exfat":
                loop = run("losetup", "-f", "--show", image).stdout.decode().strip()
                run("mount.exfat-fuse", loop, point)
            elif kind == "ntfs":
                run("ntfs-3g", "-o", ",".join(("compression", "streams_interface=xattr", *options)), image, point)
            else:
                run("mount", "-t", kind, "-o", "loop", image, point)
        except subprocess.CalledProcessError as e:
            pytest.skip(f"cannot mount {kind}: {e.stderr.decode(errors='replace')[:200]}")
        try:
            yield point
        finally:
            run("umount", point)
    finally:
        if loop:
            run("losetup", "-d", loop)
        point.rmdir()


def blank(image: Path, size: int) -> Path:
    """Make an empty sparse file."""
    with image.open("wb") as f:
        f.truncate(size)
    return image


def made_tree(posix: bool) -> Path:
    """The tree as a folder of the host, made once."""
    target = FOLDER / f"tree-{posix:d}"
    if not target.exists():
        working = FOLDER / f"tree-{posix:d}.{os.getpid()}"
        working.mkdir()
        tree(working, posix)
        working.rename(target)
    return target


def _ext(image: Path, kind: str, *options: str) -> None:
    run("mke2fs", "-q", "-t", kind, *options, "-d", made_tree(True), blank(image, 24 << 20), "24M")
    script = "\n".join(
        [f'rm "/del/gone with a long name {i}.bin"' for i in (0, 2, 4)] + [f"rm /del/sub/g{i}" for i in range(12)] + ["rmdir /del/sub"]
    )
    run("debugfs", "-w", "-f", "-", image, input=script.encode())


@cached
def ext2(image: Path) -> None:
    """ext2 with 1-KiB blocks; deletions by debugfs keep the block lists."""
    _ext(image, "ext2", "-b", "1024", "-L", "second")


@cached
def ext3(image: Path) -> None:
    """ext3 with a journal and 4-KiB blocks."""
    _ext(image, "ext3", "-b", "4096")


@cached
def ext4(image: Path) -> None:
    """ext4 with extents."""
    _ext(image, "ext4")


@cached
def ext4_kernel(image: Path) -> None:
    """ext4 written to and deleted from by the kernel: sizes and extents of deleted files are gone, records are used again."""
    run("mke2fs", "-q", "-t", "ext4", "-d", made_tree(True), blank(image, 32 << 20), "32M")
    with mounted(image, "ext4") as point:
        delete_some(point)


@cached
def ext4_unnamed(image: Path) -> None:
    """ext4 with a file whose name was taken away while its record stays in use."""
    shutil.copy(ext4(), image)
    run("debugfs", "-w", "-R", "unlink /sizes/s100000.bin", image)


def _fat(image: Path, bits: int, size: int, *options: str) -> None:
    run("mkfs.vfat", "-F", str(bits), "-n", "TEST", *options, blank(image, size))
    env = dict(os.environ, MTOOLS_SKIP_CHECK="1", LC_ALL="C.UTF-8")
    folders = sorted(p for p in made_tree(False).iterdir() if bits != 12 or p.name != "text")
    run("mcopy", "-i", image, "-s", *folders, "::", env=env)
    for i in (0, 2, 4, 6):
        run("mdel", "-i", image, f"::del/gone with a long name {i}.bin", env=env)
    run("mdeltree", "-i", image, "::del/sub", env=env)
    later = made_tree(False) / "many" / "f001.dat"
    run("mcopy", "-i", image, later, "::later.dat", env=env)


@cached
def fat12(image: Path) -> None:
    """FAT12 with deleted files."""
    _fat(image, 12, 4 << 20)


@cached
def fat16(image: Path) -> None:
    """FAT16 with deleted files."""
    _fat(image, 16, 24 << 20)


@cached
def fat32(image: Path) -> None:
    """FAT32 with clusters of one sector."""
    _fat(image, 32, 48 << 20, "-s", "1")


@cached
def exfat(image: Path) -> None:
    """exFAT written by exfat-fuse (root, loop device)."""
    run("mkfs.exfat", "-n", "EXTEST", blank(image, 32 << 20))
    with mounted(image, "exfat") as point:
        tree(point, posix=False)
        delete_some(point)


@cached
def ntfs(image: Path) -> None:
    """NTFS written by ntfs-3g: compressed, sparse and fragmented files, streams, deleted files and folders."""
    run("mkntfs", "-F", "-Q", "-s", "512", "-c", "4096", "-p", "0", "-H", "255", "-S", "63", "-L", "NTFSTEST", blank(image, 48 << 20))
    with mounted(image, "ntfs") as point:
        packed = point / "packed"
        packed.mkdir()
        os.setxattr(packed, "system.ntfs_attrib_be", struct.pack(">I", 0x810))
        tree(point, posix=False)
        (packed / "text.txt").write_bytes(b"compress me, I am text\n" * 30_000)
        (packed / "half.bin").write_bytes(content(600, 70_000) + bytes(200_000) + content(601, 70_001))
        with (point / "sparse.bin").open("wb") as f:
            f.seek(3_000_000)
            f.write(b"end")
        with (point / "hole at the end.bin").open("wb") as f:
            f.write(b"start")
            f.truncate(300_000)
        with (point / "hole only.bin").open("wb") as f:
            f.truncate(150_000)
        host = point / "with streams.txt"
        host.write_bytes(b"host")
        os.setxattr(host, "user.second", b"the second stream")
        os.setxattr(host, "user.big", content(602, 30_000))
        os.setxattr(point / "many", "user.onfolder", b"stream of a folder")
        interleave([point / f"frag{i}" for i in range(3)], 40, 4096, 1000, 100)
        delete_some(point)


@cached
def xfs(image: Path) -> None:
    """XFS written by the kernel (root)."""
    run("mkfs.xfs", "-q", "-f", "-L", "xfstest", blank(image, 310 << 20))
    with mounted(image, "xfs") as point:
        tree(point)


@cached
def iso(image: Path) -> None:
    """ISO 9660 with Rock Ridge and Joliet."""
    source = made_tree(False)
    run("genisoimage", "-quiet", "-R", "-J", "-joliet-long", "-iso-level", "3", "-V", "ISOTEST", "-o", image, source)


def fill(folder: Path, count: int) -> None:
    """Write `count` files of up to 400 bytes into one folder and delete every 50th, some of them the last ones."""
    folder.mkdir()
    for i in range(count):
        (folder / f"file number {i:07}.txt").write_bytes(b"%07d " % i * (i % 50))
    run("sync", "-f", folder)  # this file system alone: a machine at work may have much to write elsewhere
    for i in range(0, count, 50):
        (folder / f"file number {i:07}.txt").unlink()
    for i in range(count - 20, count):
        (folder / f"file number {i:07}.txt").unlink(missing_ok=True)


def _many_ext4(image: Path, count: int, size: int) -> None:
    run("mke2fs", "-q", "-t", "ext4", "-N", str(count + 1000), blank(image, size))
    with mounted(image, "ext4") as point:
        fill(point / "many", count)
        (point / "after").write_bytes(b"after the large folder")


@cached
def ext4_10k(image: Path) -> None:
    """ext4 with 10,000 files in one folder."""
    _many_ext4(image, 10_000, 128 << 20)


@cached
def ext4_100k(image: Path) -> None:
    """ext4 with 100,000 files in one folder."""
    _many_ext4(image, 100_000, 700 << 20)


def _many_ntfs(image: Path, count: int, size: int) -> None:
    run("mkntfs", "-F", "-Q", "-s", "512", "-c", "4096", "-p", "0", "-H", "255", "-S", "63", blank(image, size))
    with mounted(image, "ntfs") as point:
        fill(point / "many", count)
        (point / "after").write_bytes(b"after the large folder")


@cached
def ntfs_10k(image: Path) -> None:
    """NTFS with 10,000 files in one folder."""
    _many_ntfs(image, 10_000, 96 << 20)


@cached
def ntfs_100k(image: Path) -> None:
    """NTFS with 100,000 files in one folder."""
    _many_ntfs(image, 100_000, 400 << 20)


def _many_exfat(image: Path, count: int, size: int) -> None:
    run("mkfs.exfat", "-c", "4096", blank(image, size))
    with mounted(image, "exfat") as point:
        fill(point / "many", count)


@cached
def exfat_10k(image: Path) -> None:
    """exFAT with 10,000 files in one folder."""
    _many_exfat(image, 10_000, 128 << 20)


def write_fat32_folder(image: Path, count: int) -> None:
    """Write a FAT32 volume with `count` empty files (8.3 names, every 1,000th deleted) in the folder MANY, by hand.

    mkfs.vfat makes the frame; the chain of the folder is put into both tables. Clusters of 512 bytes hold 16 records.
    """
    clusters = count // 16 + 1
    run("mkfs.vfat", "-F", "32", "-s", "1", "-n", "BIG", blank(image, (clusters + 80_000) * 512))
    with image.open("r+b") as f:
        boot = f.read(512)
        reserved, fats = struct.unpack_from("<H", boot, 14)[0], boot[16]
        per_fat = struct.unpack_from("<I", boot, 36)[0]
        data = (reserved + fats * per_fat) * 512
        first = 3
        chain = struct.pack(f"<{clusters}I", *range(first + 1, first + clusters), 0x0FFFFFFF)
        for k in range(fats):
            f.seek((reserved + k * per_fat) * 512 + first * 4)
            f.write(chain)
        record = struct.Struct("<11sBBBHHHHHHHI")
        folder = record.pack(b"MANY       ", 0x10, 0, 0, 0x6000, 0x5A21, 0x5A21, 0, 0x6000, 0x5A21, first, 0)
        f.seek(data + 32)  # behind the label in the root folder
        f.write(folder)
        f.seek(data + (first - 2) * 512)
        out = bytearray()
        out += record.pack(b".          ", 0x10, 0, 0, 0x6000, 0x5A21, 0x5A21, 0, 0x6000, 0x5A21, first, 0)
        out += record.pack(b"..         ", 0x10, 0, 0, 0x6000, 0x5A21, 0x5A21, 0, 0x6000, 0x5A21, 0, 0)
        for i in range(count - 2):
            name = b"F%07dTXT" % i
            if i % 1000 == 7:
                name = b"\xe5" + name[1:]
            out += record.pack(name, 0x20, 0, 0, 0x6000, 0x5A21, 0x5A21, 0, 0x6000, 0x5A21, 0, 0)
        f.write(out)


@cached
def fat32_10k(image: Path) -> None:
    """FAT32 with 10,000 names in one folder."""
    write_fat32_folder(image, 10_000)


@cached
def fat32_100k(image: Path) -> None:
    """FAT32 with 100,000 names in one folder."""
    write_fat32_folder(image, 100_000)


@cached
def fat32_million(image: Path) -> None:
    """FAT32 with 1,050,000 names in one folder: more than the Sleuth Kit lists."""
    write_fat32_folder(image, 1_050_000)
