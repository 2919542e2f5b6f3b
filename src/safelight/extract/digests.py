"""Three digests over one pass of the bytes.

The kernel `native/_threedigests.c` weaves the three functions into one another: half the cost of hashlib's one after the other
(docs/methods/performance.md). hashlib, that is OpenSSL, is its twin, checks it at the start of each process (where they differ nothing
is read), and takes its place on a processor without SHA instructions.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from safelight.native import _threedigests


class Digests(Protocol):
    """MD5, SHA-1 and SHA-256 of a stream."""

    @property
    def length(self) -> int:
        """Bytes so far."""
        ...

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add the next bytes."""
        ...

    def md5(self) -> bytes: ...
    def sha1(self) -> bytes: ...
    def sha256(self) -> bytes: ...


class PlainDigests:
    """The same by hashlib: OpenSSL, one function after the other."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.length = 0

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._md5.update(data)
        self._sha1.update(data)
        self._sha256.update(data)
        self.length += len(data)

    def md5(self) -> bytes:
        return self._md5.digest()

    def sha1(self) -> bytes:
        return self._sha1.digest()

    def sha256(self) -> bytes:
        return self._sha256.digest()


def check() -> None:
    """Compare the kernel with hashlib, on both sides of each edge of the padding. Raise `RuntimeError` where they differ."""
    sample = bytes(range(251)) * 9
    for length in (0, 1, 55, 56, 63, 64, 65, 119, 120, 2048, 2259):
        kernel, plain = _threedigests.Digests(), PlainDigests()
        for part in (sample[: length // 3], sample[length // 3 : length]):
            kernel.update(part)
            plain.update(part)
        if (kernel.md5(), kernel.sha1(), kernel.sha256()) != (plain.md5(), plain.sha1(), plain.sha256()):
            raise RuntimeError(f"the digest kernel and OpenSSL differ on {length} bytes: this machine or its build of Safelight is broken")


NATIVE = _threedigests.supported()
"""Whether the kernel can be used here."""

if NATIVE:
    check()


def new_digests() -> Digests:
    """Return the digests of an empty stream."""
    return _threedigests.Digests() if NATIVE else PlainDigests()
