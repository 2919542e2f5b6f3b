"""The wall in front of every route, static files included; what it refuses no handler sees.

In order: Host is one of our own names (else 421: DNS rebinding), Sec-Fetch-Site says that the request comes from our own page (the page
itself may also be opened by a person), no method but GET and POST, a POST is JSON from our own Origin with the CSRF word, the body is
bounded, the API needs a session. A header that is missing is a refusal. Every answer carries the headers below.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

import msgspec

from safelight.review.errors import Answer
from safelight.review.sessions import Session, Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 4 << 20
POLICY = "content-security-policy"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), usb=(), payment=()",
}
POLLS = ("/api/progress", "/api/session")
OPEN = ("/api/session",)
"""What needs no session: to open one, and to ask whether there is one."""


class Wall:
    """ASGI middleware around the application. `hosts`: the names of the server with its port, as a browser writes them."""

    def __init__(self, app: App, sessions: Sessions, port: int) -> None:
        self.app, self.sessions, self.port = app, sessions, port
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"}
        self.cookie = f"safelight-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no WebSocket: closing without an answer refuses it
        try:
            scope["safelight.cookie"] = ""
            self._check(scope)
            await self.app(scope, _bounded(receive), _with_headers(send))
        except Answer as e:
            await _answer(e, send)

    def _check(self, scope: Scope) -> None:
        headers = _headers(scope)
        path, method = str(scope["path"]), str(scope["method"])
        if headers.get("host") not in self.hosts:
            raise Answer(421, "wrong-host", "this address is not the server's own.", "Open the address that `safelight serve` printed.")
        is_page = path == "/"
        if headers.get("sec-fetch-site") not in (("same-origin", "none") if is_page else ("same-origin",)):
            raise Answer(
                403, "cross-site", "the request does not come from the review page.", "Use a current browser and the printed address."
            )
        if "origin" in headers and headers["origin"] != f"http://{headers['host']}":
            raise Answer(403, "cross-site", "the request comes from another origin.", "Use the printed address.")
        if method not in ("GET", "POST"):
            raise Answer(405, "method", f"{method[:20]} is not spoken here.", "")
        session = self._session(scope, headers, path)
        if method == "POST":
            self._check_post(headers, path, session)
        if path.startswith("/api/") and path not in OPEN and session is None:
            raise Answer(
                401,
                "no-session",
                "you are not logged in (any more). Nothing that was saved is lost.",
                "Press Enter where `safelight serve` runs.",
            )

    def _session(self, scope: Scope, headers: dict[str, str], path: str) -> Session | None:
        try:
            jar = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return None
        if self.cookie not in jar:
            return None
        cookie = scope["safelight.cookie"] = jar[self.cookie].value
        session = scope["user"] = self.sessions.find(cookie, counts=path not in POLLS)
        return session

    def _check_post(self, headers: dict[str, str], path: str, session: Session | None) -> None:
        if headers.get("origin") != f"http://{headers['host']}":
            raise Answer(403, "cross-site", "the request comes from another origin, or from none.", "Use the printed address.")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Answer(403, "not-json", "only JSON is taken.", "Use the review page.")
        if (
            path != "/api/session"
            and session is not None
            and not hmac.compare_digest(headers.get("x-safelight-csrf", "").encode(), session.csrf.encode())
        ):
            raise Answer(403, "csrf", "the request lacks the word of this session. Nothing was changed.", "Load the page again.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or len(length) > 12 or int(length) > MOST_BODY:
            raise Answer(413, "too-large", f"a request has up to {MOST_BODY >> 20} MiB. Nothing was changed.", "Send fewer things at once.")


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers; of one that stands there twice, something that fits nothing."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        found[name] = value.decode("latin-1") if name not in found or name == "cookie" else "\0twice"
    return found


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MOST_BODY:
            raise Answer(413, "too-large", f"a request has up to {MOST_BODY >> 20} MiB. Nothing was changed.", "Send fewer things at once.")
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {n.decode("latin-1").lower(): v for n, v in message.get("headers", [])}
            stricter = own.get(POLICY, b"").startswith(b"sandbox")  # what a picture may do is even less than what the page may
            headers = {**HEADERS, POLICY: own[POLICY].decode("latin-1")} if stricter else HEADERS
            kept = [(n, v) for n, v in message.get("headers", []) if n.decode("latin-1").lower() not in (*HEADERS, "server")]
            message = {**message, "headers": kept + [(n.encode(), v.encode()) for n, v in headers.items()]}
        await send(message)

    return with_headers


async def _answer(answer: Answer, send: Send) -> None:
    body = msgspec.json.encode(answer.body)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await _with_headers(send)({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
