"""What every disk-image format is held to. A test subclasses `ContainerKit` and says how its variants are made.

The logical stream must be the raw bytes, read whole and in pieces; a cut or changed file may lose bytes with an `Unreadable`,
but must never give other bytes than those of the disk (formats with checksums) or crash (all formats).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safelight.evidence.bytesource import MemorySource, pieces
from safelight.evidence.containers import open_image
from safelight.evidence.containers.segments import collect_segments
from safelight.evidence.source import Image, Segment, Unreadable

DISK_SIZE = (3 << 20) + 7 * 512
STEP = 100_003


def disk_bytes() -> bytes:
    """A small disk: text that compresses, noise that does not, holes; no part equal to another of the same length."""
    noise = random.Random(2016)
    parts = []
    while sum(map(len, parts)) < DISK_SIZE:
        n = len(parts)
        parts.append(b"".join(b"%08d line of text\n" % (n * 10000 + i) for i in range(3000)))
        parts.append(noise.randbytes(90_000))
        parts.append(bytes(200_000))
    return b"".join(parts)[:DISK_SIZE]


def memory_segments(paths: Sequence[Path]) -> list[Segment]:
    """The files of an image in memory."""
    return [Segment(p.name.encode(), MemorySource(p.read_bytes())) for p in paths]


def digest(image: Image) -> str:
    """SHA-256 of the whole stream."""
    sha = hashlib.sha256()
    pieces(image, sha.update)
    return sha.hexdigest()


class ContainerKit:
    """Subclass as `TestX(ContainerKit)` with the four attributes and `make`."""

    container = ""  # name that `open_image` must give
    variants: tuple[str, ...] = ()
    checked = False  # whether the format has a checksum over all that it stores
    may_be_raw = False  # raw itself: a cut cannot be seen

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "variant" in metafunc.fixturenames:
            metafunc.parametrize("variant", self.variants)

    def make(self, variant: str, raw: Path, folder: Path) -> Path:
        """Write the image of `raw` into `folder` and return its first file."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def raw(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("raw") / "disk.raw"
        path.write_bytes(disk_bytes())
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Segment]]:
        return {v: memory_segments(collect_segments(cls().make(v, raw, tmp_path_factory.mktemp("image")))) for v in cls.variants}

    def _changes(self, segments: Sequence[Segment], seed: int, cut: bool) -> list[Segment]:
        """One file of the image, cut or with one bit changed."""
        rnd = random.Random(seed)
        # Small text files (descriptors) and large data files alike.
        victim = rnd.randrange(len(segments))
        data = bytearray(segments[victim].source.read_at(0, segments[victim].source.size))
        if cut:
            del data[rnd.choice((1, 512, 4096, len(data) // 2, rnd.randrange(1, len(data)))) * -1 :]
        else:
            data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
        changed = list(segments)
        changed[victim] = Segment(segments[victim].name, MemorySource(bytes(data)))
        return changed

    def _wrong(self, segments: Sequence[Segment], raw: bytes) -> int:
        """How many pieces come out otherwise than they went in; lost ones do not count, an absent footer does where it may."""
        try:
            name, image = open_image(segments)
        except Unreadable:
            return 0
        if name == "raw" and (self.may_be_raw or image.problems):
            return 0
        wrong = int(image.size != len(raw) and not image.problems)
        for offset in range(0, len(raw), STEP):
            try:
                wrong += image.read_at(offset, STEP) not in (raw[offset : offset + STEP], b"")
            except Unreadable:
                continue
        return wrong

    def test_stream_is_the_disk(self, variant: str, made: dict[str, list[Segment]], raw: Path) -> None:
        """The SHA-256 of the whole stream is that of the disk, the size is right and nothing is complained about."""
        name, image = open_image(made[variant])
        assert (self.container, DISK_SIZE, []) == (name, image.size, list(image.problems))
        assert hashlib.sha256(raw.read_bytes()).hexdigest() == digest(image)

    def test_any_piece_is_right(self, variant: str, made: dict[str, list[Segment]], raw: Path) -> None:
        """Reads of any size at any offset, in any order, also over and behind the end, give the bytes of the disk."""
        want = raw.read_bytes()
        _, image = open_image(made[variant])

        @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(st.integers(0, DISK_SIZE + 5000), st.one_of(st.integers(0, 5000), st.integers(0, 1 << 19)))
        def read(offset: int, size: int) -> None:
            assert want[offset : offset + size] == image.read_at(offset, size)

        read()

    def test_negative_reads_are_refused(self, variant: str, made: dict[str, list[Segment]]) -> None:
        """A negative offset or size is an error of the caller."""
        _, image = open_image(made[variant])
        with pytest.raises(ValueError, match="negative"):
            image.read_at(-1, 10)

    def test_a_cut_file_is_never_taken_for_whole(self, variant: str, made: dict[str, list[Segment]], raw: Path) -> None:
        """20 cuts: bytes are lost with an error or are right."""
        want = raw.read_bytes()
        assert [self._wrong(self._changes(made[variant], seed, cut=True), want) for seed in range(20)] == [0] * 20

    def test_a_changed_bit_is_found_where_the_format_can(self, variant: str, made: dict[str, list[Segment]], raw: Path) -> None:
        """20 changed bits: never a wrong byte where all is checked; elsewhere no crash and no endless loop."""
        want = raw.read_bytes()
        wrong = [self._wrong(self._changes(made[variant], seed, cut=False), want) for seed in range(20)]
        if self.checked:
            assert wrong == [0] * 20

    def test_detect_takes_any_prefix(self, variant: str, made: dict[str, list[Segment]]) -> None:
        """A file of any small length is opened or refused, never an exception of another kind."""
        whole = made[variant][0].source
        for length in (1, 3, 8, 12, 13, 64, 71, 100, 511, 512, 513, 1024, 4096):
            part = [Segment(made[variant][0].name, MemorySource(whole.read_at(0, length)))]
            try:
                open_image(part)
            except Unreadable as error:
                assert error.kind
