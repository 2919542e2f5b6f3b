"""The index of the PDQ hashes of a set: built once, opened at once, searched from mapped files, by one hash or by a million.

    pdq.keys     sorted distinct hashes, 32 bytes each
    pdq.starts   first place of each hash in pdq.rows, and one more: 8 bytes each
    pdq.rows     row numbers of the set (unsigned, 4 bytes; 8 from 2**32 rows on); those of one hash ascend
    pdq.bands    4,096 bytes of header: 16 of magic, length of the text (u32), the text (JSON: version of the format, sizes, digests of
                 the other three files and of the body, widths and places of the bands), SHA-256 of all that. Then, for each band, the
                 first place of each of its keys (2**width + 1 of u32) and the numbers of the hashes in the order of the keys (u32)

All numbers are little-endian. A file that is not what was written is refused (`SetDamaged`): sizes and digests at opening, bounds,
keys and order of all that is read at each search. About 100 bytes an entry at 100 million.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from safelight.match.columns import strings
from safelight.match.digests import expand
from safelight.match.indexes import Sealed, SetDamaged, check, map_array, seal
from safelight.match.pdq import DISTANCE, SLICE, Hashes, Longs, Pairs, by_value, checked, collapse
from safelight.match.pdq_bands import bands_for, widths
from safelight.match.pdq_search import PAGE, Bands, ordered_bands

FORMAT = 1
HEADER = 4096
SMALL = 200_000
"""Sets of fewer hashes have no bands on disk: comparing all of them takes less than 0.1 ms a query."""
MAGIC = b"safelight.bands\n"
OTHERS = ("pdq.keys", "pdq.starts", "pdq.rows")
FILES = (*OTHERS, "pdq.bands")

Bytes2D = NDArray[np.uint8]
Matches = tuple[Longs, Longs, NDArray[np.uint8]]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the head of pdq.bands says. `places`: of each band, where its starts and its numbers lie in the file."""

    format: int
    entries: int
    total_rows: int
    widths: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    size: int
    body_sha256: str
    body_quick: str
    files: dict[str, Sealed]


def row_type(total_rows: int) -> str:
    """Return the type of the row numbers in pdq.rows."""
    return "<u4" if total_rows < 1 << 32 else "<u8"


def write_pdq(folder: Path, blocks: Iterator[Bytes2D], count: int, total_rows: int) -> int:
    """Write the four files from sorted blocks of hash + 8-byte big-endian row; return the number of distinct hashes.

    `count`: hashes in all blocks, canaries included. `total_rows`: rows of the set. Memory: one block, then about 3 GB of bands at 100
    million hashes (two at a time).
    """
    last, distinct, place = b"", 0, 0
    with (folder / "pdq.keys").open("wb") as keys, (folder / "pdq.rows").open("wb") as rows, (folder / "pdq.starts").open("wb") as starts:
        for block in blocks:
            hashes = np.ascontiguousarray(block[:, :32])
            fresh = np.ones(len(hashes), bool)
            fresh[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
            fresh[0] = hashes[0].tobytes() != last
            last = hashes[-1].tobytes()
            distinct += int(fresh.sum())
            starts.write((np.flatnonzero(fresh) + place).astype("<u8").tobytes())
            keys.write(hashes[fresh].tobytes())
            rows.write(np.ascontiguousarray(block[:, 32:]).view(">u8").reshape(-1).astype(row_type(total_rows)).tobytes())
            place += len(block)
        starts.write(np.array([place], "<u8").tobytes())
    if place != count:
        raise AssertionError(f"pdq: {count} hashes went in, {place} came out")
    write_bands(folder, total_rows)
    return distinct


def write_bands(folder: Path, total_rows: int, bands: int = 0) -> None:
    """Write pdq.bands for the three other files; `bands`: how many, chosen by the number of hashes by default."""
    keys: Hashes = map_array(folder / "pdq.keys", "u1", 32)
    chosen = widths(bands or bands_for(len(keys))) if bands or len(keys) >= SMALL else ()

    places, at, digest = [], HEADER, hashlib.sha256()
    with (folder / "pdq.bands").open("wb") as out:
        out.write(bytes(HEADER))
        for both in ordered_bands(keys, chosen):
            where = []
            for array in both:
                filled = bytes(-array.nbytes % PAGE)  # so that a band can be let go of page by page
                for data in (array.astype("<u4", copy=False).data, filled):
                    out.write(data)
                    digest.update(data)
                where.append(at)
                at += array.nbytes + len(filled)
            places.append((where[0], where[1]))
    header = Header(
        format=FORMAT,
        entries=len(keys),
        total_rows=total_rows,
        widths=chosen,
        places=tuple(places),
        size=at,
        body_sha256=digest.hexdigest(),
        body_quick=_quick_body(folder / "pdq.bands", at),
        files={name: seal(folder / name) for name in OTHERS},
    )
    with (folder / "pdq.bands").open("r+b") as whole:
        whole.write(_head(header))


def _head(header: Header) -> bytes:
    text = msgspec.json.encode(header)
    head = MAGIC + len(text).to_bytes(4, "little") + text
    if len(head) + 32 > HEADER:
        raise AssertionError("the header of pdq.bands is too long")
    return (head + hashlib.sha256(head).digest()).ljust(HEADER, b"\0")


def _quick_body(path: Path, size: int) -> str:
    """Digest both ends of the body and 64 pages between."""
    digest = hashlib.sha256(size.to_bytes(8, "big"))
    with path.open("rb") as stream:
        for page in range(65):
            stream.seek(HEADER + max(0, size - HEADER - 4096) * page // 64)
            digest.update(stream.read(4096))
    return digest.hexdigest()


def read_header(path: Path) -> Header:
    """Return the header of pdq.bands; raise `SetDamaged` where it is not one that we wrote or the file is not whole."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(HEADER)
        size = path.stat().st_size
    except OSError as error:
        raise SetDamaged(f"{path.name}: {error.strerror}; import the set again") from error
    length = int.from_bytes(raw[16:20], "little")
    head = raw[: 20 + length]
    if len(raw) != HEADER or raw[:16] != MAGIC or length > HEADER - 52 or hashlib.sha256(head).digest() != raw[20 + length : 52 + length]:
        raise SetDamaged(f"{path.name}: this is no index of PDQ hashes as it was written; import the set again")
    version = msgspec.json.decode(head[20:]).get("format")
    if version != FORMAT:
        raise SetDamaged(f"{path.name}: format {version}, this version of Safelight reads {FORMAT}; import the set again")
    header = msgspec.json.decode(head[20:], type=Header)
    if size != header.size:
        raise SetDamaged(f"{path.name}: {size} bytes, {header.size} were written")
    return header


def open_pdq(folder: str | Path) -> PdqIndex:
    """Open the index in a folder (that of a version of a set) after a check of sizes and digests; raise `SetDamaged`.

    Files up to 256 MiB are digested whole, larger ones in 66 places, so that opening takes less than a second at any size.
    """
    folder = Path(folder)
    header = read_header(folder / "pdq.bands")
    for name in OTHERS:
        if name not in header.files:
            raise SetDamaged(f"pdq.bands: the header lacks {name}")
        check(folder / name, header.files[name])
    if _quick_body(folder / "pdq.bands", header.size) != header.body_quick:
        raise SetDamaged("pdq.bands: the content is not what was written")
    return PdqIndex(folder, header.total_rows)


class PdqIndex:
    """An opened index. `keys` (n, 32) distinct hashes, ascending; `rows` and `starts` as in the files; see `open_pdq`."""

    method = "pdq"

    def __init__(self, folder: Path, total_rows: int) -> None:
        self.header = header = read_header(folder / "pdq.bands")
        self.folder, self.total_rows = folder, total_rows
        self.keys: Hashes = map_array(folder / "pdq.keys", "u1", 32)
        self.starts = map_array(folder / "pdq.starts", "<u8")
        self.rows = map_array(folder / "pdq.rows", row_type(total_rows))
        with (folder / "pdq.bands").open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self.file: Bytes2D = np.frombuffer(mapped, np.uint8)
        self.widths = header.widths
        fits = len(self.keys) == header.entries and header.total_rows == total_rows and len(self.starts) == header.entries + 1
        if not fits or int(self.starts[0]) != 0 or int(self.starts[-1]) != len(self.rows):
            raise SetDamaged("pdq: hashes, starts, rows and bands do not fit together")
        self.bands = Bands(self.keys, self.file, header.widths, header.places, mapped)
        if not self.bands.fit():
            raise SetDamaged("pdq.bands: the bands do not fit the hashes")

    def verify(self) -> None:
        """Digest all four files, check the order of the hashes and the row numbers; raise `SetDamaged`."""
        for name in OTHERS:
            check(self.folder / name, self.header.files[name], whole=True)
        digest = hashlib.sha256()
        for start in range(HEADER, len(self.file), 1 << 24):
            digest.update(self.file[start : start + (1 << 24)].data)
        if digest.hexdigest() != self.header.body_sha256:
            raise SetDamaged("pdq.bands: the content is not what was written")
        for start in range(0, len(self.keys), 1 << 20):
            block = strings(self.keys[start : start + (1 << 20) + 1])
            if bool((block[1:] <= block[:-1]).any()):
                raise SetDamaged("pdq.keys are not in order")
        for start in range(0, len(self.rows), 1 << 20):
            self.take(np.arange(start, min(start + (1 << 20), len(self.rows))))

    def take(self, places: Longs) -> Longs:
        """Return the row numbers at places of `rows`; raise `SetDamaged` for one beyond the set."""
        found: Longs = self.rows[places].astype(np.int64)
        if len(found) and (int(found.max()) >= self.total_rows or int(found.min()) < 0):
            raise SetDamaged("pdq: a row number beyond the set")
        return found

    def pairs(self, hashes: Hashes, distance: int = DISTANCE, *, way: str = "") -> Iterator[Pairs]:
        """Yield all (number of the query, number of the distinct hash, distance) in pieces, sorted by query, then hash.

        `way`: as in `Bands.pairs`. Raise ValueError for other shapes and distances, `SetDamaged` where the files contradict themselves.
        """
        yield from self.bands.pairs(hashes, distance, way=way)

    def join(self, hashes: Hashes, distance: int = DISTANCE) -> Iterator[Matches]:
        """Yield all (number of the query, row of the set, distance) in pieces, each sorted by query, then row.

        `hashes` (n, 32) uint8, any n, in any order; equal ones are searched once, with the first of them. Rows of canaries are among the
        answers: `OpenSet.marks` says which. Raise ValueError for other shapes and distances, `SetDamaged` as `pairs` does.
        """
        hashes = checked(hashes)
        for start in range(0, len(hashes), SLICE):
            part = hashes[start : start + SLICE]
            first, same = collapse(part)
            if len(first) == len(part):
                for q, e, d in self.pairs(part, distance):
                    yield self._rows(q + start, e, d)
                continue
            first_of, users = by_value(same, len(first))
            for q, e, d in self.pairs(part[first], distance):
                again, user = expand(first_of[q], first_of[q + 1] - first_of[q])
                yield self._rows(users[user] + start, e[again], d[again])

    def query(self, hash: Bytes2D | bytes, distance: int = DISTANCE) -> tuple[Longs, NDArray[np.uint8]]:
        """Return (rows of the set, distance) of all entries within `distance` of one hash of 32 bytes, sorted by row."""
        one = np.frombuffer(bytes(hash), np.uint8).reshape(1, -1)
        found = list(self.join(one, distance))
        none = np.zeros(0, np.int64), np.zeros(0, np.uint8)
        return (np.concatenate([f[1] for f in found]), np.concatenate([f[2] for f in found])) if found else none

    def places_of(self, e: Longs) -> tuple[Longs, Longs]:
        """Return (first place in `rows`, number of rows) of distinct hashes; raise `SetDamaged` where they are beyond `rows`."""
        first, end = self.starts[e].astype(np.int64), self.starts[e + 1].astype(np.int64)
        if len(e) and (int(first.min()) < 0 or bool((end <= first).any()) or int(end.max()) > len(self.rows)):
            raise SetDamaged("pdq: a start beyond the rows")
        return first, end - first

    def _rows(self, q: Longs, e: Longs, d: NDArray[Any]) -> Matches:
        pair, place = expand(*self.places_of(e))
        rows = self.take(place)
        order = np.lexsort((rows, q[pair]))
        return q[pair][order], rows[order], d[pair][order].astype(np.uint8)
