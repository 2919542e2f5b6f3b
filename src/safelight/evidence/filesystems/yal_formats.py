"""What differs between the libyal file-system libraries: how a volume is opened, how a record is numbered, which time is which.

libyal gives names as text and live entries only. One class per library, each with the same five functions.
"""

from __future__ import annotations

import calendar
import stat
from typing import Any, Protocol

from safelight.evidence.filesystems.tsk_image import LIBRARY_ERRORS
from safelight.problems import Problem

MODES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    0o160000: "whiteout",
}
NTFS_EPOCH = 11_644_473_600 * 10_000_000  # 1601 to 1970 in 100 ns
HFS_EPOCH = 2_082_844_800  # 1904 to 1970 in seconds
MAX_VOLUMES = 100  # the APFS container superblock has room for 100 (Apple File System Reference, NX_MAX_FILE_SYSTEMS)

Times = tuple[int | None, int | None, int | None, int | None]


class YalFormat(Protocol):
    """The seam: `roots` are (number, name, volume, root folder)."""

    name: str
    time_basis: str
    label: str
    problems: list[Problem]

    def roots(self) -> list[tuple[int, str, Any, Any]]: ...
    def number(self, entry: Any) -> int: ...
    def kind(self, entry: Any) -> str: ...
    def times(self, entry: Any) -> Times:
        """(mtime, atime, ctime, btime) in ns."""
        ...

    def by_number(self, volume: Any, number: int) -> Any: ...


def attribute(entry: Any, name: str) -> Any:
    """Call a getter; None where the library has no value or refuses (the content then says what is wrong)."""
    try:
        return getattr(entry, name)()
    except LIBRARY_ERRORS:
        return None


class PosixFormat:
    """ext, XFS, APFS, HFS+: a file mode and four times."""

    time_basis = "utc"

    def __init__(self, name: str, number: str, getters: tuple[str, str, str, str], scale: int = 1, epoch: int = 0) -> None:
        self.name, self._number, self._getters, self._scale, self._epoch = name, number, getters, scale, epoch
        self.label = ""
        self.problems: list[Problem] = []
        self._roots: list[tuple[int, str, Any, Any]] = []

    def roots(self) -> list[tuple[int, str, Any, Any]]:
        return self._roots

    def number(self, entry: Any) -> int:
        return int(getattr(entry, self._number)())

    def kind(self, entry: Any) -> str:
        return MODES.get(stat.S_IFMT(int(entry.get_file_mode())), "unknown")

    def times(self, entry: Any) -> Times:
        out: list[int | None] = []
        for getter in self._getters:
            value = attribute(entry, getter) if getter else None
            out.append(None if not value else (int(value) - self._epoch) * self._scale)
        return out[0], out[1], out[2], out[3]

    def by_number(self, volume: Any, number: int) -> Any:
        if self.name == "ext" or self.name == "xfs":
            return volume.get_file_entry_by_inode(number)
        return volume.get_file_entry_by_identifier(number)


POSIX_TIMES = (
    "get_modification_time_as_integer",
    "get_access_time_as_integer",
    "get_inode_change_time_as_integer",
    "get_creation_time_as_integer",
)


def open_posix(name: str, file: Any) -> PosixFormat:
    """Open ext, XFS or HFS+."""
    if name == "ext":
        import pyfsext as library

        made = PosixFormat(name, "get_inode_number", POSIX_TIMES)
    elif name == "xfs":
        import pyfsxfs as library

        made = PosixFormat(name, "get_inode_number", POSIX_TIMES)
    else:
        import pyfshfs as library

        times = (POSIX_TIMES[0], POSIX_TIMES[1], "get_entry_modification_time_as_integer", POSIX_TIMES[3])
        made = PosixFormat(name, "get_identifier", times, 1_000_000_000, HFS_EPOCH)
    volume = library.volume()
    volume.open_file_object(file)
    made.label = attribute(volume, "get_label" if name != "hfs+" else "get_name") or ""
    made._roots = [(0, "", volume, volume.get_root_directory())]
    return made


def open_apfs(file: Any) -> PosixFormat:
    """Open an APFS container; each volume has a root of its own, and locked ones are a problem."""
    import pyfsapfs

    made = PosixFormat("apfs", "get_identifier", POSIX_TIMES)
    container = pyfsapfs.container()
    container.open_file_object(file)
    count = int(container.get_number_of_volumes())
    names = []
    for i in range(min(count, MAX_VOLUMES)):
        try:
            volume = container.get_volume(i)
            name = volume.get_name() or f"volume {i}"
            names.append(name)
            if volume.is_locked():
                made.problems.append(Problem("encrypted", f"APFS volume {i} {name!r} is encrypted", "", False))
                continue
            root = volume.get_root_directory()
        except LIBRARY_ERRORS as e:
            made.problems.append(Problem("corrupt", f"APFS volume {i} cannot be opened: {' '.join(str(e).split())[:200]}", "", False))
            continue
        if root is None:
            made.problems.append(Problem("corrupt", f"APFS volume {i} {name!r} has no root folder", "", False))
            continue
        made._roots.append((i, name if count > 1 else "", volume, root))
    made.label = ", ".join(names)
    made._container = container  # type: ignore[attr-defined]  # volumes read through it
    return made


class NtfsFormat:
    """NTFS by libfsntfs: the record number without its sequence; FILETIME to ns."""

    name, time_basis = "ntfs", "utc"

    def __init__(self, file: Any) -> None:
        import pyfsntfs

        self.problems: list[Problem] = []
        self._volume = pyfsntfs.volume()
        self._volume.open_file_object(file)
        self.label = attribute(self._volume, "get_name") or ""

    def roots(self) -> list[tuple[int, str, Any, Any]]:
        return [(0, "", self._volume, self._volume.get_root_directory())]

    def number(self, entry: Any) -> int:
        return int(entry.get_file_reference()) & 0xFFFFFFFFFFFF

    def kind(self, entry: Any) -> str:
        if attribute(entry, "has_directory_entries_index"):
            return "directory"
        return "symlink" if attribute(entry, "get_symbolic_link_target") else "file"

    def times(self, entry: Any) -> Times:
        names = ("get_modification_time", "get_access_time", "get_entry_modification_time", "get_creation_time")
        values = [attribute(entry, f"{n}_as_integer") for n in names]
        ns = [None if not v else (int(v) - NTFS_EPOCH) * 100 for v in values]
        return ns[0], ns[1], ns[2], ns[3]

    def by_number(self, volume: Any, number: int) -> Any:
        return volume.get_file_entry(number)


class FatFormat:
    """FAT and exFAT by libfsfat; local times."""

    time_basis = "local?"

    def __init__(self, name: str, file: Any) -> None:
        import pyfsfat

        self.name = name
        self.problems: list[Problem] = []
        self._volume = pyfsfat.volume()
        self._volume.open_file_object(file)
        self.label = attribute(self._volume, "get_label") or ""

    def roots(self) -> list[tuple[int, str, Any, Any]]:
        return [(0, "", self._volume, self._volume.get_root_directory())]

    def number(self, entry: Any) -> int:
        return int(entry.get_identifier())

    def kind(self, entry: Any) -> str:
        flags = int(entry.get_file_attribute_flags())
        return "directory" if flags & 0x10 else "label" if flags & 8 else "file"

    def times(self, entry: Any) -> Times:
        out: list[int | None] = []
        for getter in ("get_modification_time", "get_access_time", "get_creation_time"):
            value = attribute(entry, getter)
            out.append(None if value is None else calendar.timegm(value.timetuple()) * 1_000_000_000 + value.microsecond * 1000)
        return out[0], out[1], None, out[2]

    def by_number(self, volume: Any, number: int) -> Any:
        return volume.get_file_entry_by_identifier(number)


def open_format(name: str, file: Any) -> YalFormat:
    """Open a volume by the library of a format; raise what the library raises."""
    if name == "ntfs":
        return NtfsFormat(file)
    if name in ("fat", "exfat"):
        return FatFormat(name, file)
    return open_apfs(file) if name == "apfs" else open_posix(name, file)
