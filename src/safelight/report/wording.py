"""How the report writes numbers, sizes, times and names: the same everywhere, and nothing from evidence can act.

All output of the templates goes through `shown`, so that control, bidi and invisible characters stand there escaped; the template
engine escapes HTML on top of it. Only `css_string` returns markup, and it lets letters and digits through and nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from safelight.escape import printable
from safelight.match.schemes import schemes

LONGEST = 300
"""Characters of a name or value that are shown; a longer one is cut in the middle, and its length is stated."""

KNOWN = ("illegal", "irrelevant", "known", "other", "new", "quarantined", "deconfirmed")
"""Order of the report: what each content counts as."""

KNOWN_WORDS = {
    "illegal": "known illegal",
    "irrelevant": "known irrelevant",
    "known": "known",
    "other": "in other sets",
    "new": "new: in no set",
    "quarantined": "quarantined",
    "deconfirmed": "deconfirmed",
}

STATE_WORDS = {
    "live": "in use",
    "deleted": "deleted",
    "orphan": "deleted, folder lost",
    "overwritten": "deleted, overwritten",
    "carved": "found in free space",
    "embedded": "inside another file",
}

TRANSFORM_WORDS = {
    "identity": "as it is",
    "rotate90": "turned by 90°",
    "rotate180": "turned by 180°",
    "rotate270": "turned by 270°",
    "flipx": "upside down (mirrored)",
    "flipy": "mirrored",
    "flipplus1": "mirrored and turned",
    "flipminus1": "mirrored and turned",
}

METHOD_WORDS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512", "pdq": "PDQ", "photodna": "PhotoDNA"}

TIME_WORDS = (("btime", "created"), ("mtime", "content changed"), ("ctime", "record changed"), ("atime", "last read"))


def shown(value: Any) -> Any:
    """Return what a template prints of a value: text with its invisible characters escaped, an empty text for null."""
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def number(value: int | None) -> str:
    """Return a count with separators of thousands; a dash where it is not known."""
    return "–" if value is None else f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 item`, `2 items`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def size(value: int | None) -> str:
    """Return bytes with a decimal unit; a dash where the size is not known."""
    if value is None:
        return "–"
    amount, units = float(value), ["B", "kB", "MB", "GB", "TB", "PB"]
    while amount >= 999.95 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{value} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def exact(value: int | None) -> str:
    """Return bytes in full, with the unit that people read behind it."""
    if value is None:
        return "–"
    return f"{value:,} bytes" + (f" ({size(value)})" if value >= 1000 else "")


def instant(ns: int | None, basis: str | None) -> str:
    """Return ns since 1970 to the second with its basis: `UTC` where the instant is known, `local?` where the zone is not."""
    if ns is None:
        return ""
    try:
        text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // 1_000_000_000)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return f"{ns} ns since 1970 (no date)"
    return f"{text} {'UTC' if basis in ('utc', 'offset') else 'local?'}"


def stamp(text: str | None, zone: bool = True) -> str:
    """Return an ISO 8601 time of the ledger to the second, as the report writes times; without the zone where the heading says it."""
    return (text or "")[:19].replace("T", " ") + (" UTC" if text and zone else "")


def cut(text: str | None, longest: int = LONGEST) -> str:
    """Return a text that fits: the middle of a longer one is left out, and the mark says how many characters it has."""
    whole = printable(text or "")
    if len(whole) <= longest:
        return whole
    half = longest // 2
    return f"{whole[:half]} [… {len(whole):,} characters …] {whole[-half:]}"


def hexed(value: Any) -> str:
    """Return a digest in hex."""
    return "" if value is None else bytes(value).hex()


def category(text: str | None) -> str:
    """Return a category as stated, with its label where the scheme is known: `vics-us 1 (…)`."""
    scheme, _, code = (text or "").rpartition(":")
    known = schemes().get(scheme)
    found = known.category(code) if known else None
    return f"{scheme} {code} ({found.label})" if found else text or ""


def css_string(text: str) -> Markup:
    """Return a text as a CSS string: every character but ASCII letters, digits and blanks is a hexadecimal escape."""
    safe = printable(text)[:80]
    return Markup('"' + "".join(c if c.isascii() and (c.isalnum() or c == " ") else f"\\{ord(c):06x}" for c in safe) + '"')
