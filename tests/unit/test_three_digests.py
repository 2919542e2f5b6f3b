"""The digest kernel against OpenSSL, and against the vectors that the standards publish."""

from __future__ import annotations

import hashlib
import random

import pytest

from safelight.extract.digests import NATIVE, PlainDigests, check, new_digests
from safelight.native import _threedigests

needs_kernel = pytest.mark.skipif(not NATIVE, reason="this processor has no SHA instructions: hashlib is used")

ABC = "900150983cd24fb0d6963f7d28e17f72 a9993e364706816aba3e25717850c26c9cd0d89d ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
EMPTY = "d41d8cd98f00b204e9800998ecf8427e da39a3ee5e6b4b0d3255bfef95601890afd80709 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""RFC 1321 A.5 and the examples of FIPS 180-4 for `abc` and the empty message."""


def of(digests: object) -> str:
    return " ".join(getattr(digests, name)().hex() for name in ("md5", "sha1", "sha256"))


@pytest.mark.parametrize(("message", "expected"), [(b"abc", ABC), (b"", EMPTY)])
def test_published_vectors(message: bytes, expected: str) -> None:
    """The published vectors come out, of what is used here and of the twin."""
    for digests in (new_digests(), PlainDigests()):
        digests.update(message)
        assert expected == of(digests)


@needs_kernel
def test_every_length_up_to_four_blocks() -> None:
    """Each length up to 260 bytes, which crosses each edge of the padding several times, gives what OpenSSL gives."""
    data = random.Random(1).randbytes(260)
    for length in range(261):
        kernel = _threedigests.Digests()
        kernel.update(data[:length])
        plain = [hashlib.new(name, data[:length]).hexdigest() for name in ("md5", "sha1", "sha256")]
        assert plain == of(kernel).split()


@needs_kernel
def test_any_cut_into_pieces() -> None:
    """However a stream is cut, and from whatever address it is read, the digests are the same; asking in between changes nothing."""
    rng = random.Random(2)
    for _ in range(200):
        data = memoryview(rng.randbytes(rng.randrange(5000)))[rng.randrange(8) :]
        kernel, plain, at = _threedigests.Digests(), PlainDigests(), 0
        while at < len(data):
            piece = data[at : at + rng.choice((0, 1, 7, 63, 64, 65, 128, 1000))]
            kernel.update(piece)
            plain.update(piece)
            at += len(piece)
            assert plain.length == kernel.length
            if rng.random() < 0.1:
                assert of(plain) == of(kernel)
        assert of(plain) == of(kernel)


@needs_kernel
@pytest.mark.slow
def test_more_than_four_gigabits() -> None:
    """The length in bits needs more than 32 bits from 512 MiB on."""
    kernel, plain, block = _threedigests.Digests(), PlainDigests(), bytes(1 << 20)
    for _ in range(520):
        kernel.update(block)
        plain.update(block)
    assert of(plain) == of(kernel)


@needs_kernel
def test_the_check_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is wrong in one digest is found at the start."""

    class Wrong(PlainDigests):
        def sha1(self) -> bytes:
            return bytes(20)

    check()
    monkeypatch.setattr(_threedigests, "Digests", Wrong)
    with pytest.raises(RuntimeError, match="differ on 0 bytes"):
        check()


@needs_kernel
def test_refuses_what_is_no_bytes() -> None:
    """Text, and arguments, are a TypeError; nothing is added."""
    kernel = _threedigests.Digests()
    with pytest.raises(TypeError):
        kernel.update("text")
    with pytest.raises(TypeError):
        _threedigests.Digests(1)  # type: ignore[call-arg]
    assert kernel.length == 0 and of(kernel) == EMPTY
