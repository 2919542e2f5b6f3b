"""The routes that keep the words of filters; see kept.py and keeping.py."""

from __future__ import annotations

from typing import Any

from litestar import get, post
from litestar.params import FromPath, JSONBody

from safelight.review import api, keeping
from safelight.review.routes import REFUSALS, Web, person_of, server_of


@post("/api/filters", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="keep_filter")
def keep_filter(data: JSONBody[api.Words], request: Web) -> api.KeptReply:
    """Keep the words of a filter and return the handle that stands for them in an address."""
    return keeping.keep(server_of(request).desk, person_of(request), data)


@get("/api/filters/{handle:str}", responses=REFUSALS, sync_to_thread=True, operation_id="get_filter")
def get_filter(handle: FromPath[str], request: Web) -> api.KeptReply:
    """Return the words of a handle of one's own."""
    return keeping.restored(server_of(request).desk, person_of(request), handle)


HANDLERS: list[Any] = [keep_filter, get_filter]
