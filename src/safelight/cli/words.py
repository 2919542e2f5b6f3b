"""Small words of the command line that several commands share: its own text, tables that fit, sizes, times."""

from __future__ import annotations

import csv
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from safelight.escape import cell, printable

if TYPE_CHECKING:
    from safelight.case import Case


def command_line() -> str:
    """Return the command as it was given, for the ledger."""
    return shlex.join(["safelight", *sys.argv[1:]])


def restored(case: Case) -> None:
    """Complete what an `add` that was killed left half done in a case, and say so."""
    for key in case.restore_exhibits():
        click.echo(f"exhibit {key}: an `add` was stopped before its end; it is in the case now", err=True)


def size(count: int | None) -> str:
    """Return bytes with a unit that a person reads."""
    if count is None:
        return ""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def instant(ns: int | None, basis: str | None) -> str | None:
    """Return ns since 1970 as ISO 8601: with Z where the instant is known, without a zone where it is local time."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 1_000_000_000)
    try:
        text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        return None
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return text + fraction + ("" if basis == "local?" else "Z")


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], headers_shown: bool = True) -> None:
    """Print a table that fits the terminal: the last column is cut where it must be."""
    shown = [[printable("" if v is None else str(v)) for v in row] for row in rows]
    widths = [max([len(h), *(len(r[i]) for r in shown)]) for i, h in enumerate(headers)]
    room = shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 100_000
    for line in [list(headers), *shown] if headers_shown else shown:
        text = "  ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)).rstrip()
        click.echo(text if len(text) <= room else text[: room - 1] + "…")


def write_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write CSV to stdout: UTF-8 with BOM, RFC 4180 quoting, no cell that a spreadsheet takes for a formula."""
    sys.stdout.write("\ufeff")
    out = csv.writer(sys.stdout, lineterminator="\r\n")
    out.writerow(headers)
    for row in rows:
        out.writerow(["" if v is None else cell(printable(v)) if isinstance(v, str) else v for v in row])
