"""Virtual PC and Hyper-V disks by libvhdi: VHD dynamic and fixed, VHDX; differencing VHD by an own reader.

A fixed VHD has no header, only a footer of 512 bytes at its end: it is found by that, with its checksum, before raw is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from safelight.evidence.bytesource import FileObject
from safelight.evidence.containers.libyal import LibyalImage, base_name, by_name, guarded
from safelight.evidence.containers.vhd_differencing import DIFFERENCING, DifferencingVhd, Header
from safelight.evidence.source import ByteSource, Image, Segment, Unreadable
from safelight.problems import Problem

name = "vhd"

COOKIE = b"conectix"
VHDX = b"vhdxfile"
MAX_PARENTS = 32
UNPROVEN = (
    "a differencing VHDX is read by libvhdi alone: its like for VHD gives zeros for sectors of the parent that share a group of eight "
    "with sectors of the child"
)
FOOTER_SIZES = (512, 511)
"""Bytes of the footer; versions before Virtual PC 2004 wrote 511 (VHD specification)."""


def detect(segments: Sequence[Segment]) -> bool:
    """Whether the first segment is VHD or VHDX."""
    source = segments[0].source
    head = source.read_at(0, 512)
    return head[:8] == VHDX or _footer_fits(head) or footer_at(source) is not None


def footer_at(source: ByteSource) -> int | None:
    """Where a sound VHD footer stands at the end, None where there is none."""
    for size in FOOTER_SIZES:
        at = source.size - size
        if at >= 0 and _footer_fits(source.read_at(at, size)):
            return at
    return None


def _footer_fits(footer: bytes) -> bool:
    """Cookie and checksum: the complement of the sum of all bytes but the checksum itself."""
    if len(footer) < 511 or footer[:8] != COOKIE:
        return False
    return (~(sum(footer) - sum(footer[64:68]))) & 0xFFFFFFFF == int.from_bytes(footer[64:68], "big")


def warm_up() -> None:
    """Import libvhdi."""
    import pyvhdi  # noqa: F401


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Open the first segment and its chain of parents, which are looked for by name among the others."""
    import pyvhdi

    _refuse_cut(segments[0].source)
    head = segments[0].source.read_at(0, 64)
    if head[:8] == COOKIE and int.from_bytes(head[60:64], "big") == DIFFERENCING:
        return _differencing(segments)
    handles: list[Any] = []
    files: list[FileObject] = []
    rest = list(segments)
    wanted: Segment | None = segments[0]
    while wanted is not None:
        if len(handles) > MAX_PARENTS:
            raise Unreadable("unsupported", f"more than {MAX_PARENTS} parents")
        current = wanted
        rest = [s for s in rest if s is not current]
        handle, file = pyvhdi.file(), FileObject(current.source)
        files.append(file)
        guarded(partial(handle.open_file_object, file), files)
        if handles:
            guarded(partial(handles[-1].set_parent, handle), files)
        handles.append(handle)
        wanted = _parent(handle, rest, files)
    problems = [Problem("second-reader", UNPROVEN, complete=False)] if len(handles) > 1 else []
    return LibyalImage(handles[0], files, handles[1:], problems)


def _differencing(segments: Sequence[Segment]) -> DifferencingVhd:
    """The first segment over its parent, which is opened with the others as its own parents."""
    if len(segments) > MAX_PARENTS + 1:
        raise Unreadable("unsupported", f"more than {MAX_PARENTS} parents")
    header = Header(segments[0].source)
    rest = list(segments[1:])
    parent = by_name(rest, base_name(header.parent))
    if parent is None:
        raise Unreadable("missing-part", f"the parent {header.parent!r} of this differencing disk is not there")
    if parent.source.read_at(footer_at(parent.source) or 0, 512)[68:84] != header.parent_id:
        raise Unreadable("missing-part", f"{header.parent!r} is not the parent of this differencing disk: its identifier is another")
    return DifferencingVhd(segments[0].source, header, open([parent, *(s for s in rest if s is not parent)]))


def _refuse_cut(source: ByteSource) -> None:
    """A dynamic VHD has the footer twice; without the one at the end the file was cut."""
    if source.read_at(0, 8) == COOKIE and footer_at(source) is None:
        raise Unreadable("truncated", f"no footer at the end of the {source.size} bytes")


def _parent(handle: Any, rest: Sequence[Segment], files: Sequence[FileObject]) -> Segment | None:
    if guarded(handle.get_parent_identifier, files) is None:
        return None
    stored = guarded(handle.get_parent_filename, files)
    segment = by_name(rest, base_name(stored))
    if segment is None:
        raise Unreadable("missing-part", f"the parent {stored!r} of this differencing disk is not there")
    return segment
