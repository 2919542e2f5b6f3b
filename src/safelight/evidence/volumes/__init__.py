"""Partition tables: which runs of a disk are volumes. `scan` gives them all, with what is wrong with the tables.

A disk may carry more than one table (hybrid MBR, a GPT left over under a new MBR): what any of them names is offered, since a
run that holds no volume costs one problem and a run that is not offered costs the evidence. A disk without a table is one run.
"""

from __future__ import annotations

from collections.abc import Sequence

from safelight.evidence.source import ByteSource, Partition, Unreadable
from safelight.evidence.volumes import apm, gpt, mbr
from safelight.problems import Problem

SCHEMES = (
    gpt,  # before MBR: a GPT disk has a protective MBR whose one entry is the whole disk
    mbr,
    apm,
)
"""Modules with `name`, `detect(disk)` and `partitions(disk)`, see `safelight.evidence.source.VolumeScheme`."""

WHOLE = "whole"
LARGE_SECTORS = (4096,)
VOLUME_SIGNATURES = (
    (510, b"\x55\xaa"),  # FAT, NTFS, exFAT, BitLocker
    (1080, b"\x53\xef"),  # ext
    (0, b"XFSB"),
    (0, b"LUKS\xba\xbe"),
    (1024, b"H+"),
    (1024, b"HX"),
    (32, b"NXSB"),
)
"""(offset, bytes) at the start of a volume; they tell which unit an MBR counts in, not what the volume is."""


def warm_up() -> None:
    """Load libvshadow, before the sandbox closes `open`."""
    from safelight.evidence.volumes import shadow

    shadow.warm_up()


def scan(disk: ByteSource, sector_size: int = 512) -> list[Partition | Problem]:
    """List the partitions of a disk in table order, problems where they were met; one partition `whole` where no table is.

    `sector_size` is the unit of MBR entries unless volumes begin where 4,096 bytes say and none where it says; GPT finds its own (512 or
    4096). What reaches beyond the end of the disk is a
    problem `truncated` and is offered with the size that the table says. Never raises for what the disk holds.
    """
    found: list[Partition | Problem] = []
    try:
        has_gpt = gpt.detect(disk)
        has_mbr = mbr.detect(disk, sector_size)
        if has_gpt:
            found.extend(gpt.partitions(disk))
            found.extend(_beside_gpt(disk, sector_size, found) if has_mbr else _unprotected(disk, sector_size))
        elif has_mbr:
            found.extend(mbr.partitions(disk, _mbr_unit(disk, sector_size)))
        elif apm.detect(disk):
            found.extend(apm.partitions(disk))
    except Unreadable as error:
        found.append(Problem(error.kind, f"partition table: {error}", complete=False))
    offered = [p for p in found if isinstance(p, Partition)]
    whole = not offered or any(p.offset == 0 for p in offered) or _is_optical(disk)
    if whole:
        # An entry that starts at 0 (isohybrid, a fake MBR over FAT) is the disk itself.
        found = [p for p in found if isinstance(p, Problem) or p.offset]
        found.insert(0, Partition(WHOLE, 0, disk.size, ""))
    return _checked(found, disk.size)


def _mbr_unit(disk: ByteSource, sector_size: int) -> int:
    """Bytes that the entries of an MBR count in: those of a disk with sectors of 4,096 bytes where a volume begins so and none else."""
    for unit in (sector_size, *LARGE_SECTORS):
        if any(isinstance(p, Partition) and _begins_volume(disk, p.offset) for p in mbr.partitions(disk, unit)):
            return unit
    return sector_size


def _begins_volume(disk: ByteSource, offset: int) -> bool:
    """Whether a file system or an encrypted volume with a signature begins there."""
    try:
        head = disk.read_at(offset, 2048)
    except Unreadable:
        return False
    return any(head[at : at + len(words)] == words for at, words in VOLUME_SIGNATURES)


def _beside_gpt(disk: ByteSource, sector_size: int, found: Sequence[Partition | Problem]) -> list[Partition | Problem]:
    """Entries of the MBR that the GPT does not name: a hybrid MBR, or one that is newer than the GPT."""
    known = {p.offset for p in found if isinstance(p, Partition)}
    protective = mbr.is_protective(disk)
    entries = [p for p in mbr.partitions(disk, gpt.sector_size(disk) or sector_size) if isinstance(p, Problem) or p.type != mbr.PROTECTIVE]
    extra = [p for p in entries if isinstance(p, Problem) or (p.offset not in known and p.offset)]
    if protective or not extra:
        return extra
    words = "the MBR does not protect the GPT: one of the two tables is left over; what both name is offered"
    return [Problem("corrupt", words), *extra]


def _unprotected(disk: ByteSource, sector_size: int) -> list[Partition | Problem]:
    if mbr.is_protective(disk):
        return []
    return [Problem("corrupt", "no protective MBR stands before the GPT")]


def _is_optical(disk: ByteSource) -> bool:
    try:
        return disk.read_at(0x8001, 5) == b"CD001"
    except Unreadable:
        return False


def _checked(found: list[Partition | Problem], size: int) -> list[Partition | Problem]:
    """Add a problem behind each partition that reaches beyond the disk."""
    checked: list[Partition | Problem] = []
    for p in found:
        checked.append(p)
        if isinstance(p, Partition) and p.offset + p.size > size:
            words = f"partition {p.step} ends at {p.offset + p.size}, the disk at {size}"
            checked.append(Problem("truncated", words, origin=p.step, complete=False))
    return checked
