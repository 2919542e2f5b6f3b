"""The INTERPOL ICSE list: a `;` table with a fixed header (FORMATS.md 2.3). Rows may have too few or too many columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import Event, Fact, Options, Record
from safelight.match.formats.csv import is_icse
from safelight.match.formats.table import table


class Icse:
    """ICSE export. The category is what `Baseline` says: `baseline` when true, `national` when false (scheme `interpol`)."""

    name = "icse-csv"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return is_icse(head)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        baseline = 0
        for event in table(stream, options):
            if isinstance(event, Record):
                stated = event.flags.get("Baseline")
                baseline += stated is True
                if stated is not None:
                    event.category, event.category_stated = ("baseline" if stated else "national"), True
                    event.scheme = "interpol"
            yield event
        yield Fact("baseline", baseline)
