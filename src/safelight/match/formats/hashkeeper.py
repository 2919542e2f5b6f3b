"""HashKeeper `.hsh`: a quoted table of twelve columns, MD5 in the column `hash`, backslashes literal (FORMATS.md 2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from safelight.match.entries import Event, Options
from safelight.match.formats.csv import header_cells
from safelight.match.formats.table import header_key, table

HEADER = ["file_id", "hashset_id", "file_name", "directory", "hash"]


class HashKeeper:
    """HashKeeper: the hash column is MD5 by definition of the format."""

    name = "hashkeeper"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return [header_key(cell) for cell in header_cells(head)[:5]] == HEADER

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        columns = {**options.columns, "hash": "md5", "file_id": "media_id"}
        yield from table(stream, msgspec.structs.replace(options, columns=columns))
