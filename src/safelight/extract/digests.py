"""Three digests over one pass of the bytes."""

from __future__ import annotations

import hashlib


class Digests:
    """MD5, SHA-1 and SHA-256 of a stream (hashlib: OpenSSL, which uses the processor's SHA instructions)."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.length = 0

    def update(self, block: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._md5.update(block)
        self._sha1.update(block)
        self._sha256.update(block)
        self.length += len(block)

    def md5(self) -> bytes:
        return self._md5.digest()

    def sha1(self) -> bytes:
        return self._sha1.digest()

    def sha256(self) -> bytes:
        return self._sha256.digest()
