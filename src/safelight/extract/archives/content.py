"""The content of a ZIP entry: stored, deflate, Deflate64, bzip2, LZMA, xz, zstd, in bounded blocks, with size and CRC-32 checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safelight.evidence.bytesource import Slice
from safelight.evidence.source import ByteSource, Unreadable
from safelight.extract.archives import streams as archive_streams
from safelight.extract.archives.streams import BLOCK, MEMORY, READ, pull

METHODS = {0: "stored", 8: "deflate", 9: "deflate64", 12: "bz2", 14: "lzma", 20: "zst", 93: "zst", 95: "xz"}
"""Compression methods of APPNOTE.TXT 4.4.5 that are read; PPMd (98) and the historical ones are not."""


def content(source: ByteSource, method: int, offset: int, packed: int, size: int | None, crc: int | None) -> Iterator[bytes]:
    """Blocks of the content at `offset`; `Unreadable` for damage, also when only the checksum or the size shows it."""
    from zlib_ng import zlib_ng

    have = min(packed, max(0, source.size - offset))
    body = Slice(source, offset, have)
    check, count = 0, 0
    for block in _unpacked(body, METHODS[method]):
        count += len(block)
        if size is not None and count > size:
            raise Unreadable("corrupt", f"more than the {size} bytes announced")
        check = zlib_ng.crc32(block, check)
        yield block
    if have < packed:
        raise Unreadable("truncated", f"{have} of {packed} packed bytes are there")
    if size is not None and count != size:
        raise Unreadable("corrupt", f"{count} bytes, {size} were announced")
    if crc is not None and check != crc:
        raise Unreadable("corrupt", "CRC-32 is wrong")


def _unpacked(body: ByteSource, method: str) -> Iterator[bytes]:
    if method == "stored":
        offset = 0
        while data := body.read_at(offset, BLOCK):
            yield data
            offset += len(data)
        return
    if method in ("zst", "xz", "bz2"):
        yield from archive_streams.read_stream(body, method, lambda kind, reason: None)
        return
    skip, codec = _raw_lzma(body) if method == "lzma" else (0, archive_streams.inflater(method))
    yield from _drain(body, skip, codec, method)


def _drain(body: ByteSource, offset: int, codec: Any, method: str) -> Iterator[bytes]:
    while not codec.eof:
        packed = body.read_at(offset, READ)
        if not packed:
            if method == "lzma":  # the end mark of LZMA is optional; size and checksum tell
                return
            raise Unreadable("corrupt", f"{method}: the stream has no end")
        offset += len(packed)
        try:
            yield from pull(codec, packed)
        except Unreadable:
            raise
        except Exception as error:  # zlib_ng.error and LZMAError are classes of modules imported late
            raise Unreadable("corrupt", f"{method}: {error}") from error


def _raw_lzma(body: ByteSource) -> tuple[int, Any]:
    """(bytes of the header, decompressor) of method 14: version, length of the properties, properties (APPNOTE.TXT 5.8.8)."""
    import lzma

    head = body.read_at(0, 9)
    if len(head) < 9 or head[2:4] != b"\5\0" or head[4] >= 9 * 5 * 5:
        raise Unreadable("corrupt", "lzma: properties are damaged")
    rest, lc = divmod(head[4], 9)
    pb, lp = divmod(rest, 5)
    dictionary = max(4096, int.from_bytes(head[5:9], "little"))
    if dictionary > MEMORY:
        raise Unreadable("limit.memory", f"lzma: a dictionary of {dictionary} bytes")
    if lc + lp > 4:
        raise Unreadable("corrupt", "lzma: properties are damaged")
    return 9, lzma.LZMADecompressor(
        lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
    )
