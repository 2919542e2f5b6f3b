"""CSV: one row for each place of each decided content. UTF-8 with BOM, RFC 4180 quoting, no cell that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from safelight.escape import cell, printable
from safelight.exports.records import Exported, Header, Place, Sink
from safelight.exports.times import instant

NAME, SUFFIX = "csv", ".csv"
COLUMNS = (
    "sha256 md5 sha1 size media_type kind scheme category label flags tags note decided_at votes exhibit path path_raw_hex state "
    "mtime atime ctime btime time_basis item_id origin"
).split()


def write(header: Header, records: Iterable[Exported], out: Sink) -> int:
    """Write the rows and return how many."""
    out.write(b"\xef\xbb\xbf")
    out.write(_line(COLUMNS))
    rows = 0
    for r in records:
        said = [r.sha256.hex(), r.md5.hex(), r.sha1.hex(), r.size, r.media_type, r.kind, header.scheme.name, r.category.code]
        said += [r.category.label, " ".join(r.flags), ", ".join(r.tags), r.note, r.decided_at, r.votes]
        for p in r.places:
            out.write(_line([*said, *_place(p)]))
            rows += 1
    return rows


def _place(p: Place) -> list[Any]:
    times = [instant(t, p.time_basis) for t in (p.mtime, p.atime, p.ctime, p.btime)]
    return [p.exhibit, p.path, p.path_raw.hex(), p.state, *times, p.time_basis, p.item_id.hex(), p.origin]


def _line(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow("" if v is None else cell(printable(v)) if isinstance(v, str) else v for v in values)
    return text.getvalue().encode()
