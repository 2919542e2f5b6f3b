"""Times of facts as the page gets them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def instant(ns: int | None, basis: str | None) -> str | None:
    """Return ns since 1970 as ISO 8601 to the second: with Z where the instant is known, without a zone where it is local time."""
    if ns is None:
        return None
    try:
        text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // 1_000_000_000)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        return None
    return text + ("" if basis == "local?" else "Z")
