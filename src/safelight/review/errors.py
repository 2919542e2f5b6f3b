"""What the server answers when it does not do what was asked: a status, a word for programs, what happened, what to do."""

from __future__ import annotations

import msgspec

from safelight.decisions.log import Conflict, NotSaved
from safelight.errors import Refused, Stop, Usage


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is no success."""

    error: str
    message: str
    todo: str = ""


class Answer(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, error: str, message: str, todo: str = "") -> None:
        super().__init__(message)
        self.status, self.body = status, Error(error=error, message=message, todo=todo)


def answer_of(stop: Stop) -> Answer:
    """Return the answer for a stop of the program."""
    match stop:
        case NotSaved():
            return Answer(503, "not-saved", str(stop), "Make room on the disk of the case, then send it again.")
        case Conflict():
            return Answer(409, "conflict", str(stop), "Load the view again and decide again.")
        case Usage():
            return Answer(400, "wrong-use", str(stop), "Change the request as the message says.")
        case Refused():
            return Answer(403, "refused", str(stop), "")
    return Answer(503, "stopped", str(stop), "Nothing that was saved is lost.")


def gone(what: str) -> Answer:
    """Return the answer for a view or reveal that the server does not have (any more)."""
    return Answer(404, "gone", f"the server no longer has this {what}. Nothing that was saved is lost.", "Load the page again.")
