"""EnCase version 1 `.hash`: 1,152 bytes of header, then records of 16 bytes MD5 and 2 bytes more (FORMATS.md 2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import Event, Fact, Incomplete, Options, Record, Skip
from safelight.match.values import Judged, judged_record

MAGIC = b"HASH\r\n\xff\x00"
NAME_AT, NAME_SIZE = 1032, 78
FIRST, SIZE = 1152, 18
CHUNK = SIZE * 4096


class EnCase:
    """EnCase 1; the sets of EnCase 7 and 8 are proprietary and not read."""

    name = "encase-hash"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return head.startswith(MAGIC)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        stream.seek(0)
        header = stream.read(FIRST)
        yield Fact("set_name", header[NAME_AT : NAME_AT + NAME_SIZE].decode("utf-16-le", "replace").split("\0")[0])
        if len(header) < FIRST:
            yield Incomplete("the file ends inside its header")
            return
        position, rest = 0, b""
        while block := stream.read(CHUNK):
            block = rest + block
            whole = len(block) - len(block) % SIZE
            rest = block[whole:]
            for at in range(0, whole, SIZE):
                position += 1
                judged = Judged()
                judged.add("md5", block[at : at + 16].hex())
                yield judged_record(judged, Record(position=position))
        if rest:
            yield Skip(position=position + 1, reason="truncated")
