"""What is not the API: the files of the page, and how refusals become answers."""

from __future__ import annotations

import contextlib
import sys
import traceback
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from safelight.errors import Stop
from safelight.ledger import LedgerError
from safelight.review.errors import Answer, Error, answer_of


def page_handlers() -> list[Any]:
    """Return the routes of the page's files."""
    return [index, asset]


@get("/", include_in_schema=False, sync_to_thread=False)
def index(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the page."""
    return _file(request, "/")


@get("/assets/{path:path}", include_in_schema=False, sync_to_thread=False)
def asset(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
    """Return a file of the page."""
    return _file(request, f"/assets/{str(path).lstrip('/')}")


def _file(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    found = request.app.state.server.page.found.get(name)
    if found is None:
        raise Answer(404, "not-found", "there is no such file.", "")
    data, media_type = found
    return Response(data, media_type=media_type, status_code=503 if name == "/" and not request.app.state.server.page.built else 200)


def refusals() -> dict[Any, Any]:
    """Return what makes an answer of each kind of exception."""
    return {
        Answer: lambda _, e: _answer(e),
        Stop: lambda _, e: _answer(answer_of(e)),
        OSError: lambda _, e: _answer(
            Answer(503, "disk", f"the disk could not be used ({e.strerror or e}). It is NOT saved.", "Make room, then try again.")
        ),
        LedgerError: lambda _, e: _answer(Answer(503, "ledger", f"{e}. Nothing was changed.", "Run `safelight verify`.")),
        HTTPException: _http,
        Exception: _fault,
    }


def _answer(answer: Answer) -> Response[Error]:
    return Response(answer.body, status_code=answer.status, media_type="application/json")


def _http(_: Any, e: HTTPException) -> Response[Error]:
    """Answer what Litestar refuses: bodies and parameters that do not fit, routes that are not there."""
    words = {404: "there is no such address.", 405: "this method is not spoken here.", 413: "the request is too large."}
    detail = e.detail
    if e.status_code == 400 and isinstance(e.extra, list):
        detail = (
            "; ".join(f"{x.get('key', '')}: {x.get('message', '')}".strip(": ") for x in e.extra if isinstance(x, dict))[:500] or e.detail
        )
    status = e.status_code if e.status_code in (400, 401, 403, 404, 405, 409, 413) else 400 if e.status_code < 500 else 503
    return _answer(
        Answer(status, "wrong-use" if status == 400 else "refused", words.get(e.status_code, f"{detail} Nothing was changed."), "")
    )


def _fault(_: Any, e: Exception) -> Response[Error]:
    """Answer a fault of our own without saying anything of evidence; the traceback goes to the terminal of the server."""
    if isinstance(e, msgspec.ValidationError | msgspec.DecodeError):
        return _answer(Answer(400, "wrong-use", f"{e}. Nothing was changed.", ""))
    with contextlib.suppress(
        OSError
    ):  # a terminal that is gone, or a file of messages on a full disk, is no reason to leave the answer away
        traceback.print_exception(e, file=sys.stderr)
    return _answer(
        Answer(503, "fault", f"a fault of the server ({type(e).__name__}). What was saved is safe.", "Try again; tell us if it stays.")
    )
