"""Times in exports: ISO 8601, with Z where the instant is known, without a zone where it is local time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def instant(ns: int | None, basis: str | None) -> str | None:
    """Return ns since 1970 as text; None where it is unknown or no date."""
    if ns is None:
        return None
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // 1_000_000_000)
    except OverflowError:
        return None
    return at.strftime("%Y-%m-%dT%H:%M:%S") + ("" if basis == "local?" else "Z")
