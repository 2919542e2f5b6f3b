"""Kit for formats of hash sets: expected figures, accounts that add up, truncation at every place, bounded memory, no exception."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safelight.match.entries import REASONS, WIDTHS, Event, Fact, HashSetFormat, Incomplete, Options, Record, Skip, Warn
from safelight.match.report import ImportReport

RENAMED = {"plain_duplicates": "duplicates"}
NOT_FIGURES = ("trap", "note", "meaning", "apply_to", "declared_type")


def assert_expected(report: ImportReport, expected: dict[str, Any]) -> None:
    """Assert every figure that expected.json gives for a file."""
    for key, want in expected.items():
        if key in NOT_FIGURES:
            continue
        got: Any
        if key == "warning":
            assert want in report.warnings
            continue
        if key in ("message", "incomplete"):
            assert want in (report.messages if key == "message" else report.incomplete)
            continue
        if key == "matchable_until_confirmed":
            assert (not want) == report.needs_confirmation
            continue
        if key == "flags":
            assert want == {name: report.flags.get(name, 0) for name in want}
            continue
        if key == "conflicts" and isinstance(want, int):
            assert want == sum(report.conflicts.values())
            continue
        if key == "first_media_id":
            assert str(want) == report.first_media_id
            continue
        name = RENAMED.get(key, key)
        got = report.facts[name] if name in report.facts else getattr(report, name)
        assert want == got, key


def check_events(events: list[Event]) -> None:
    """Assert what holds for the events of any source: positions run on, reasons are known, values have their width."""
    position = 0
    for event in events:
        if isinstance(event, Record | Skip):
            assert event.position > position
            position = event.position + event.repeats - 1
        if isinstance(event, Record):
            assert event.digests or event.opaque
            assert all(len(raw) == WIDTHS[method] for method, raw in event.digests)
        elif isinstance(event, Skip):
            assert event.reason in REASONS
        else:
            assert isinstance(event, Fact | Warn | Incomplete)


def all_events(known: HashSetFormat, data: bytes, options: Options | None = None) -> list[Event]:
    """Read bytes with a stream format and check the events."""
    events = list(known.records(io.BytesIO(data), options or Options()))
    check_events(events)
    return events


class HashSetKit:
    """Subclass with `known`, `golden` (path below the shared data), and `options`; stream formats only."""

    known: HashSetFormat
    golden: str
    options = Options()
    is_line_format = True

    @pytest.fixture
    def data(self, shared: Path) -> bytes:
        return (shared / "formats" / self.golden).read_bytes()

    def test_detects_its_own_file(self, data: bytes) -> None:
        """The format recognises its golden file and neither noise nor nothing."""
        assert self.known.detect(data[:65536], Path(self.golden).name)
        assert not self.known.detect(b"", "x")
        assert not self.known.detect(bytes(range(256)) * 16, "x")

    def test_any_truncation_ends_normally(self, data: bytes) -> None:
        """Cut anywhere, a file gives events and no exception, and never more records than the whole file."""
        from safelight.match.entries import Refused

        whole = self._stored(all_events(self.known, data, self.options))
        for end in range(0, len(data), max(1, len(data) // 150)):
            try:
                events = all_events(self.known, data[:end], self.options)
            except Refused:
                continue
            assert self._stored(events) <= whole

    def test_noise_in_the_middle_ends_normally(self, data: bytes) -> None:
        """Bytes overwritten anywhere give events or a refusal, never another exception."""
        from safelight.match.entries import Refused

        for noise in (b"\x00" * 8, b"\xff\xfe\xff", b'"', b"}]", b"\n\n"):
            for at in range(0, len(data), max(1, len(data) // 40)):
                try:
                    all_events(self.known, data[:at] + noise + data[at + len(noise) :], self.options)
                except Refused:
                    continue

    @staticmethod
    def _stored(events: list[Event]) -> int:
        return sum(e.repeats for e in events if isinstance(e, Record))


def importer(tmp_path: Path) -> Callable[..., ImportReport]:
    """Return a function that imports a file into a library of its own."""
    from safelight.match.importer import import_set
    from safelight.match.library import Library

    library = Library(tmp_path / "library")

    def run(path: Path, **more: Any) -> ImportReport:
        more.setdefault("as_", "other")
        more.setdefault("name", path.name)
        return import_set(library, path, **more)

    return run
