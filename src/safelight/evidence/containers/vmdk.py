"""VMware disks by libvmdk: monolithic and split, sparse, stream-optimised and flat extents, snapshots with their parents.

The first segment is the descriptor or the sparse file that holds it. Extents and parents are looked for by name among the
others; an extent that is not there is `missing-part`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from safelight.evidence.bytesource import FileObject
from safelight.evidence.containers.libyal import LibyalImage, base_name, by_name, files_of, guarded
from safelight.evidence.source import Image, Segment, Unreadable
from safelight.problems import Problem

name = "vmdk"

MAGICS = (b"KDMV", b"COWD")
DESCRIPTOR = b"# Disk DescriptorFile"
MAX_PARENTS = 32
MAX_EXTENTS = 4096


def detect(segments: Sequence[Segment]) -> bool:
    """Whether the first segment is a sparse VMDK or a descriptor."""
    head = segments[0].source.read_at(0, 512)
    # A sparse extent names its version, 1 to 3, behind the magic.
    sparse = head[:4] in MAGICS and len(head) == 512 and int.from_bytes(head[4:8], "little") in (1, 2, 3)
    return sparse or head.lstrip().startswith(DESCRIPTOR)


def warm_up() -> None:
    """Import libvmdk."""
    import pyvmdk  # noqa: F401


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Open the first segment with its extents, then its parents."""
    handles: list[Any] = []
    files: list[FileObject] = []
    problems: list[Problem] = []
    rest = list(segments)
    wanted: Segment | None = segments[0]
    while wanted is not None:
        if len(handles) > MAX_PARENTS:
            raise Unreadable("unsupported", f"more than {MAX_PARENTS} parents")
        rest = [s for s in rest if s is not wanted]
        handle = _open_one(wanted, [wanted, *rest], files)
        if handles:
            guarded(partial(handles[-1].set_parent, handle), files)
        handles.append(handle)
        wanted = _parent(handle, rest, files)
    return LibyalImage(handles[0], files, handles[1:], problems)


def _open_one(segment: Segment, others: Sequence[Segment], files: list[FileObject]) -> Any:
    """One link of the chain, with its extents."""
    import pyvmdk

    handle = pyvmdk.handle()
    file = FileObject(segment.source)
    files.append(file)
    guarded(lambda: handle.open_file_object(file), files)
    count = guarded(handle.get_number_of_extents, files)
    if count > MAX_EXTENTS:
        raise Unreadable("unsupported", f"{count} extents")
    extents = []
    for number in range(count):
        stored = guarded(partial(_extent_name, handle, number), files)
        if stored is None:  # a zero extent has no file
            continue
        extent = by_name(others, base_name(stored))
        # A monolithic file that was renamed still names itself by its old name.
        if extent is None and count == 1 and _is_sparse(segment):
            extent = segment
        if extent is None:
            raise Unreadable("missing-part", f"extent {stored!r} is not there")
        extents.append(extent)
    opened = files_of(extents)
    files.extend(opened)
    guarded(lambda: handle.open_extent_data_files_as_file_objects(opened), files)
    return handle


def _extent_name(handle: Any, number: int) -> str | None:
    found: str | None = handle.get_extent_descriptor(number).get_filename()
    return found


def _is_sparse(segment: Segment) -> bool:
    return segment.source.read_at(0, 4) in MAGICS


def _parent(handle: Any, rest: Sequence[Segment], files: Sequence[FileObject]) -> Segment | None:
    """The segment of the parent, None for a base disk (content identifier ffffffff means: no parent)."""
    identifier = guarded(handle.get_parent_content_identifier, files)
    if identifier in (None, 0xFFFFFFFF):
        return None
    stored = guarded(handle.get_parent_filename, files)
    segment = by_name(rest, base_name(stored))
    if segment is None:
        raise Unreadable("missing-part", f"the parent {stored!r} of this snapshot is not there")
    return segment
