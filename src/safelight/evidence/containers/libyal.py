"""What the readers over libyal have in common: a handle becomes an image, and its errors become `Unreadable`.

libyal reads through `FileObject`, so it never opens a path. A short answer is an error: libyal must not end a stream silently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from safelight.evidence.bytesource import FileObject, clamp
from safelight.evidence.source import Segment, StoredDigest, Unreadable
from safelight.problems import Problem

T = TypeVar("T")


class LibyalImage:
    """A libyal handle as an image. `keep` holds what must live as long as the handle (parents, extents)."""

    stored_digests: Sequence[StoredDigest] = ()

    def __init__(self, handle: Any, files: Sequence[FileObject], keep: Sequence[object] = (), problems: Sequence[Problem] = ()) -> None:
        self._handle, self._files, self._keep = handle, list(files), list(keep)
        self.size: int = guarded(handle.get_media_size, self._files)
        self.problems: Sequence[Problem] = tuple(problems)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `ByteSource.read_at`."""
        size = clamp(offset, size, self.size)
        parts: list[bytes] = []
        while size:
            data: bytes = guarded(partial(self._handle.read_buffer_at_offset, size, offset), self._files, offset, size)
            if not data:
                raise Unreadable("truncated", f"the library ends at {offset} of {self.size}", offset, size)
            parts.append(data)
            offset += len(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def guarded(call: Callable[[], T], files: Sequence[FileObject], offset: int = 0, size: int = 0) -> T:
    """Call into libyal; raise what the layer below raised, else `Unreadable` with libyal's own first line."""
    for file in files:
        file.failure = None
    try:
        return call()
    except (OSError, ValueError, MemoryError, OverflowError) as error:
        for file in files:
            below = file.take_failure()
            if below is not None:
                raise Unreadable(below.kind, str(below), offset or below.offset, size or below.size) from error
        raise Unreadable("corrupt", first_line(error), offset, size) from error


def first_line(error: BaseException) -> str:
    """The last part of a libyal message: the cause; the parts before it are a call trace."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    return words[0][:300]


def files_of(segments: Sequence[Segment]) -> list[FileObject]:
    """A file object for each segment."""
    return [FileObject(s.source) for s in segments]


def base_name(raw: str | None) -> bytes:
    """The last part of a path as a parent or extent names it; Windows and POSIX separators."""
    return (raw or "").replace("\\", "/").rsplit("/", 1)[-1].encode("utf-8", "surrogateescape")


def by_name(segments: Sequence[Segment], wanted: bytes) -> Segment | None:
    """The segment of that name; letter case is ignored, as Windows and VMware do."""
    for segment in segments:
        if segment.name.lower() == wanted.lower():
            return segment
    return None
