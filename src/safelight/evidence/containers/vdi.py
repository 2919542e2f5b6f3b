"""VirtualBox disks (VDI), dynamic and fixed: an own reader of one table. Differencing images are refused.

Layout as in VirtualBox's VDICore.h: a header of version 1.1, a map of 32-bit block numbers, blocks behind `data_at`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence

from safelight.evidence.bytesource import clamp
from safelight.evidence.source import Image, Segment, StoredDigest, Unreadable
from safelight.problems import Problem

name = "vdi"

SIGNATURE = 0xBEDA107F
MAX_MAP = 64 << 20
FREE, ZERO = 0xFFFFFFFF, 0xFFFFFFFE
KINDS = {1: "dynamic", 2: "fixed", 3: "undo", 4: "differencing"}


def detect(segments: Sequence[Segment]) -> bool:
    """Whether the signature stands at byte 64."""
    return segments[0].source.read_at(64, 4) == SIGNATURE.to_bytes(4, "little")


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Open a dynamic or fixed VDI."""
    return VdiImage(segments[0])


class VdiImage:
    """The disk of a VDI file."""

    stored_digests: Sequence[StoredDigest] = ()
    problems: Sequence[Problem] = ()

    def __init__(self, segment: Segment) -> None:
        self._source = segment.source
        head = self._source.read_at(0, 512)
        if len(head) < 512:
            raise Unreadable("truncated", f"header of {len(head)} bytes")
        version, _, kind = struct.unpack_from("<III", head, 68)
        if version >> 16 != 1:
            raise Unreadable("unsupported", f"version {version >> 16}.{version & 0xFFFF}")
        if kind not in (1, 2) or any(head[440:456]):
            raise Unreadable(
                "missing-part" if kind == 4 else "unsupported", f"{KINDS.get(kind, f'type {kind}')} image: it needs its parent"
            )
        map_at, self._data_at = struct.unpack_from("<II", head, 340)
        self.size, self._block, self._extra, blocks = struct.unpack_from("<QIII", head, 368)
        if not 512 <= self._block <= 1 << 28 or self._block & (self._block - 1) or self._extra > self._block:
            raise Unreadable("corrupt", f"blocks of {self._block} bytes")
        if blocks * 4 > MAX_MAP or blocks < -(-self.size // self._block):
            raise Unreadable("corrupt", f"{blocks} blocks for a disk of {self.size} bytes")
        raw = self._source.read_at(map_at, blocks * 4)
        if len(raw) < blocks * 4:
            raise Unreadable("truncated", f"the file ends at {self._source.size}, inside the block map")
        self._map = array("I", raw)
        if sys.byteorder == "big":
            self._map.byteswap()

    def read_at(self, offset: int, size: int) -> bytes:
        """See `ByteSource.read_at`."""
        end = offset + clamp(offset, size, self.size)
        parts: list[bytes] = []
        while offset < end:
            number, inside = divmod(offset, self._block)
            length = min(end - offset, self._block - inside)
            place = self._map[number]
            if place in (FREE, ZERO):
                parts.append(bytes(length))
            else:
                at = self._data_at + place * (self._block + self._extra) + self._extra + inside
                data = self._source.read_at(at, length)
                if len(data) < length:
                    raise Unreadable(
                        "truncated", f"block {number} should stand at {at}, the file ends at {self._source.size}", offset, length
                    )
                parts.append(data)
            offset += length
        return parts[0] if len(parts) == 1 else b"".join(parts)
