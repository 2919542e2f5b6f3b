"""Tables of hashes with a header in any language: `;`, `,`, tab, optional `sep=`, any encoding (FORMATS.md 2.6, traps T2 to T5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import Event, Options
from safelight.match.formats.table import HASH_FIELDS, delimiter_of, fields_of, header_key, table, table_blocks
from safelight.match.formats.text import head_text

ICSE_HEADER = (
    "md5;sha1;photodna;image id;is distributed;victim identified;offender identified;series name;"
    "number of submissions;file available;media type;baseline"
)
"""The INTERPOL ICSE export, exactly [P: sepinf-inc/IPED HashDBTool.java]."""


def header_cells(head: bytes) -> list[str]:
    """Return the cells of the first line that is no `sep=` line, for detection."""
    for text in head_text(head).split("\n")[:3]:
        line = text.strip("\ufeff\r \t")
        if line and not line.lower().startswith("sep="):
            return line.split(delimiter_of(line))
    return []


class Csv:
    """Any table whose header has a word for a hash."""

    name = "csv"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return any(field in HASH_FIELDS for field in fields_of(header_cells(head), {}))

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        yield from table(stream, options)

    def blocks(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        yield from table_blocks(stream, options)


class PdqCsv:
    """`hash,quality,filename` as PDQ tools write it: an untyped hash beside a quality is PDQ [P: ThreatExchange pdq/README.md]."""

    name = "pdq-csv"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        fields = fields_of(header_cells(head), {})
        return "quality" in fields and ("pdq" in fields or "value" in fields) and "type" not in fields

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        yield from table(stream, options, as_pdq=True)


def is_icse(head: bytes) -> bool:
    """Say whether the header is that of the ICSE export."""
    return ";".join(header_key(cell) for cell in header_cells(head)) == ICSE_HEADER
