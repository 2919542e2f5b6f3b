"""What is wrong with the structure of a file that is no picture and no archive: films, PDF, SQLite, mail, JSON, playlists.

Nothing is decoded, run, queried or opened: headers and tables are held against one another and against the length of the file.
A check is silent where it is not sure; what each one looks at, and what it does not, stands in `docs/methods/structure.md`.
A format is one file here and one line in `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from safelight.evidence.source import ByteSource, Unreadable
from safelight.extract.structure import asf, isomedia, jsontext, mail, matroska, pdf, playlists, riff, sqlite
from safelight.extract.structure.reading import Findings, Found, Reader, Spent

__all__ = ["CHECKS", "check", "wants", "warm_up"]

Check = Callable[[Reader, list[Found]], None]
"""Looks at a file and appends what it finds, so that what was found before the budget ran out is kept."""

CHECKS: dict[str, Check] = {
    "video/mp4": isomedia.check,
    "video/quicktime": isomedia.check,
    "video/3gpp": isomedia.check,
    "video/3gpp2": isomedia.check,
    "audio/mp4": isomedia.check,
    "video/x-matroska": matroska.check,
    "video/webm": matroska.check,
    "video/x-msvideo": riff.check,
    "audio/x-wav": riff.check,
    "video/x-ms-asf": asf.check,
    "application/pdf": pdf.check,
    "application/vnd.sqlite3": sqlite.check,
    "message/rfc822": mail.check,
    "application/mbox": mail.check_mbox,
    "application/json": jsontext.check,
    "application/vnd.apple.mpegurl": playlists.check,
    "audio/x-mpegurl": playlists.check,
    "application/sdp": playlists.check,
    "text/plain": playlists.check,
    "text/xml": playlists.check,
    "application/xml": playlists.check,
}
"""The check of each media type, as `safelight.extract.filetype` names them."""


def wants(media_type: str) -> bool:
    """Say whether there is a check for a media type."""
    return media_type in CHECKS


def check(source: ByteSource, media_type: str) -> list[Found]:
    """Return what is wrong with a file of this type as (kind, reason), in order of finding; [] where nothing is known to be.

    Reads at most `reading.BUDGET` bytes; does not raise for what evidence causes. An unreadable byte ends the check: whoever read
    the file as a whole has told of it. The same bytes give the same answer.
    """
    examine = CHECKS.get(media_type)
    if examine is None or not source.size:
        return []
    found = Findings()
    with suppress(Spent, Unreadable):  # the rest is not looked at, see above
        examine(Reader(source), found)
    return list(found)


def warm_up() -> None:
    """Import what the checks need while files may still be opened."""
    jsontext.depth(b"[]")
