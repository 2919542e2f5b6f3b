"""File systems by the libyal libraries: first reader of APFS and XFS, second reader of the others. Live entries only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from safelight.evidence.bytesource import FileObject, MemorySource
from safelight.evidence.filesystems.tsk_image import LIBRARY_ERRORS
from safelight.evidence.filesystems.walked import Hooks, WalkedFileSystem
from safelight.evidence.filesystems.yal_formats import YalFormat, attribute, open_format
from safelight.evidence.source import ByteSource, Entry, Unreadable
from safelight.problems import Problem

MAX_DEPTH = 1024
MAX_VISITS = 8
READ_SIZE = 16 << 20
"""Bytes asked of the library in one call."""


def failure(file: FileObject, error: BaseException, offset: int = 0, size: int = 0) -> Unreadable:
    """Turn a failure of the library into `Unreadable`; the error of the layer below goes first."""
    below = file.take_failure()
    if below is not None:
        return below
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return Unreadable("corrupt", words, offset, size)


class YalContent:
    """The bytes of a file entry or a stream of it."""

    def __init__(self, file: FileObject, stream: Any, size: int) -> None:
        self.size = size
        self._file, self._stream = file, stream

    def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if offset < 0 or size <= 0:
            return b""
        parts, at = [], offset
        self._file.take_failure()
        while at < offset + size:
            wanted = min(READ_SIZE, offset + size - at)
            try:
                data = self._stream.read_buffer_at_offset(wanted, at)
            except LIBRARY_ERRORS as e:
                raise failure(self._file, e, at, wanted) from e
            if not data:
                raise failure(self._file, OSError(f"{at - offset} of {size} bytes could be read"), at, wanted)
            parts.append(data)
            at += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Frame(NamedTuple):
    """A folder that is being listed."""

    names: Iterator[tuple[int, bytes, Any, tuple[tuple[str, str], ...]]]
    volume: int
    number: int
    prefix: bytes
    chain: str = ""  # exFAT: the places in the folders that lead here


class YalFileSystem(WalkedFileSystem):
    """An opened volume; see `OpenFileSystem`.

    Addresses are record numbers (APFS: volume-number; exFAT: places in folders), with `-sN` for the N-th alternate stream.
    """

    def __init__(self, volume: ByteSource, name: str, hooks: Hooks | None = None) -> None:
        reader = {"fat": "libfsfat", "exfat": "libfsfat", "hfs+": "libfshfs"}.get(name, f"libfs{name}")
        self._file = FileObject(volume)
        try:
            self._format: YalFormat = open_format(name, self._file)
            self._roots = self._format.roots()
        except LIBRARY_ERRORS as e:
            raise failure(self._file, e) from e
        if not self._roots and not self._format.problems:
            raise Unreadable("corrupt", f"the {name} volume has no root folder")
        super().__init__(name, self._format.label, reader, hooks or Hooks(), self._format.problems)

    def content(self, address: str) -> ByteSource:
        if self.name == "exfat":
            return self._by_places(address)
        if self._hooks.content is not None and not address[:1].isdecimal():
            return self._hooks.content(address)
        parts = address.split("-")
        stream = int(parts.pop()[1:]) if parts[-1][:1] == "s" and parts[-1][1:].isdecimal() else None
        if not all(p.isdecimal() and len(p) < 20 for p in parts) or len(parts) != (2 if self.name == "apfs" else 1):
            raise Unreadable("corrupt", f"no such address: {address[:60]!r}")
        index, number = (int(parts[0]), int(parts[1])) if self.name == "apfs" else (0, int(parts[0]))
        for i, _, volume, _ in self._roots:
            if i == index:
                try:
                    entry = self._format.by_number(volume, number)
                    if stream is None and self._format.kind(entry) == "symlink" and self.name != "ntfs":
                        # libfsxfs and libfsapfs read regular files only; the content of a link is its target, as for `icat`
                        return MemorySource((attribute(entry, "get_symbolic_link_target") or "").encode("utf-8", "surrogatepass"))
                    source = entry if stream is None else entry.get_alternate_data_stream(stream)
                    return YalContent(self._file, source, int(source.get_size()))
                except LIBRARY_ERRORS as e:
                    raise failure(self._file, e) from e
        raise Unreadable("corrupt", f"no such volume: {address[:60]!r}")

    def _by_places(self, address: str) -> ByteSource:
        """Open `xA-B-C`: entry C of entry B of entry A of the root (libfsfat cannot find exFAT entries by their identifier)."""
        places = address[1:].split("-")
        if address[:1] != "x" or not all(p.isdecimal() and len(p) < 10 for p in places) or len(places) > MAX_DEPTH:
            raise Unreadable("corrupt", f"no such address: {address[:60]!r}")
        entry = self._roots[0][3]
        try:
            for place in places:
                entry = entry.get_sub_file_entry(int(place))
            return YalContent(self._file, entry, int(entry.get_size()))
        except LIBRARY_ERRORS as e:
            raise failure(self._file, e) from e

    def _walk(self) -> Iterator[Entry | Problem]:
        stack = [
            _Frame(
                self._names(root, self._number(root)), i, self._number(root), name.encode("utf-8", "surrogatepass") + b"/" if name else b""
            )
            for i, name, _, root in reversed(self._roots)
        ]
        on_path = {(f.volume, f.number) for f in stack}
        visits: dict[tuple[int, int], int] = {}
        while stack:
            frame = stack[-1]
            try:
                place, name, sub, problems = next(frame.names)
            except StopIteration:
                if self._hooks.removed is not None:
                    yield from self._hooks.removed(frame.number, frame.prefix)
                on_path.discard((frame.volume, frame.number))
                stack.pop()
                continue
            number = self._number(sub) if sub is not None else -1
            path = frame.prefix + name
            if sub is None or number < 0:
                yield Problem(
                    "corrupt", f"an entry of {frame.prefix[:200]!r} cannot be read: {'; '.join(r for _, r in problems)}", "", False
                )
                continue
            chain = f"{frame.chain}-{place}" if frame.chain else f"x{place}"
            entry = self._entry(sub, frame.volume, number, path, problems, chain)
            yield entry
            if entry.type != "directory":
                yield from self._streams(sub, entry)
                continue
            key = (frame.volume, number)
            if key in on_path:
                continue
            visits[key] = visits.get(key, 0) + 1
            if visits[key] > MAX_VISITS or len(stack) >= MAX_DEPTH:
                yield Problem(
                    "limit.depth" if len(stack) >= MAX_DEPTH else "limit.entries", f"folder {path[:200]!r} was not listed", "", False
                )
                continue
            on_path.add(key)
            stack.append(_Frame(self._names(sub, number), frame.volume, number, path + b"/", chain))

    def _number(self, entry: Any) -> int:
        try:
            return self._format.number(entry)
        except LIBRARY_ERRORS:
            return -1  # the caller makes the problem

    def _names(self, folder: Any, number: int) -> Iterator[tuple[int, bytes, Any, tuple[tuple[str, str], ...]]]:
        """Yield (place, name, entry or None, problems) of a folder."""
        try:
            count = int(folder.get_number_of_sub_file_entries())
        except LIBRARY_ERRORS as e:
            yield -1, b"", None, (("corrupt", str(failure(self._file, e))),)
            return
        raw: list[tuple[int, bytes]] | None = None
        for i in range(count):
            try:
                sub = folder.get_sub_file_entry(i)
            except LIBRARY_ERRORS as e:
                yield -1, b"", None, (("corrupt", str(failure(self._file, e))),)
                continue
            try:
                yield i, (sub.get_name() or "").encode("utf-8", "surrogatepass"), sub, ()
                continue
            except (*LIBRARY_ERRORS, UnicodeError) as e:
                why = str(failure(self._file, e))[:120]
            if raw is None:
                raw = self._raw_names(number)
            inode = self._number(sub)
            at = next((k for k, (n, _) in enumerate(raw) if n == inode), None)
            if at is not None:
                yield i, raw.pop(at)[1], sub, ()
            else:
                yield i, b"record-%d" % inode, sub, (("corrupt", f"the name cannot be read: {why}"),)

    def _raw_names(self, number: int) -> list[tuple[int, bytes]]:
        """Return the names of a folder that are not UTF-8, as stored."""
        if self._hooks.raw_names is None:
            return []
        try:
            names = self._hooks.raw_names(number)
        except Unreadable:
            return []  # the entry gets a made-up name and a problem
        out = []
        for inode, name in names:
            try:
                name.decode("utf-8")
            except UnicodeDecodeError:
                out.append((inode, name))
        return out

    def _entry(self, sub: Any, volume: int, number: int, path: bytes, problems: tuple[tuple[str, str], ...], chain: str) -> Entry:
        problem_list = list(problems)
        try:
            kind = self._format.kind(sub)
        except LIBRARY_ERRORS as e:
            kind = "unknown"
            problem_list.append(("corrupt", str(failure(self._file, e))))
        size = attribute(sub, "get_size")
        link = attribute(sub, "get_symbolic_link_target") if kind == "symlink" else None
        mtime, atime, ctime, btime = self._format.times(sub)
        content = kind in ("file", "symlink", "unknown") and size is not None and not (kind == "symlink" and not size)
        if self.name == "ntfs" and kind == "file" and attribute(sub, "has_default_data_stream") is False:
            content = False
        if kind == "file" and size is None:
            problem_list.append(("corrupt", "the size cannot be read"))
        return Entry(
            address=chain if self.name == "exfat" else f"{volume}-{number}" if self.name == "apfs" else str(number),
            path=path,
            size=size,
            allocated=self._allocated(sub, number, problem_list),
            type=kind,
            mtime=mtime,
            atime=atime,
            ctime=ctime,
            btime=btime,
            time_basis=self._format.time_basis,
            reader=self.reader,
            has_content=content,
            link=(link or "").encode("utf-8", "surrogatepass"),
            problems=tuple(problem_list),
        )

    def _allocated(self, sub: Any, number: int, problems: list[tuple[str, str]]) -> int | None:
        if self._hooks.held is not None:
            try:
                return self._hooks.held(number)
            except Unreadable as e:
                problems.append((e.kind, f"its blocks cannot be counted: {e}"))
                return None
        try:
            extents = [sub.get_extent(i) for i in range(min(int(sub.get_number_of_extents()), 1_000_000))]
        except LIBRARY_ERRORS:
            return None  # folders and inline content have none in some of the libraries
        return sum(int(e[1]) for e in extents if not int(e[2]) & 1)  # flag 1: sparse

    def _streams(self, sub: Any, entry: Entry) -> Iterator[Entry]:
        if self.name != "ntfs":
            return
        import msgspec

        for i in range(min(attribute(sub, "get_number_of_alternate_data_streams") or 0, 65536)):
            try:
                stream = sub.get_alternate_data_stream(i)
                name, size = (stream.get_name() or "").encode("utf-8", "surrogatepass"), int(stream.get_size())
            except LIBRARY_ERRORS as e:
                words = (("corrupt", f"a stream cannot be read: {failure(self._file, e)}"),)
                yield msgspec.structs.replace(
                    entry, address=f"{entry.address}-s{i}", path=entry.path + b":", type="stream", has_content=False, problems=words
                )
                continue
            yield msgspec.structs.replace(
                entry,
                address=f"{entry.address}-s{i}",
                path=entry.path + b":" + name,
                size=size,
                allocated=None,
                type="stream",
                has_content=True,
            )
