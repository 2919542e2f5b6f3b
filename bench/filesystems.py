"""Print what listing and reading cost: CPU per name of a folder, per small file, and per GB of large files against plain `pread`.

Usage: .venv/bin/python bench/filesystems.py [--large]   (makes its images by tests/images.py; the first run takes a minute)
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import images
from kits.filesystem_kit import FileSource
from safelight.evidence.filesystems import open_filesystem, warm_up
from safelight.evidence.source import ByteSource, Entry

PIECE = 1 << 20


def cpu(work: Callable[[], int]) -> tuple[int, float]:
    """Return what the work counts and its CPU seconds, the better of two runs."""
    runs = []
    for _ in range(2):
        began = time.process_time()
        count = work()
        runs.append((count, time.process_time() - began))
    return min(runs, key=lambda r: r[1])


def large_files(image: Path, kind: str) -> None:
    """Make a volume with four files of 64 MB."""
    images.run(*{"ntfs": ("mkntfs", "-F", "-Q"), "ext4": ("mke2fs", "-q", "-t", "ext4")}[kind], images.blank(image, 330 << 20))
    with images.mounted(image, kind) as point:
        for i in range(4):
            (point / f"large{i}").write_bytes(os.urandom(64 << 20))


def read_all(sources: list[ByteSource], digest: bool) -> int:
    """Read sources in pieces of 1 MiB, with or without a SHA-256."""
    total = 0
    for source in sources:
        sha = hashlib.sha256()
        for at in range(0, source.size, PIECE):
            data = source.read_at(at, PIECE)
            total += len(data)
            if digest:
                sha.update(data)
    return total


def folders(recipes: list[str]) -> None:
    print(f"{'one folder':16} {'entries':>9} {'list us':>8} {'list+read us':>13}")
    for recipe in recipes:
        image = getattr(images, recipe)()

        def list_only(image: Path = image) -> int:
            return sum(1 for _ in open_filesystem(FileSource(image)).entries())

        def list_and_read(image: Path = image) -> int:
            fs, count = open_filesystem(FileSource(image)), 0
            for e in fs.entries():
                count += 1
                if isinstance(e, Entry) and e.has_content and e.size is not None and e.size < 65536 and not e.problems:
                    content = fs.content(e.address)
                    content.read_at(0, content.size)
            return count

        (count, listed), (_, both) = cpu(list_only), cpu(list_and_read)
        print(f"{recipe:16} {count:9} {listed / count * 1e6:8.1f} {both / count * 1e6:13.1f}")


def large(kinds: list[str]) -> None:
    print(f"\n{'large files':16} {'GB/s read':>10} {'GB/s +sha256':>13}")
    for kind in kinds:
        path = images.FOLDER / f"bench_{kind}.img"
        if not path.exists():
            large_files(path, kind)
        fs = open_filesystem(FileSource(path))
        sources = [fs.content(e.address) for e in fs.entries() if isinstance(e, Entry) and e.path.startswith(b"large")]
        raw: list[ByteSource] = [FileSource(path, 40 << 20, s.size) for s in sources]
        for name, what in ((f"{kind} raw", raw), (kind, sources)):
            speeds = [total / seconds / 1e9 for total, seconds in (cpu(lambda w=what, d=d: read_all(w, d)) for d in (False, True))]  # type: ignore[misc]
            print(f"{name:16} {speeds[0]:10.2f} {speeds[1]:13.2f}")


if __name__ == "__main__":
    warm_up()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, pytsk3 {version('pytsk3')}\n")
    more = ["ext4_100k", "ntfs_100k", "fat32_100k"] if "--large" in sys.argv else []
    folders(["ext4_10k", "ntfs_10k", "exfat_10k", "fat32_10k", *more])
    large(["ntfs", "ext4"])
