"""The report of one import: every number that FORMATS.md section 1 asks for. `records_read = records_stored + skipped`, always."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from safelight.match.entries import EXACT, PERCEPTUAL, Block, Columns, Fact, Record, Skip
from safelight.match.schemes import is_uncategorised

FIRST = 20
"""Positions that are kept of each reason."""


class ImportReport(msgspec.Struct, kw_only=True):
    """What came of one source. Counts of values are distinct values; `positions` are (record, line), line 0 where there are none.

    `state`: `complete` or `incomplete`; `needs_confirmation`: the set is not matched with until a person confirms it, because it is
    incomplete or a case. `used_for_matching`: distinct PDQ hashes with an entry of quality 50 or more, or of no stated quality.
    """

    name: str
    version: str
    as_: str = ""
    owner: str = ""
    scheme: str | None = None
    format: str
    source_name: str
    source_size: int
    source_sha256: str
    source_files: dict[str, str] = msgspec.field(default_factory=dict)
    imported_at: str = ""
    program: str = ""
    state: str = "complete"
    incomplete: list[str] = msgspec.field(default_factory=list)
    needs_confirmation: bool = False
    records_read: int = 0
    records_stored: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    positions: dict[str, list[tuple[int, int]]] = msgspec.field(default_factory=dict)
    values_rejected: dict[str, int] = msgspec.field(default_factory=dict)
    rejected_positions: dict[str, list[tuple[int, int]]] = msgspec.field(default_factory=dict)
    stored_values: dict[str, int] = msgspec.field(default_factory=dict)
    matchable: dict[str, dict[str, int]] = msgspec.field(default_factory=lambda: {"exact": {}, "perceptual": {}})
    opaque: dict[str, int] = msgspec.field(default_factory=dict)
    duplicates: int = 0
    conflicts: dict[str, int] = msgspec.field(default_factory=dict)
    categories: dict[str, int] = msgspec.field(default_factory=dict)
    flags: dict[str, int] = msgspec.field(default_factory=dict)
    scopes: dict[str, str] = msgspec.field(default_factory=dict)
    low_quality: int = 0
    used_for_matching: int = 0
    photodna_only_records: int = 0
    first_media_id: str | None = None
    facts: dict[str, str | int | bool | dict[str, int] | None] = msgspec.field(default_factory=dict)
    warnings: list[str] = msgspec.field(default_factory=list)
    messages: list[str] = msgspec.field(default_factory=list)

    def adds_up(self) -> bool:
        """Say whether what was read is what was stored and skipped."""
        return self.records_read == self.records_stored + sum(self.skipped.values())


class Tally:
    """Counts the events of one import as they pass. Memory does not grow with their number."""

    MOST_NAMES = 60_000

    def __init__(self, report: ImportReport) -> None:
        self.report = report
        self.category_counts: Counter[tuple[str | None, str | None]] = Counter()
        self.scopes: dict[str, set[str]] = {}

    def fact(self, fact: Fact) -> None:
        self.report.facts[fact.name] = fact.value

    @staticmethod
    def _note(places: dict[str, list[tuple[int, int]]], reason: str, position: int, line: int) -> None:
        listed = places.setdefault(reason, [])
        if len(listed) < FIRST:
            listed.append((position, line))

    def skip(self, skip: Skip) -> None:
        report = self.report
        report.records_read += skip.repeats
        report.skipped[skip.reason] = report.skipped.get(skip.reason, 0) + skip.repeats
        self._note(report.positions, skip.reason, skip.position, skip.line)

    def record(self, record: Record) -> None:
        report, count = self.report, record.repeats
        if report.records_stored == 0:
            report.first_media_id = record.media_id
        report.records_read += count
        report.records_stored += count
        for reason in record.rejected:
            report.values_rejected[reason] = report.values_rejected.get(reason, 0) + count
            self._note(report.rejected_positions, reason, record.position, record.line)
        self.category_counts[record.scheme, record.category] += count
        for name, value in record.flags.items():
            key = f"{name}_true"
            report.flags[key] = report.flags.get(key, 0) + (count if value is True else 0)
        if record.trivial:
            report.flags["trivial_content"] = report.flags.get("trivial_content", 0) + count
        if record.scope:
            for method, _ in record.digests:
                self.scopes.setdefault(method, set()).add(record.scope)
        if not record.digests and all(kind == "photodna" for kind, _ in record.opaque):
            report.photodna_only_records += count

    def block(self, block: Block, columns: Columns) -> None:
        """Count the records of a block."""
        count = int(columns.repeats.sum())
        self.report.records_read += count
        self.report.records_stored += count
        if columns.codes is None:
            self.category_counts[None, None] += count
            return
        sums = np.bincount(columns.codes, columns.repeats, len(block.categories))
        for code, own in zip(block.categories, sums.tolist(), strict=True):
            if own:
                self.category_counts[None, code] += int(own)

    def finish(self, scheme: str | None, distinct: dict[str, int], opaque: dict[str, int]) -> None:
        """Fill in what is known only at the end: the scheme, and the distinct values."""
        report = self.report
        report.scheme = scheme
        for (own, code), count in self.category_counts.items():
            key = "uncategorised" if is_uncategorised(own or scheme, code) else str(code)
            report.categories[key] = report.categories.get(key, 0) + count
        if set(report.categories) == {"uncategorised"} and all(code is None for _, code in self.category_counts):
            report.categories = {}
        report.stored_values = distinct
        report.matchable = {
            "exact": {m: distinct[m] for m in EXACT if m in distinct},
            "perceptual": {m: distinct[m] for m in PERCEPTUAL if m in distinct},
        }
        report.opaque = opaque
        report.scopes = {method: ",".join(sorted(found)) for method, found in sorted(self.scopes.items())}
        if report.skipped.get("truncated"):
            report.incomplete.append(f"{report.skipped['truncated']} record cut off at the end")
        report.state = "incomplete" if report.incomplete else "complete"
        if number := opaque.get("photodna", 0):
            only = report.photodna_only_records
            tail = f"; {only} record{'' if only == 1 else 's'} can only be matched by PhotoDNA" if only else ""
            report.messages.append(f"{number} PhotoDNA values stored, not matchable here{tail}")
