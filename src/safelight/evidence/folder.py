"""A folder as an exhibit: names and metadata are read here, by the trusted side; contents are parsed in the sandbox only.

Nothing is followed and nothing is changed: links are recorded with their target, each file is opened read only, component by
component and never through a link, without touching its access time where the system allows that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from safelight.evidence.origin import file_step
from safelight.evidence.source import Accounts, Entry
from safelight.problems import Problem

_TYPES = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}


class Folder:
    """A folder exhibit. `root` is the path as given; the walk is in ascending order of raw names, folders before their content."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)
        self.accounts = Accounts(entries_walk=0)

    def listing(self) -> Iterator[tuple[str, Entry] | Problem]:
        """Yield (origin, entry) for each name below the root, and a problem for each folder that cannot be read."""
        waiting, count, covered = [b""], 0, 0
        while waiting:
            folder = waiting.pop()
            try:
                names = _names(os.path.join(self.root, folder))
            except OSError as e:
                yield Problem("unreadable", e.strerror or str(e), f"folder/{file_step(folder)}", False)
                continue
            inner = []
            for name in names:
                path = os.path.join(folder, name)
                found = self._entry(path)
                count += 1
                if isinstance(found, Entry):
                    covered += found.allocated or 0
                    if found.type == "directory":
                        inner.append(path)
                    yield f"folder/{file_step(path)}", found
                else:
                    yield found
            waiting += reversed(inner)
        self.accounts = Accounts(entries_walk=count, bytes_covered=covered, readers=("os",))

    def _entry(self, path: bytes) -> Entry | Problem:
        try:
            info = os.lstat(os.path.join(self.root, path))
            kind = _TYPES.get(stat.S_IFMT(info.st_mode), "device")
            link = os.readlink(os.path.join(self.root, path)) if kind == "symlink" else b""
        except OSError as e:
            return Problem("unreadable", e.strerror or str(e), f"folder/{file_step(path)}", True)
        regular = kind == "file"
        return Entry(
            address="",
            path=path,
            size=info.st_size if regular or link else None,
            allocated=info.st_blocks * 512 if regular else None,
            type=kind,
            mtime=info.st_mtime_ns,
            atime=info.st_atime_ns,
            ctime=info.st_ctime_ns,
            reader="os",
            has_content=regular,
            link=link,
        )

    def open(self, path: bytes) -> int:
        """Return a descriptor of a regular file below the root. Raise OSError; a link on the way is an error too."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            *folders, name = path.split(b"/")
            for part in folders:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = inner
            return open_untouched(name, fd)
        finally:
            os.close(fd)


def _names(folder: bytes) -> list[bytes]:
    """Return the raw names in a folder, ascending, without touching its access time (where we own it)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(folder, flags | os.O_NOATIME)
    except PermissionError:
        fd = os.open(folder, flags)
    try:
        return sorted(os.fsencode(name) for name in os.listdir(fd))
    finally:
        os.close(fd)


def open_untouched(path: bytes | str | Path, dir_fd: int | None = None) -> int:
    """Open a regular file for reading without a trace: no link, no access time (where we own it), no waiting on a FIFO."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(path, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:
        fd = os.open(path, flags, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{os.fsdecode(path)} is not a regular file")
    return fd
