"""A list of PDQ hashes, 64 hex digits a line, `#` comments (FORMATS.md 2.6).

Length cannot tell PDQ from SHA-256 (trap T5), so a list is read as PDQ only where the user says so: by the declared type or by
naming this format. Without that its lines are `ambiguous_type`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import Event, Options
from safelight.match.formats.lists import PlainList, first_lines
from safelight.match.formats.text import head_text


class PdqList:
    """A bare list that calls itself PDQ in its name or in a comment."""

    name = "pdq-list"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        found = first_lines(head)
        comments = [t for t in head_text(head).split("\n")[:20] if t.startswith("#")]
        says_pdq = "pdq" in name.lower() or any("pdq" in c.lower() for c in comments)
        return says_pdq and bool(found) and all(len(f) == 64 and " " not in f for f in found)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        yield from PlainList().records(stream, options)

    def blocks(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        yield from PlainList().blocks(stream, options)
