"""Origins: where bytes come from, as a chain of typed steps from the exhibit to the stream.

    e01/gpt:2/ntfs:42-128-3@17/zip:7        the 7th member of a ZIP that is record 42, $DATA attribute 3, on partition 2 of an E01
    raw/whole/fat16:36@12                   entry 36 of a disk without partitions
    folder/file:DCIM%2FIMG_0001.JPG         a file of a folder exhibit
    …/thumbnail                             the picture embedded in a picture

A step is `kind` or `kind:argument`; `@n` is the position in the listing of the volume, so that two names of one record are two
places. Slashes inside an argument are percent-encoded. The text is the origin: it sorts, it is hashed to the item's id, and it
opens the bytes again on another machine.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes


class Step(NamedTuple):
    """One step: its kind, its argument (decoded text; bytes for names via `file_name`), and the place in the listing."""

    kind: str
    argument: str = ""
    place: str = ""


def parse(origin: str) -> list[Step]:
    """Return the steps of an origin. Raise ValueError for text that is none."""
    steps = []
    for part in origin.split("/"):
        kind, _, rest = part.partition(":")
        argument, _, place = rest.partition("@")
        if not kind:
            raise ValueError(f"{origin!r} is not an origin: a step is empty")
        steps.append(Step(kind, argument, place))
    return steps


def file_step(path: bytes) -> str:
    """Return the step for a file of a folder exhibit; `path` is relative, as stored."""
    return "file:" + "%2F".join(quote_from_bytes(part, safe="") for part in path.split(b"/"))  # plain names are quoted faster


def file_name(argument: str) -> bytes:
    """Return the relative path of a `file` step."""
    return unquote_to_bytes(argument)


def item_id(exhibit: str, origin: str) -> bytes:
    """Return the 16-byte name of a place: the first half of SHA-256 over exhibit label, NUL and origin."""
    return hashlib.sha256(f"{exhibit}\0{origin}".encode()).digest()[:16]
