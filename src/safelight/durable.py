"""Writes that matter: complete or absent. Temporary name in the same folder, fsync, rename, fsync of the folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")
U = TypeVar("U")
TEMPORARY = ".tmp-"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by a file with these bytes."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class Digesting:
    """A file to write to that digests what goes by: `sha256` in hex and `size` in bytes of all that was written."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._digest, self.size = raw, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.size += len(data)
        return self._raw.write(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def write_logged(path: Path, fill: Callable[[Digesting], T], log: Callable[[T, Digesting], U]) -> U:
    """Write what leaves the case: `fill` writes it, `log` enters it in the ledger once it is durable, and only then it gets its name.

    So a file with that name is always complete and always in the ledger. An error of either leaves no file and is raised. Return what
    `log` returned.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name[:100]}.{os.getpid()}")
    try:
        with temporary.open("xb") as raw:
            out = Digesting(raw)
            result = fill(out)
            raw.flush()
            os.fsync(raw.fileno())
        logged = log(result, out)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return logged


@contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; rename it to `path` at the end, or remove it on an error.

    An older folder of that name is replaced. Every file in it is synced before the rename.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}.{os.getpid()}")
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.iterdir():
            sync_file(file)
        sync_folder(temporary)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep(folder: Path) -> None:
    """Remove what an interrupted write left behind. Call it only under the lock of the writer."""
    for left in folder.rglob(f"{TEMPORARY}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
