"""The requests that change what stands: decide, undo, redo. Each is one event with all its contents, or none.

Called within `Log.submit`, so that the check and the event are one transaction.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safelight.decisions.events import Event
from safelight.decisions.log import Conflict, Log
from safelight.decisions.standing import FLAG_NAMES, Said
from safelight.errors import Refused, Usage

MOST_TEXT = 4_000
MOST_TAGS = 50


def checked_set(log: Log, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what a decision says, checked: an unknown category or flag, or too long a text, is wrong use."""
    body = {k: v for k, v in wanted.items() if v not in ([], (), "")}
    if not body:
        raise Usage("this decision says nothing: give a category, a note, tags or flags. Nothing was changed.")
    if body.get("category") is not None and log.policy.scheme.category(body["category"]) is None:
        known = ", ".join(c.code for c in log.policy.scheme.categories)
        raise Usage(f"no category {body['category']!r} in {log.policy.scheme.name} (there are: {known}). Nothing was changed.")
    for name in ("add_flags", "remove_flags"):
        if unknown := set(body.get(name, ())) - set(FLAG_NAMES):
            raise Usage(f"no flag {sorted(unknown)[0]!r} (there are: {', '.join(FLAG_NAMES)}). Nothing was changed.")
    for name in ("add_tags", "remove_tags"):
        tags = [t.strip() for t in body.get(name, ())]
        if len(tags) > MOST_TAGS or any(not t or len(t) > 100 or not t.isprintable() for t in tags):
            raise Usage(f"tags: up to {MOST_TAGS}, each of 1 to 100 printable characters. Nothing was changed.")
        if tags:
            body[name] = tags
    if len(body.get("note", "")) > MOST_TEXT:
        raise Usage(f"a note has up to {MOST_TEXT} characters. Nothing was changed.")
    return body


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """Who asks for an undo or redo, with which key; `event` 0: the last one that can be."""

    user: str
    role: str
    key: str
    event: int = 0


def undo(log: Log, asked: Asked) -> tuple[Event, Said]:
    """Undo a decision of one's own. Return the new event and the one that it undid."""
    return _turn(log, asked, "undo")


def redo(log: Log, asked: Asked) -> tuple[Event, Said]:
    """Take an undo of one's own back."""
    return _turn(log, asked, "redo")


def _turn(log: Log, asked: Asked, what: str) -> tuple[Event, Said]:
    said = log.standing.said
    wanted_state = what == "redo"
    if asked.event:
        target = said.get(asked.event)
        if target is None or target.what != "decide":
            raise Usage(f"there is no decision number {asked.event}. Nothing was changed.")
        if target.user != asked.user:
            raise Refused(f"decision {asked.event} is not yours: a vote is taken back by the one who gave it. Nothing was changed.")
        if target.undone != wanted_state:
            raise Conflict(f"decision {asked.event} {'is not' if wanted_state else 'was already'} undone. Nothing was changed.")
    else:
        target = next_target(log, asked.user, what)
        if target is None:
            raise Conflict(f"there is nothing of yours to {what}.")
    event = log.append(what, asked.user, asked.role, {"event": target.seq}, key=asked.key)
    return event, target


def next_target(log: Log, user: str, what: str) -> Said | None:
    """Return what an undo (the last decision that stands) or redo (the last one undone, nothing decided since) would turn."""
    for s in reversed([s for s in log.standing.said.values() if s.user == user]):
        if what == "undo" and s.what == "decide" and not s.undone:
            return s
        if what == "redo":
            if s.what == "decide" and not s.undone:
                redone = any(r.what == "redo" and r.target == s.seq for r in log.standing.said.values())
                if not redone:
                    return None
            if s.what == "undo" and log.standing.said[s.target].undone:
                return log.standing.said[s.target]
    return None
