"""The conformance kit of file-system readers: subclass it with a fixture `image` and it holds the reader to the contract.

The oracle is The Sleuth Kit of the distribution (`fls -r -p`, `icat`); formats that it does not know give another one by
overriding `expected`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

from safelight.evidence.filesystems import open_filesystem, warm_up
from safelight.evidence.source import Accounts, Entry, OpenFileSystem, Unreadable
from safelight.problems import Problem

GONE = ("deleted", "orphan", "overwritten")


class FileSource:
    """A file of the host, or the first `size` bytes of it from `offset` on, as a byte source."""

    def __init__(self, path: Path, offset: int = 0, size: int | None = None) -> None:
        self._file = path.open("rb")
        self._offset = offset
        self.size = path.stat().st_size - offset if size is None else size

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise ValueError(f"negative read: {offset}, {size}")
        return os.pread(self._file.fileno(), max(0, min(size, self.size - offset)), self._offset + offset)


class Row(NamedTuple):
    """One line of `fls -r -p`."""

    kind: str
    deleted: bool
    address: str
    reallocated: bool
    path: bytes


class Listing(NamedTuple):
    """What a reader gave."""

    fs: OpenFileSystem
    entries: list[Entry]
    problems: list[Problem]


def printed(path: bytes) -> bytes:
    """Return a path as `fls` prints it: control characters become a caret."""
    return re.sub(rb"[\x00-\x1f\x7f]", b"^", path)


def fls(image: Path, sector: int = 0) -> list[Row]:
    """List an image by the Sleuth Kit of the distribution."""
    if shutil.which("fls") is None:
        pytest.skip("fls (sleuthkit) is not installed")
    out = subprocess.run(
        ["fls", "-r", "-p", "-o", str(sector), image], capture_output=True, env=dict(os.environ, TZ="UTC"), check=True
    ).stdout
    matches = [re.match(rb"(\S+)\s+(\* )?([\d-]+)(\(realloc\))?:\t(.*)$", line, re.DOTALL) for line in out.split(b"\n")]
    return [Row(m[1].decode(), bool(m[2]), m[3].decode(), bool(m[4]), m[5]) for m in matches if m]


def icat(image: Path, address: str, sector: int = 0) -> bytes:
    """Read an address by the Sleuth Kit of the distribution."""
    return subprocess.run(["icat", "-o", str(sector), image, address], capture_output=True, check=False).stdout


def listing(image: Path, sector: int = 0, size: int | None = None) -> Listing:
    """List an image by the reader under test."""
    warm_up()
    fs = open_filesystem(FileSource(image, sector * 512, size))
    entries: list[Entry] = []
    problems: list[Problem] = []
    for x in fs.entries():
        if isinstance(x, Problem):
            problems.append(x)
        else:
            entries.append(x)
    return Listing(fs, entries, problems)


def read(fs: OpenFileSystem, address: str, piece: int = 1 << 20) -> bytes:
    """Read all bytes of an address in pieces."""
    source = fs.content(address)
    parts = [source.read_at(at, piece) for at in range(0, source.size, piece)]
    assert source.read_at(source.size, 10) == b""
    return b"".join(parts)


class FilesystemKit:
    """Subclass with `image` (a fixture that returns the path) and what is special about it."""

    name: ClassVar[str]
    sector: ClassVar[int] = 0
    has_accounts: ClassVar[bool] = True
    table_of_records: ClassVar[bool] = True

    @pytest.fixture
    def image(self) -> Path:
        raise NotImplementedError

    def test_entries_are_those_of_fls(self, image: Path) -> None:
        """Every line of `fls -r -p` is an entry: same address, same path, deleted or not, in the same order."""
        expected = [(r.deleted, r.address, r.path) for r in fls(image, self.sector)]
        found = listing(image, self.sector).entries
        assert expected == [(e.state in GONE, e.address, printed(e.path)) for e in found]

    def test_types_are_those_of_fls(self, image: Path) -> None:
        """A directory of `fls` is a directory without content, a link is a symlink with its target."""
        kinds = {(r.address, r.path): r.kind[-1] for r in fls(image, self.sector)}
        for e in listing(image, self.sector).entries:
            kind = kinds[e.address, printed(e.path)]
            assert (kind == "d") == (e.type == "directory"), e
            assert (kind == "l") == (e.type == "symlink") == bool(e.link), e
            assert not (e.type == "directory" and e.has_content), e

    def test_contents_are_those_of_icat(self, image: Path) -> None:
        """The bytes of every address are those of `icat`; only a name whose record was used again has none."""
        found = listing(image, self.sector)
        rows = {(r.address, r.path): r for r in fls(image, self.sector)}
        compared = 0
        for e in found.entries:
            row = rows[e.address, printed(e.path)]
            if row.kind[-1] == "r" and not row.reallocated:
                assert e.has_content, e
                assert icat(image, e.address, self.sector) == read(found.fs, e.address), e
                compared += 1
            assert not (row.reallocated and e.has_content), e
        assert compared > 0

    def test_listing_is_the_same_twice(self, image: Path) -> None:
        """Two readers, and one reader asked twice, give the same entries in the same order."""
        first = listing(image, self.sector)
        assert first.entries == listing(image, self.sector).entries
        assert first.entries == [x for x in first.fs.entries() if isinstance(x, Entry)]

    def test_address_reopens_in_another_reader(self, image: Path) -> None:
        """An address alone opens the same bytes in a reader that listed nothing; unknown addresses are refused."""
        found = listing(image, self.sector)
        other = open_filesystem(FileSource(image, self.sector * 512))
        for e in [e for e in found.entries if e.has_content and e.size][:20]:
            assert read(found.fs, e.address) == read(other, e.address, 3001)
        for address in ("", "x", "-1", "1-2", "99999999999", "99999999999-128-1", "1-2-3-4", "0" * 40):
            with pytest.raises(Unreadable):
                other.content(address).read_at(0, 1)

    def test_clean_image_has_no_problem(self, image: Path) -> None:
        """An undamaged volume gives no problem of the volume: its accounts add up to the byte."""
        assert [(p.kind, p.reason) for p in listing(image, self.sector).problems] == []

    def test_accounts_count_what_was_listed(self, image: Path) -> None:
        """The accounts hold the names, the deleted ones, and as many bytes as the volume says are in use."""
        found = listing(image, self.sector)
        accounts = found.fs.accounts()
        states = Counter(e.state for e in found.entries)
        assert accounts.entries_walk == len(found.entries)
        assert accounts.deleted == len(found.entries) - states["live"]
        assert accounts.readers
        if self.has_accounts:
            assert accounts.bytes_allocated == accounts.bytes_covered
        assert (accounts.entries_table is not None) == self.table_of_records

    def test_truncated_image_ends_in_problems(self, image: Path) -> None:
        """Cut at 20 places, the volume is refused or listed with a problem; nothing is read as zeros."""
        whole = {(e.address, e.path): e for e in listing(image, self.sector).entries}
        full = listing(image, self.sector).fs
        size = image.stat().st_size - self.sector * 512
        for i in range(1, 21):
            try:
                cut = listing(image, self.sector, size * i // 21 // 512 * 512)
            except Unreadable:
                continue
            assert cut.problems, i
            assert isinstance(cut.fs.accounts(), Accounts)
            for e in cut.entries[:: max(1, len(cut.entries) // 10)]:
                if e.has_content and (e.address, e.path) in whole and not e.problems:
                    try:
                        data = read(cut.fs, e.address)
                    except Unreadable:
                        continue
                    if e.type != "virtual":
                        assert data == read(full, e.address), (i, e)
