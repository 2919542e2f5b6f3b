"""Reveals: a look at more than the protected picture. The row is on the disk before the pixels leave the server."""

from __future__ import annotations

import time

from safelight.errors import Refused, Usage
from safelight.review.api import RevealReply, RevealRequest
from safelight.review.desk import Desk
from safelight.review.errors import gone
from safelight.review.exposure import LIMIT_MS
from safelight.review.people import Person
from safelight.table.table import KNOWN

GRACE_S = 5.0
"""A picture is given so long after the limit of its reveal, for slow machines."""
MOST_REASON = 500


def begin(desk: Desk, person: Person, request: RevealRequest) -> RevealReply:
    """Write a reveal and return its number. A known illegal content needs a reason."""
    view = desk.view(request.view)
    t, row = view.table, view.head(request.index)
    reason = request.reason.strip()
    if len(reason) > MOST_REASON:
        raise Usage(f"a reason has up to {MOST_REASON} characters")
    if t.known[row] == KNOWN.index("illegal") and not reason:
        raise Refused("this content is known illegal: it can be confirmed without a look. Give a reason to look at it.")
    if not t.renditions[request.level].size[row]:
        raise Usage(f"there is no {request.level} picture of this content")
    name = t.names[row].tobytes()
    body = {"level": request.level, **({"reason": reason} if reason else {})}
    event = desk.log.submit(lambda: desk.log.append("reveal", person.user, person.role, body, contents=name))
    desk.noted(event.seq)
    return RevealReply(reveal=event.seq)


def picture(desk: Desk, person: Person, number: int) -> bytes:
    """Return the picture of a reveal of the same person that is open."""
    found = desk.exposure.reveals.get(number)
    open_ = found is not None and found.ms is None and time.time() - found.began <= LIMIT_MS / 1000 + GRACE_S
    if found is None or not open_ or found.user != person.user:
        raise gone("reveal")
    t = desk.ranking().table
    row = int(t.row_of(desk.as_numbers(found.number))[0])
    data = desk.packs.read(t, row, found.level) if row >= 0 else b""
    if not data:
        raise Usage("the picture is not there, or not what it should be: run `safelight verify`")
    desk.served["pictures"] += 1
    return data


def end(desk: Desk, person: Person, number: int, milliseconds: int) -> None:
    """Say how long a picture was shown; what is beyond the limit counts as the limit. A second end changes nothing."""
    found = desk.exposure.reveals.get(number)
    if found is None or found.user != person.user:
        raise gone("reveal")
    if not 0 <= milliseconds <= 86_400_000:
        raise Usage("milliseconds: 0 to one day")
    if found.ms is None:
        desk.log.submit(lambda: desk.log.append("reveal-end", person.user, person.role, {"reveal": number, "milliseconds": milliseconds}))
