"""Keep the words of a filter, and give them back: what stands behind the routes of kept_routes.py. See kept.py for why."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
import numpy as np

from safelight.decisions.numbers import digests
from safelight.errors import Usage
from safelight.escape import printable
from safelight.review.api import KeptReply, Words
from safelight.review.desk import Desk
from safelight.review.errors import Answer
from safelight.review.filters import Same, Similar
from safelight.review.kept import KEPT, RELATIONS
from safelight.review.people import Person

MOST_TEXT = 1_000
MOST_VALUES = 200
MOST_KEPT = 20_000
"""Different filters with words of one person in one case; a page that runs wild ends here."""
LOST = "The picture that this filter relates to is no longer within the scope of the case; that part of it was left out."


def keep(desk: Desk, person: Person, words: Words) -> KeptReply:
    """Keep the words of a filter; answered when they are on the disk. The same words again get the same handle and no new event."""
    _check(words)
    body: dict[str, Any] = {n: v for n in ("path", "text", "serial", "tag", "camera") if (v := getattr(words, n))}
    for name in RELATIONS:
        relation = getattr(words, name)
        if relation is not None:
            number = desk.number_at(relation.view, relation.index, person)
            rest = {k: v for k, v in msgspec.to_builtins(relation).items() if k not in ("view", "index")}
            body[name] = {"content": desk.log.numbers.names_of(np.array([number]))[0].tobytes().hex(), **rest}
    if not body:
        raise Usage("there are no words to keep. Nothing was changed.")

    def once() -> str:
        known = desk.kept.handle(person.user, body)
        if known is not None:
            return known
        if desk.kept.count(person.user) >= MOST_KEPT:
            raise Usage(f"{MOST_KEPT:,} filters with words are kept already; this one works until the page is loaded again.")
        new = KEPT + secrets.token_urlsafe(12)
        desk.log.append("filter", person.user, person.role, {"handle": new, "words": body})
        return new

    handle: str = desk.log.submit(once)
    return restored(desk, person, handle)


def _check(words: Words) -> None:
    texts = [words.path, words.text, *words.serial, *words.tag, *words.camera]
    if len(texts) > MOST_VALUES or any(len(t) > MOST_TEXT for t in texts):
        raise Usage(f"words of a filter: up to {MOST_VALUES} of up to {MOST_TEXT:,} characters each. Nothing was changed.")


def restored(desk: Desk, person: Person, handle: str) -> KeptReply:
    """Return the words of a handle; 404 where this person has no such handle."""
    desk.log.refresh()
    body = desk.kept.words(person.user, handle)
    if body is None:
        raise Answer(
            404, "unknown-filter", "the words of this filter are not kept in this case for you.",
            "Type them again; the rest of the filter works. Words are kept for each person apart, and with the case.",
        )  # fmt: skip
    plain = {n: v for n, v in body.items() if n not in RELATIONS}
    words, labels, lost = msgspec.convert(plain, Words), list[str | None](), ""
    for index, name in enumerate(RELATIONS):
        label = None
        if name in body:
            label = _label(desk, bytes.fromhex(body[name]["content"]))
            if label is None:
                lost = LOST
            elif name == "similar_to":
                words.similar_to = Similar(view=handle, index=index, distance=body[name]["distance"])
            else:
                words.same = Same(view=handle, index=index, what=body[name]["what"])
        labels.append(label)
    return KeptReply(handle=handle, words=words, similar_label=labels[0], same_label=labels[1], lost=lost)


def _label(desk: Desk, name: bytes) -> str | None:
    """Return the first place of a content in words; None where it is not within the scope."""
    table = desk.ranking().table
    row = int(table.row_of(desk.log.number(digests(name)))[0])
    if row < 0:
        return None
    exhibit, path = table.rank_of_item(row)
    return f"{exhibit}: {printable(path or '')}"
