"""The types of text that libmagic gives up on because it is nested too deep."""

from __future__ import annotations

from safelight.extract.structure import jsontext, mail


def text_type(head: bytes) -> str | None:
    """Return the media type of a text that begins with deep nesting: JSON or a MIME message; None for all other text."""
    return jsontext.media_type(head) or mail.media_type(head)
