"""Who may talk to the server: one-time tokens for the address, then sessions that live in memory and end when they are idle.

Secrets have 256 bits, are compared in constant time, and are made anew at each start; nothing of them is written anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time

import msgspec

TOKEN_S = 60
IDLE_S = 30 * 60
MOST_TOKENS = 16


class Session(msgspec.Struct, kw_only=True):
    """One logged-in browser."""

    user: str
    role: str
    csrf: str
    used: float


class Sessions:
    """Tokens and sessions of one server. Cookies are kept as digests only."""

    def __init__(self, user: str, role: str, idle: float = IDLE_S) -> None:
        self.user, self.role, self.idle = user, role, idle
        self._tokens: list[tuple[str, float]] = []
        self._sessions: dict[bytes, Session] = {}
        self._lock = threading.Lock()

    def new_token(self) -> str:
        """Return a token that opens one session within `TOKEN_S`."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens = [t for t in self._tokens if t[1] > time.monotonic()][-MOST_TOKENS + 1 :]
            self._tokens.append((token, time.monotonic() + TOKEN_S))
        return token

    def open(self, token: str) -> tuple[str, Session] | None:
        """Use a token up and return the cookie and the session; None where the token is not valid (any more)."""
        given = token.encode("utf-8", "surrogatepass")
        with self._lock:
            valid, kept = False, []
            for known, until in self._tokens:  # all are compared, so that the time says nothing
                if hmac.compare_digest(known.encode(), given):
                    valid = until > time.monotonic()
                else:
                    kept.append((known, until))
            self._tokens = kept
            if not valid:
                return None
            cookie = secrets.token_urlsafe(32)
            session = Session(user=self.user, role=self.role, csrf=secrets.token_urlsafe(32), used=time.monotonic())
            self._sessions[_name(cookie)] = session
            return cookie, session

    def find(self, cookie: str, counts: bool = True) -> Session | None:
        """Return the session of a cookie; None where it ended. `counts`: this is use, not a poll."""
        with self._lock:
            session = self._sessions.get(_name(cookie))
            if session is None:
                return None
            if time.monotonic() - session.used > self.idle:
                del self._sessions[_name(cookie)]
                return None
            if counts:
                session.used = time.monotonic()
            return session

    def end(self, cookie: str) -> None:
        """Forget a session: its cookie opens nothing any more."""
        with self._lock:
            self._sessions.pop(_name(cookie), None)


def _name(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
