"""Windows shadow copies of an NTFS volume by libvshadow: each store is the volume as it was, and is read like a volume."""

from __future__ import annotations

from functools import partial
from typing import Any

from safelight.evidence.bytesource import FileObject, clamp
from safelight.evidence.containers.libyal import guarded
from safelight.evidence.source import ByteSource, Unreadable
from safelight.problems import Problem

HEADER_AT = 0x1E00
HEADER = bytes.fromhex("6b87083876c1484eb7ae04046e6cc752")
"""Identifier of a VSS volume header (libvshadow documentation, "Volume header")."""

MAX_STORES = 512
"""Windows keeps at most 512 shadow copies of a volume."""

EPOCH_FILETIME = 116_444_736_000_000_000


class Store:
    """One shadow copy: `step` is its part of an origin, `source` the volume as it was at `created_ns` (UTC)."""

    def __init__(self, step: str, created_ns: int | None, source: ByteSource) -> None:
        self.step, self.created_ns, self.source = step, created_ns, source


class _StoreSource:
    """The bytes of a store."""

    def __init__(self, store: Any, file: FileObject, keep: object) -> None:
        self._store, self._file, self._keep = store, file, keep
        self.size: int = store.get_volume_size()

    def read_at(self, offset: int, size: int) -> bytes:
        size = clamp(offset, size, self.size)
        parts: list[bytes] = []
        while size:
            data: bytes = guarded(partial(self._store.read_buffer_at_offset, size, offset), [self._file], offset, size)
            if not data:
                raise Unreadable("truncated", f"the shadow copy ends at {offset} of {self.size}", offset, size)
            parts.append(data)
            offset += len(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def has_stores(volume: ByteSource) -> bool:
    """Whether the volume has a VSS header."""
    try:
        return volume.read_at(HEADER_AT, 16) == HEADER
    except Unreadable:
        return False


def warm_up() -> None:
    """Import libvshadow."""
    import pyvshadow  # noqa: F401


def stores(volume: ByteSource) -> list[Store | Problem]:
    """The shadow copies, oldest first, as `vss:1` on; problems in place of what cannot be opened. Never raises."""
    if not has_stores(volume):
        return []
    try:
        import pyvshadow
    except ImportError as error:
        return [Problem("reader-missing", f"shadow copies: {error.name} is not installed", complete=False)]
    found: list[Store | Problem] = []
    handle, file = pyvshadow.volume(), FileObject(volume)
    try:
        guarded(partial(handle.open_file_object, file), [file])
        count: int = guarded(handle.get_number_of_stores, [file])
    except Unreadable as error:
        return [Problem(error.kind, f"shadow copies: {error}", complete=False)]
    if count > MAX_STORES:
        found.append(Problem("limit.entries", f"{count} shadow copies, {MAX_STORES} are read", complete=False))
    for number in range(min(count, MAX_STORES)):
        step = f"vss:{number + 1}"
        try:
            store = guarded(partial(handle.get_store, number), [file])
            filetime: int = guarded(store.get_creation_time_as_integer, [file])
            found.append(Store(step, (filetime - EPOCH_FILETIME) * 100 if filetime else None, _StoreSource(store, file, handle)))
        except Unreadable as error:
            found.append(Problem(error.kind, f"{step}: {error}", origin=step, complete=False))
    return found
