"""Decisions of the page: which contents a target means, what a confirmation must say, and the decision itself.

A decision names contents by their place in a view. What concerns more than one tile needs a confirmation that was just given: it says
how many of the contents are decided already and how, and holds only while that is so.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from typing import Any

import msgspec
import numpy as np

from safelight.decisions.deciding import Asked, checked_set, redo, undo
from safelight.decisions.events import Event, seen_bytes
from safelight.decisions.log import Conflict
from safelight.decisions.standing import DISPUTED, Said
from safelight.errors import Usage
from safelight.review.api import DecidedReply, DecisionRequest, PreviewReply, Target, TileReply, TurnReply, TurnRequest, Wish
from safelight.review.desk import Desk
from safelight.review.filters import words
from safelight.review.people import Person
from safelight.review.rows import standing
from safelight.review.views import View
from safelight.table.table import Array

CONFIRM_S = 300
MOST_STANDING = 512
MOST_KEY = 64


class Chosen(msgspec.Struct, kw_only=True, frozen=True):
    """What a target means: tiles (numbers), and rows of contents."""

    tiles: Array
    rows: Array
    text: str


def choose(view: View, target: Target) -> Chosen:
    """Return the tiles and contents of a target; raise `Usage` where it is none or goes beyond the view."""
    given = [n for n in ("index", "indexes", "ranges", "folder_of") if getattr(target, n) is not None] + (["all"] if target.all else [])
    if len(given) != 1:
        raise Usage("target: exactly one of index, indexes, ranges, all, folder_of. Nothing was changed.")
    tiles, text = _tiles(view, target, given[0])
    if not len(tiles):
        raise Usage("this target has no tile. Nothing was changed.")
    if int(tiles.min()) < 0 or int(tiles.max()) >= view.count:
        raise Usage(f"this view has {view.count:,} tiles; the target goes beyond. Nothing was changed.")
    if not target.whole_stack:
        return Chosen(tiles=tiles, rows=view.members[view.starts[tiles]], text=text)
    starts, ends = view.starts[tiles].astype(np.int64), view.starts[tiles + 1].astype(np.int64)
    lengths = ends - starts
    at = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(int(lengths.sum()))
    return Chosen(tiles=tiles, rows=view.members[at], text=text)


def _tiles(view: View, target: Target, name: str) -> tuple[Array, str]:
    match name:
        case "index":
            return np.array([target.index], np.int64), f"tile {target.index}"
        case "indexes":
            tiles = np.unique(np.array(target.indexes, np.int64))
            return tiles, f"{len(tiles)} tiles"
        case "ranges":
            ranges = target.ranges or []
            if len(ranges) > 10_000 or any(not 0 <= a < b <= view.count for a, b in ranges):
                raise Usage(f"ranges: up to 10,000, each from and to (exclusive) within 0 and {view.count:,}. Nothing was changed.")
            tiles = np.unique(np.concatenate([np.arange(a, b) for a, b in ranges])) if ranges else np.zeros(0, np.int64)
            return tiles, f"{len(ranges)} range(s)"
        case "all":
            return np.arange(view.count), "all of the view"
    t = view.table
    folder = int(t.folder[t.first[view.head(int(target.folder_of or 0))]])
    inside = np.flatnonzero(t.folder[t.first[view.members[view.starts[:-1]]]] == folder)
    return inside, f"folder {': '.join(t.folder_names[folder])}"


class Decider:
    """Confirms, decides, undoes; one for the server."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._confirmed: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def preview(self, person: Person, name: str, target: Target) -> PreviewReply:
        """Say what a decision would concern, and give the word that confirms it."""
        view = self._desk.view(name)
        chosen = choose(view, target)
        numbers = view.table.number[chosen.rows]
        with self._desk.log.lock:
            standing = self._desk.log.standing
            standing.grow()
            counts = np.bincount(person.category(view.table, chosen.rows), minlength=1)
            decided = {standing.code(n) or "": int(c) for n, c in enumerate(counts.tolist()) if n and c}
            disputed = int((standing.status[numbers] == DISPUTED).sum())
            stamp = self._stamp(person, name, numbers)
        word, now = secrets.token_urlsafe(16), time.monotonic()
        with self._lock:
            self._confirmed = {w: c for w, c in self._confirmed.items() if c[0] > now}
            self._confirmed[word] = (now + CONFIRM_S, stamp)
        return PreviewReply(contents=len(numbers), tiles=len(chosen.tiles), decided=decided, disputed=disputed, confirm=word)

    def _stamp(self, person: Person, view: str, numbers: Array) -> str:
        """Return a digest of who, which contents, and what stands of them."""
        standing = self._desk.log.standing
        parts: list[Array] = [
            numbers.astype(np.int64),
            standing.standing[numbers],
            standing.status[numbers],
            standing.votes_of(person.user)[numbers],
        ]
        return hashlib.sha256(b"\0".join([person.user.encode(), view.encode(), *(p.tobytes() for p in parts)])).hexdigest()

    def decide(self, person: Person, request: DecisionRequest) -> DecidedReply:
        """Make one decision; answer once it is on the disk. The same key again gets the same answer."""
        answer: DecidedReply = self._desk.log.submit(lambda: self._once(person, request))
        self._desk.noted(answer.event)
        return answer

    def _decide(self, person: Person, request: DecisionRequest, key: str) -> DecidedReply:
        desk, view = self._desk, self._desk.view(request.view)
        log = desk.log
        chosen = choose(view, request.target)
        rows = np.sort(chosen.rows)
        numbers = view.table.number[chosen.rows]
        if len(chosen.tiles) > 1:
            self._check_confirmed(person, request, numbers)
        body = said(request.set)
        if request.set.accept_proposal:
            body |= _accepted(person, view, rows, body)
        body = checked_set(log, body)
        ordered = view.table.number[rows]  # rows ascend by SHA-256
        levels, ms = desk.exposure.seen(person.user, ordered)
        body["target"], body["view"] = chosen.text, words(view.filter)
        before = log.standing.standing[ordered].copy()
        event = log.append("decide", person.user, person.role, body, view.table.names[rows].tobytes(), seen_bytes(levels, ms), key=key)
        changed = int((log.standing.standing[ordered] != before).sum())
        return DecidedReply(
            event=event.seq, position=event.seq, contents=len(rows), changed=changed,
            standing=tiles(view, person, chosen.tiles) if len(chosen.tiles) <= MOST_STANDING else [], undecided=desk.undecided(),
        )  # fmt: skip

    def decide_all(self, person: Person, requests: list[DecisionRequest]) -> list[DecidedReply]:
        """Make several decisions in order, all or none: when one is refused, nothing of the batch is kept."""

        def work() -> list[DecidedReply]:
            return [self._once(person, r) for r in requests]

        answers: list[DecidedReply] = self._desk.log.submit(work)
        if answers:
            self._desk.noted(answers[-1].event)
        return answers

    def _once(self, person: Person, request: DecisionRequest) -> DecidedReply:
        key, digest = _key(person, request.key), _digest(request)
        before = self._desk.log.answered(key, digest)
        if before is not None:
            return msgspec.convert(before, DecidedReply)
        answer = self._decide(person, request, key)
        self._desk.log.remember(key, digest, answer)
        return answer

    def _check_confirmed(self, person: Person, request: DecisionRequest, numbers: Array) -> None:
        with self._lock:
            until, stamp = self._confirmed.get(request.confirm or "", (0.0, ""))
        if until < time.monotonic():
            raise Conflict(
                "this concerns more than one tile and is not confirmed (or the confirmation is too old). Nothing was changed; ask for a preview."
            )
        if stamp != self._stamp(person, request.view, numbers):
            raise Conflict("since the preview something of this was decided. Nothing was changed; ask for a new preview.")

    def turn(self, person: Person, request: TurnRequest, what: str) -> TurnReply:
        """Undo or redo; `indexes_of_view` says where the contents stand in the view that was named."""
        key, digest = _key(person, request.key), _digest(request, what)
        asked = Asked(user=person.user, role=person.role, key=key, event=request.event or 0)

        def work() -> TurnReply:
            before = self._desk.log.answered(key, digest)
            if before is not None:
                return msgspec.convert(before, TurnReply)
            event, target = (undo if what == "undo" else redo)(self._desk.log, asked)
            answer = self._turned(request, event, target)
            self._desk.log.remember(key, digest, answer)
            return answer

        answer: TurnReply = self._desk.log.submit(work)
        self._desk.noted(answer.event)
        return answer

    def _turned(self, request: TurnRequest, event: Event, target: Said) -> TurnReply:
        indexes = None
        view = self._desk.views.get(request.view) if request.view else None
        if view is not None:
            stored = self._desk.log.event(target.seq)
            assert stored is not None
            indexes = indexes_of(view, self._desk.log.standing.of(stored))
        return TurnReply(
            event=event.seq, undone=target.seq, contents=target.count, text=text_of(target), indexes_of_view=indexes,
            undecided=self._desk.undecided(),
        )  # fmt: skip


def _accepted(person: Person, view: View, rows: Array, body: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a decision that accepts what is proposed for each content; raise `Usage` where nothing is for one."""
    body.pop("accept_proposal")
    if "category" in body:
        raise Usage("either a category or accept_proposal, not both. Nothing was changed.")
    numbers = person.proposed(view.table, rows)
    if not numbers.all():
        raise Usage(
            f"for {int((numbers == 0).sum()):,} of these contents no category of this case's scheme is proposed: decide them by a key. "
            "Nothing was changed."
        )
    used, each = np.unique(numbers, return_inverse=True)
    codes = [person.log.standing.code(int(n)) for n in used]
    if len(codes) == 1:
        return {"category": codes[0], "accepted": True}
    return {"categories": codes, "each": (each.astype(np.uint8) + ord("a")).tobytes().decode("latin-1"), "accepted": True}


def indexes_of(view: View, numbers: Array) -> list[int]:
    """Return the tiles of a view that hold any of these contents, at most `MOST_STANDING`."""
    rows = view.table.row_of(numbers)
    wanted = np.zeros(view.table.rows, bool)
    wanted[rows[rows >= 0]] = True
    at = np.flatnonzero(wanted[view.members])
    found = np.unique(np.searchsorted(view.starts, at, side="right") - 1)
    return [int(i) for i in found[:MOST_STANDING]]


def tiles(view: View, person: Person, indexes: Array) -> list[TileReply]:
    """Return what stands of these tiles now."""
    rows = view.members[view.starts[indexes]]
    listed = zip(indexes.tolist(), *standing(person, view.table, rows), strict=True)
    return [TileReply(index=i, category=c, mine=m, status=s) for i, c, m, s in listed]


def said(wish: Wish) -> dict[str, Any]:
    """Return what a decision says, without what it does not say."""
    found: dict[str, Any] = msgspec.to_builtins(wish)
    return {k: v for k, v in found.items() if k == "category" or v}


def text_of(target: Said) -> str:
    """Return a decision in words."""
    body = target.body
    parts = []
    if "each" in body:
        parts.append(f"categories as proposed ({', '.join(body['categories'])})")
    elif "category" in body:
        parts.append(f"category {body['category']}" if body["category"] is not None else "category taken back")
    parts += [
        f"{name.replace('_', ' ')}: {', '.join(body[name])}"
        for name in ("add_tags", "remove_tags", "add_flags", "remove_flags")
        if body.get(name)
    ]
    parts += ["a note"] if body.get("note") else []
    return f"{', '.join(parts)} for {target.count:,} content{'' if target.count == 1 else 's'} ({body.get('target', '')})"


def _key(person: Person, key: str) -> str:
    if not 8 <= len(key) <= MOST_KEY or not key.isascii() or not key.isprintable():
        raise Usage(f"key: 8 to {MOST_KEY} printable characters, best a UUID. Nothing was changed.")
    return f"{person.user}/{key}"


def _digest(request: Any, what: str = "decide") -> str:
    """Return a digest of a request; the confirmation and the view's name are no part of what is asked."""
    body = msgspec.to_builtins(request)
    body.pop("confirm", None)
    return hashlib.sha256(what.encode() + msgspec.json.encode(body, order="deterministic")).hexdigest()
