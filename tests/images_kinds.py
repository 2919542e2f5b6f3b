"""Further kinds of file systems for the comparison with The Sleuth Kit: other block sizes, features and tools than `images`.

`KINDS` maps a name to its recipe. A recipe of the kernel or of FUSE skips the test where mounting is not possible.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from images import blank, cached, content, delete_some, made_tree, mounted, run, tree

DELETED = (*(f"/del/gone with a long name {i}.bin" for i in range(0, 12, 2)), "/del/sub/g1", "/sizes/s4097.bin", "/text/lines.txt")
Recipe = Callable[[], Path]
KINDS: dict[str, Recipe] = {}
FORMS = {
    "ext2_1k": ("ext2", "-b", "1024"),
    "ext3_1k": ("ext3", "-b", "1024"),
    "ext2_without_types": ("ext2", "-O", "^filetype"),
    "ext4_inline": ("ext4", "-O", "inline_data", "-I", "512"),
    "ext4_without_64bit": ("ext4", "-O", "^64bit,^metadata_csum,^flex_bg"),
    "ext4_1k_without_index": ("ext4", "-b", "1024", "-O", "^dir_index"),
    "ext4_meta_groups": ("ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"),
    "ext4_two_backups": ("ext4", "-O", "sparse_super2"),
    "ext4_quota": ("ext4", "-O", "ea_inode,casefold,project,quota"),
    "ext4_small_inodes": ("ext4", "-I", "128"),
    "ext4_orphan_file": ("ext4", "-O", "orphan_file"),
    "ext4_bigalloc": ("ext4", "-O", "bigalloc", "-C", "16384"),
    "ext4_bigalloc_4k": ("ext4", "-O", "bigalloc", "-b", "4096", "-C", "65536"),
}


def _kind(name: str, recipe: Callable[[Path], None]) -> None:
    recipe.__name__ = f"kind_{name}"
    KINDS[name] = cached(recipe)


def _ext(kind: str, *options: str) -> Callable[[Path], None]:
    def recipe(image: Path) -> None:
        run("mke2fs", "-q", "-F", "-t", kind, *options, "-d", made_tree(True), blank(image, 48 << 20))
        for name in DELETED:
            run("debugfs", "-w", "-R", f'rm "{name}"', image)

    return recipe


def _by_kernel(kind: str, size: int, *options: str) -> Callable[[Path], None]:
    def recipe(image: Path) -> None:
        run(f"mkfs.{kind}", "-q", *options, blank(image, size))
        with mounted(image, kind) as point:
            tree(point)
            for folder, count in (("block form", 20), ("leaf form", 150), ("tree form", 2500)):
                (point / folder).mkdir()
                for i in range(count):
                    (point / folder / f"a middle name for {folder} {i}").write_bytes(content(i, 100))
        with mounted(image, kind) as point:
            delete_some(point)
            for i in range(0, 2500, 3):
                (point / "tree form" / f"a middle name for tree form {i}").unlink()

    return recipe


def _fat(size: int, *options: str) -> Callable[[Path], None]:
    def recipe(image: Path) -> None:
        run("mkfs.vfat", *options, blank(image, size))
        env = dict(os.environ, MTOOLS_SKIP_CHECK="1", LC_ALL="C.UTF-8")
        run("mcopy", "-i", image, "-s", *sorted(made_tree(False).iterdir()), "::", env=env)
        for name in DELETED[:6]:
            run("mdel", "-i", image, f"::{name}", env=env)
        run("mdeltree", "-i", image, "::/del/sub", env=env)
        run("mcopy", "-i", image, made_tree(False) / "sizes" / "s100000.bin", "::/later.bin", env=env)

    return recipe


def _floppy(image: Path) -> None:
    run("mkfs.vfat", "-F", "12", blank(image, 1_474_560))
    env, piece = dict(os.environ, MTOOLS_SKIP_CHECK="1"), image.with_suffix(".piece")
    for i in range(30):
        piece.write_bytes(content(i, 3000 + i * 700))
        run("mcopy", "-i", image, piece, f"::/file number {i}.dat", env=env)
    for i in range(0, 30, 3):
        run("mdel", "-i", image, f"::/file number {i}.dat", env=env)
    piece.write_bytes(content(99, 60_000))
    run("mcopy", "-i", image, piece, "::/fragmented.dat", env=env)
    piece.unlink()


def _exfat(size: int, cluster: str) -> Callable[[Path], None]:
    def recipe(image: Path) -> None:
        run("mkfs.exfat", "-c", cluster, blank(image, size))
        with mounted(image, "exfat") as point:
            tree(point, posix=False)
        with mounted(image, "exfat") as point:
            delete_some(point)

    return recipe


def _ntfs(size: int, sector: int, cluster: int, pieces: int) -> Callable[[Path], None]:
    """Compressed files, streams, 40 hard links, and files of so many fragments that the record needs an attribute list."""

    def recipe(image: Path) -> None:
        run(
            *("mkntfs", "-F", "-Q", "-s", str(sector), "-c", str(cluster), "-p", "0", "-H", "255", "-S", "63"),
            blank(image, size),
        )
        with mounted(image, "ntfs") as point:
            tree(point, posix=False)
            packed = point / "packed"
            packed.mkdir()
            if cluster <= 4096:  # NTFS compresses clusters of up to 4 KiB
                os.setxattr(packed, "system.ntfs_attrib_be", bytes.fromhex("00000810"))
            (packed / "text.txt").write_bytes(b"hello compressed world " * 20_000)
            (packed / "random.bin").write_bytes(content(7, 300_000))
            (packed / "mixed.bin").write_bytes(content(8, 70_000) + bytes(200_000) + content(9, 5000))
            (packed / "zeros.bin").write_bytes(bytes(65_536 * 3 + 100))
            for i in range(5):
                os.setxattr(point / "text" / "lines.txt", f"user.stream{i}", content(50 + i, 60_000 if i < 4 else 10))
            open_files = [(point / f"frag{i}").open("wb", buffering=0) for i in range(3)]
            for k in range(pieces):
                for i, f in enumerate(open_files):
                    f.write(content(k * 3 + i, 4096))
                    os.fsync(f.fileno())
            for f in open_files:
                f.close()
            with (point / "islands.bin").open("wb") as f:
                for k in range(50):
                    f.seek(k * 300_000)
                    f.write(b"island %d" % k)
            for i in range(40):
                os.link(point / "deep/a/b/c/d/leaf", point / f"hard link with a rather long name number {i}.lnk")
        with mounted(image, "ntfs") as point:
            delete_some(point)
            for name in ("frag1", "packed/text.txt", "packed/mixed.bin"):
                (point / name).unlink()
            for i in range(0, 40, 2):
                (point / f"hard link with a rather long name number {i}.lnk").unlink()

    return recipe


def _iso(tool: str, posix: bool, *options: str) -> Callable[[Path], None]:
    def recipe(image: Path) -> None:
        run(*tool.split(), "-quiet", *options, "-o", image, made_tree(posix))

    return recipe


for _name, (_type, *_options) in FORMS.items():
    _kind(_name, _ext(_type, *_options))
_kind("ext2_kernel", _by_kernel("ext2", 64 << 20, "-F"))
_kind("ext4_kernel_1k", _by_kernel("ext4", 64 << 20, "-F", "-b", "1024"))
_kind("ext4_kernel_inline", _by_kernel("ext4", 64 << 20, "-F", "-O", "inline_data"))
_kind("ext4_kernel_bigalloc", _by_kernel("ext4", 96 << 20, "-F", "-O", "bigalloc", "-C", "16384"))
_kind("xfs_1k", _by_kernel("xfs", 320 << 20, "-f", "-b", "size=1024"))
_kind("xfs_large_folders", _by_kernel("xfs", 320 << 20, "-f", "-n", "size=8192", "-i", "size=1024"))
_kind("xfs_64bit_counts", _by_kernel("xfs", 320 << 20, "-f", "-i", "nrext64=1"))
_kind("xfs_plain", _by_kernel("xfs", 320 << 20, "-f", "-m", "bigtime=0,inobtcount=0,reflink=0,finobt=0,rmapbt=0"))
_kind("fat12_floppy", _floppy)
_kind("fat16_4k_sectors", _fat(64 << 20, "-F", "16", "-S", "4096"))
_kind("fat16_large_root", _fat(32 << 20, "-F", "16", "-r", "1024", "-R", "8"))
_kind("fat32_one_table", _fat(64 << 20, "-F", "32", "-s", "1", "-f", "1"))
_kind("fat32_8k", _fat(600 << 20, "-F", "32", "-s", "16"))
_kind("exfat_512", _exfat(32 << 20, "512"))
_kind("exfat_128k", _exfat(256 << 20, "128K"))
_kind("exfat_1m", _exfat(300 << 20, "1M"))
_kind("ntfs_512", _ntfs(64 << 20, 512, 512, 150))
_kind("ntfs_64k", _ntfs(200 << 20, 512, 65536, 60))
_kind("ntfs_many_fragments", _ntfs(100 << 20, 512, 4096, 400))
_kind("ntfs_4k_sectors", _ntfs(100 << 20, 4096, 4096, 60))
_kind("iso_plain", _iso("genisoimage", False, "-iso-level", "3"))
_kind("iso_joliet", _iso("genisoimage", False, "-J", "-joliet-long", "-iso-level", "3"))
_kind("iso_rock_ridge", _iso("genisoimage", True, "-R", "-iso-level", "3"))
_kind("iso_udf", _iso("genisoimage", False, "-udf", "-R", "-J"))
_kind("iso_xorriso", _iso("xorriso -as mkisofs", True, "-R", "-J", "-joliet-long", "-iso-level", "3"))
