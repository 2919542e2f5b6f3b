"""Compressed single streams (gzip, bzip2, xz, lzma, zstd) as archives of one member, with all their checksums verified.

libarchive 3.6 does not verify the CRC of gzip, so these are read here. Several streams one behind the other are one content, as
their tools read them; what follows the last one is a problem `trailing-data`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from safelight.evidence.source import ByteSource, Unreadable

READ = 1 << 16
BLOCK = 1 << 18
MEMORY = 256 << 20
"""Bytes that an xz or lzma dictionary may take: xz -9 needs 65 MiB."""

MAX_STREAMS = 1 << 20


def warm_up() -> None:
    """Import all codecs."""
    import bz2  # noqa: F401
    import lzma  # noqa: F401

    import inflate64  # noqa: F401
    import zstandard  # noqa: F401
    from zlib_ng import zlib_ng  # noqa: F401


def inflater(scheme: str) -> Any:
    """A fresh decompressor for `gz bz2 xz lzma zst deflate deflate64`."""
    if scheme in ("gz", "deflate"):
        from zlib_ng import zlib_ng

        return zlib_ng.decompressobj(31 if scheme == "gz" else -15)
    if scheme == "zst":
        return _Zstd()
    if scheme == "deflate64":
        return _Deflate64()
    if scheme == "bz2":
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor({"xz": lzma.FORMAT_XZ, "lzma": lzma.FORMAT_ALONE}[scheme], memlimit=MEMORY)


def pull(codec: Any, packed: bytes) -> Iterator[bytes]:
    """All that comes out of `packed`, in bounded blocks; two kinds of decompressor, those of zlib and those of bz2 and lzma."""
    tail = hasattr(codec, "unconsumed_tail")
    while True:
        data = codec.decompress(packed, BLOCK)
        packed = codec.unconsumed_tail if tail else b""
        if data:
            yield data
        if codec.eof or (not packed if tail else codec.needs_input):
            return
        if tail and not data and not packed:
            return


def read_stream(source: ByteSource, scheme: str, note: Callable[[str, str], None]) -> Iterator[bytes]:
    """The content of a compressed stream. `note` takes (kind, reason) of what follows it; raise `Unreadable` for damage."""
    offset, packed = 0, b""
    for _ in range(MAX_STREAMS):
        codec = inflater(scheme)
        while not codec.eof:
            if not packed:
                packed = source.read_at(offset, READ)
                offset += len(packed)
                if not packed:
                    raise Unreadable("truncated", f"{scheme}: the stream has no end")
            try:
                yield from pull(codec, packed)
            except Unreadable:
                raise
            except MemoryError as error:
                raise Unreadable("limit.memory", f"{scheme}: {error}") from error
            except Exception as error:  # zlib_ng.error, LZMAError, OSError and EOFError: whatever a codec says is damage
                raise Unreadable("limit.memory" if "memory" in str(error).lower() else "corrupt", f"{scheme}: {error}") from error
            packed = codec.unused_data if codec.eof else b""
        packed = packed or source.read_at(offset, READ)
        if offset < source.size or packed:
            start = offset - len(codec.unused_data)
            packed = source.read_at(start, READ)
            offset = start + len(packed)
        start = offset - len(packed)
        kind = _following(packed, scheme)
        if kind == "stream":
            continue
        if kind == "other":
            note("trailing-data", f"{source.size - start} bytes follow the {scheme} stream")
        return
    raise Unreadable("limit.entries", f"more than {MAX_STREAMS} {scheme} streams one behind the other")


HEADS = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00", "zst": b"\x28\xb5\x2f\xfd"}


def _following(packed: bytes, scheme: str) -> str:
    """What stands behind a stream: `nothing` (or zeros, as tape blocks and xz padding have them), another `stream`, or `other`."""
    head = HEADS.get(scheme)
    if head and packed.startswith(head):
        return "stream"
    return "other" if packed.strip(b"\0") else "nothing"


class _Bounded:
    """A decompressor without a bound on what one call gives, in the form of those of bz2 and lzma: small pieces go in."""

    PIECE = 2048

    def __init__(self, codec: Any, expand: Callable[[bytes], bytes]) -> None:
        self._codec, self._expand = codec, expand
        self._in, self._out = b"", memoryview(b"")

    def decompress(self, packed: bytes, limit: int) -> bytes:
        self._in += packed
        while not self._out and self._in and not self._codec.eof:
            piece, self._in = self._in[: self.PIECE], self._in[self.PIECE :]
            self._out = memoryview(self._expand(piece))
        data, self._out = bytes(self._out[:limit]), self._out[limit:]
        return data

    @property
    def eof(self) -> bool:
        return bool(self._codec.eof) and not self._out

    @property
    def needs_input(self) -> bool:
        return not self._out and not self._in


class _Zstd(_Bounded):
    """zstandard's stream reader ends a cut stream without an error. A block that repeats one byte makes 128 KiB out of 4 bytes
    (RFC 8878, 3.1.1.2)."""

    def __init__(self) -> None:
        import zstandard

        codec = zstandard.ZstdDecompressor(max_window_size=MEMORY).decompressobj()
        super().__init__(codec, codec.decompress)

    @property
    def unused_data(self) -> bytes:
        return (self._codec.unused_data or b"") + self._in


class _Deflate64(_Bounded):
    """Method 9 of ZIP: deflate with a window of 64 KiB and lengths to 65,538, so that one bit more makes that many bytes."""

    PIECE = 64

    def __init__(self) -> None:
        import inflate64

        codec = inflate64.Inflater()
        super().__init__(codec, codec.inflate)


def gzip_header(head: bytes) -> tuple[bytes, int | None]:
    """(name, mtime in ns) of a gzip header as RFC 1952 has them; b"" and None where it gives none."""
    if len(head) < 10 or head[:3] != b"\x1f\x8b\x08":
        return b"", None
    flags, seconds = head[3], int.from_bytes(head[4:8], "little")
    at = 10
    if flags & 4:
        at += 2 + int.from_bytes(head[at : at + 2], "little")
    name = head[at:].split(b"\0", 1)[0] if flags & 8 else b""
    return name, seconds * 1_000_000_000 or None
