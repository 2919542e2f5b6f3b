"""Progress of a run on stderr: step, rate, time left. A bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from safelight.cli.words import size
from safelight.pipeline import Progress

QUIET_S = 15.0


@contextmanager
def shown(quiet: bool) -> Iterator[Progress]:
    """Return the progress that suits where stderr goes."""
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        from rich.console import Console

        with Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            yield _Bar(bar)
    else:
        lines = _Lines()
        yield lines
        lines.end()


class _Silent:
    def begin(self, step: str, exhibit: str, total: int | None) -> None: ...
    def advance(self, amount: int, done_bytes: int = 0) -> None: ...


class _Bar:
    def __init__(self, bar: Any) -> None:
        self.bar, self.task, self.bytes, self.since = bar, None, 0, 0.0

    def begin(self, step: str, exhibit: str, total: int | None) -> None:
        self.bytes, self.since = 0, time.monotonic()
        self.task = self.bar.add_task(f"{step} {exhibit}", total=total, rate="")

    def advance(self, amount: int, done_bytes: int = 0) -> None:
        self.bytes += done_bytes
        rate = f"{size(int(self.bytes / max(time.monotonic() - self.since, 1e-3)))}/s" if self.bytes else ""
        self.bar.update(self.task, advance=amount, rate=rate)


class _Lines:
    """One line when a step begins and ends, and one every `QUIET_S` between."""

    def __init__(self) -> None:
        self.name, self.total, self.done, self.bytes = "", 0, 0, 0
        self.since = self.said = 0.0

    def begin(self, step: str, exhibit: str, total: int | None) -> None:
        self.end()
        self.name, self.total, self.done, self.bytes = f"{step} {exhibit}".strip(), total or 0, 0, 0
        self.since = self.said = time.monotonic()

    def advance(self, amount: int, done_bytes: int = 0) -> None:
        self.done, self.bytes = self.done + amount, self.bytes + done_bytes
        if time.monotonic() - self.said > QUIET_S:
            self.said = time.monotonic()
            self._say()

    def _say(self) -> None:
        spent = max(time.monotonic() - self.since, 1e-3)
        of = f" of {self.total}" if self.total else ""
        rate = f", {size(int(self.bytes / spent))}/s" if self.bytes else ""
        left = f", {spent / self.done * (self.total - self.done):.0f} s left" if self.total and 0 < self.done < self.total else ""
        count = f"{self.done}{of} in " if self.done or self.total else ""
        click.echo(f"{self.name}: {count}{spent:.1f} s{rate}{left}", err=True)

    def end(self) -> None:
        if self.name:
            self._say()
            self.name = ""
