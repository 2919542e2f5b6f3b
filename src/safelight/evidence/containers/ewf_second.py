"""pyewf as the second reader of EWF: asked only where the own reader cannot make out the structure.

pyewf returns zeros for a chunk that is damaged, without an error (libewf 20260924, measured). Nothing may be read as zeros that
was not: a read that holds a whole zero chunk is therefore refused here, as damage and zeros cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from safelight.evidence.bytesource import FileObject, clamp
from safelight.evidence.source import Segment, StoredDigest, Unreadable
from safelight.problems import Problem


class SecondImage:
    """The medium as libewf gives it."""

    def __init__(self, segments: Sequence[Segment], why: str) -> None:
        import pyewf

        self._files = [FileObject(s.source) for s in segments]
        self._handle = pyewf.handle()
        self._handle.open_file_objects(self._files)
        self.size: int = self._handle.get_media_size()
        self._chunk: int = self._handle.get_chunk_size() or 32768
        values = dict(self._handle.get_hash_values())
        wanted = (("MD5", "md5"), ("SHA1", "sha1"))
        self.stored_digests: Sequence[StoredDigest] = tuple(
            StoredDigest(ours, values[theirs].lower()) for theirs, ours in wanted if theirs in values
        )
        self.problems: Sequence[Problem] = (Problem("second-reader", f"read by libewf, since: {why}", complete=False),)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `ByteSource.read_at`; whole zero chunks raise, see above."""
        size = clamp(offset, size, self.size)
        if not size:
            return b""
        start = offset - offset % self._chunk
        end = min(self.size, -(-(offset + size) // self._chunk) * self._chunk)
        try:
            data: bytes = self._handle.read_buffer_at_offset(end - start, start)
        except OSError as error:
            raise Unreadable("corrupt", f"libewf: {error}", offset, size) from error
        if len(data) < end - start:
            raise Unreadable("truncated", f"libewf gave {len(data)} of {end - start} bytes", offset, size)
        zeros = bytes(self._chunk)
        for at in range(0, len(data), self._chunk):
            part = data[at : at + self._chunk]
            if part == zeros[: len(part)]:
                raise Unreadable(
                    "corrupt",
                    f"bytes {start + at} to {start + at + len(part)}: zeros or a damaged chunk, libewf does not tell",
                    start + at,
                    len(part),
                )
        return data[offset - start : offset - start + size]


def open(segments: Sequence[Segment], why: str) -> SecondImage:  # the name is that of the protocol
    """Open by libewf; raise OSError where it cannot. `why` is what the own reader said."""
    return SecondImage(segments, why)
