"""One event of the log: who did what to which contents, sealed with the hash of the event before.

The hash is SHA-256 over the canonical JSON (RFC 8785) of all other members; of `contents` and `seen` their SHA-256 stands in it.
`contents` is the SHA-256 of each content, ascending, one behind the other; `seen` has five bytes for each of them: the highest
level of picture that the user had seen (see `LEVELS`), and milliseconds of pictures beyond `protected`, u32 little endian.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
import rfc8785
from numpy.typing import NDArray

GENESIS = "0" * 64
WHATS = ("decide", "undo", "redo", "reveal", "reveal-end", "break", "settings", "filter")
LEVELS = ("none", "protected", "drawing", "small")
"""Renditions, by how much they show. `none`: no picture of the content had been given to the user."""

SEEN = np.dtype([("level", "u1"), ("ms", "<u4")])


class Event(msgspec.Struct, kw_only=True):
    """One event, as it stands in the table `events`."""

    seq: int
    key: str | None
    at: str
    user: str
    role: str
    what: str
    body: dict[str, Any]
    contents: bytes = b""
    seen: bytes = b""
    prev: str = ""
    hash: str = ""


def sealed(event: Event) -> str:
    """Return the hash of an event."""
    body = {
        "seq": event.seq,
        "key": event.key,
        "at": event.at,
        "user": event.user,
        "role": event.role,
        "what": event.what,
        "body": event.body,
        "contents": hashlib.sha256(event.contents).hexdigest(),
        "seen": hashlib.sha256(event.seen).hexdigest(),
        "prev": event.prev,
    }
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()


def seen_bytes(levels: NDArray[np.uint8], milliseconds: NDArray[np.uint32]) -> bytes:
    """Return the `seen` member of an event."""
    rows = np.zeros(len(levels), SEEN)
    rows["level"], rows["ms"] = levels, milliseconds
    return rows.tobytes()
