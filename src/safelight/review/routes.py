"""The routes of the API: each takes a body, calls what does the work, gives a body. The wall (security.py) stands in front of all."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from safelight.decisions.policy import FLAGS
from safelight.errors import Usage
from safelight.review import api, find, items, reveals
from safelight.review.deciding import text_of
from safelight.review.errors import Answer, Error
from safelight.review.order import ORDERS
from safelight.review.people import Person
from safelight.review.renditions import packed
from safelight.review.rows import MOST_ROWS, window
from safelight.review.server import Server
from safelight.review.sessions import Session

Web = Request[Session, Any, Any]
THUMBS = 64
MOST_BATCH = 200

REFUSALS = {
    status: ResponseSpec(data_container=Error, description=words, generate_examples=False)
    for status, words in (
        (400, "The request is wrong."),
        (401, "There is no session."),
        (403, "Not allowed, or not from the page."),
        (404, "The server does not have this (any more)."),
        (409, "It contradicts what was decided meanwhile."),
        (413, "Too large."),
        (421, "Not an address of this server."),
        (503, "It could not be saved; what was saved is safe."),
    )
}
_FROM = QueryParameter(name="from", ge=0, le=2**32)


def server_of(request: Web) -> Server:
    """Return the server of a request."""
    found: Server = request.app.state.server
    return found


def person_of(request: Web) -> Person:
    """Return who asks."""
    return server_of(request).desk.person(request.user.user, request.user.role)


@post("/api/session", status_code=200, responses=REFUSALS, sync_to_thread=False, operation_id="open_session")
def open_session(data: JSONBody[api.TokenRequest], request: Web) -> Response[api.SessionReply]:
    """Use a one-time token; the answer sets the cookie."""
    server = server_of(request)
    opened = server.sessions.open(data.token)
    if opened is None:
        raise Answer(
            401, "token", "this address was used already, or is too old.", "Press Enter where `safelight serve` runs for a new one."
        )
    cookie, session = opened
    reply = Response(_session(session))
    reply.headers["set-cookie"] = f"safelight-{server.port}={cookie}; HttpOnly; SameSite=Strict; Path=/"
    return reply


def _session(session: Session) -> api.SessionReply:
    return api.SessionReply(user=session.user, role=session.role, csrf=session.csrf)  # type: ignore[arg-type]


@get("/api/session", responses=REFUSALS, sync_to_thread=False, operation_id="get_session")
def get_session(request: Web) -> api.SessionReply:
    """Return the session of the cookie."""
    session = request.scope.get("user")
    if session is None:
        raise Answer(401, "no-session", "you are not logged in.", "Press Enter where `safelight serve` runs.")
    return _session(session)


@post("/api/session/end", status_code=200, responses=REFUSALS, sync_to_thread=False, operation_id="end_session")
def end_session(request: Web) -> Response[api.Done]:
    """Log out: the cookie opens nothing any more."""
    server = server_of(request)
    server.sessions.end(str(request.scope.get("safelight.cookie", "")))
    reply = Response(api.Done())
    reply.headers["set-cookie"] = f"safelight-{server.port}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
    return reply


@get("/api/case", responses=REFUSALS, sync_to_thread=True, operation_id="get_case")
def get_case(request: Web) -> api.CaseReply:
    """Return what the case is: exhibits, scheme, policy, orders, hash sets, totals."""
    server, desk = server_of(request), server_of(request).desk
    desk.log.refresh()
    labels: dict[str, int] = {}
    for exhibit in desk.case.exhibits():
        labels[exhibit.label] = labels.get(exhibit.label, 0) + 1
    return api.CaseReply(
        id=desk.case.id,
        title=str(desk.case.settings["title"]),
        position=desk.log.standing.last,
        exhibits=[api.ExhibitReply(label=label, sources=n) for label, n in labels.items()],
        scheme=msgspec.convert(desk.policy.scheme, api.SchemeReply, from_attributes=True),
        votes=desk.policy.votes,
        flags=[api.Named(code=c, label=label) for c, label in FLAGS.items()],
        orders=[api.OrderReply(name=n, title=title, rule=rule) for n, (title, rule) in ORDERS.items()],
        sets=server.sets(),
        totals=server.totals(),
    )


@get("/api/settings", responses=REFUSALS, sync_to_thread=False, operation_id="get_settings")
def get_settings(request: Web) -> api.Settings:
    """Return the reviewer's own defaults."""
    return server_of(request).settings(request.user.user)


@post("/api/settings", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="set_settings")
def set_settings(data: JSONBody[api.Settings], request: Web) -> api.Settings:
    """Keep the reviewer's own defaults."""
    return server_of(request).set_settings(person_of(request), data)


@get("/api/progress", responses=REFUSALS, sync_to_thread=True, operation_id="get_progress")
def get_progress(request: Web, view: FromQuery[str | None] = None) -> api.ProgressReply:
    """Return how a running job gets on, and how many contents wait for a fresh view."""
    return server_of(request).progress(person_of(request), view)


@post("/api/views", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="make_view")
def make_view(data: JSONBody[api.ViewRequest], request: Web) -> api.ViewReply:
    """Make an immutable view."""
    return server_of(request).make_view(person_of(request), data)


@get("/api/views/{view:str}", responses=REFUSALS, sync_to_thread=True, operation_id="get_view")
def get_view(view: FromPath[str], request: Web) -> api.ViewReply:
    """Return what a view is, as when it was made."""
    return server_of(request).described(server_of(request).desk.view(view))


@get("/api/views/{view:str}/rows", responses=REFUSALS, sync_to_thread=True, operation_id="get_rows")
def get_rows(
    view: FromPath[str], request: Web, from_: Annotated[int, _FROM] = 0, n: Annotated[int, QueryParameter(ge=1, le=MOST_ROWS)] = 64
) -> api.RowsReply:
    """Return a window of a view, in columns."""
    return window(server_of(request).desk.view(view), person_of(request), from_, n)


@get(
    "/api/views/{view:str}/thumbs",
    responses=REFUSALS,
    sync_to_thread=True,
    operation_id="get_thumbs",
    media_type="application/octet-stream",
)
def get_thumbs(
    view: FromPath[str], request: Web, from_: Annotated[int, _FROM] = 0, n: Annotated[int, QueryParameter(ge=1, le=THUMBS)] = THUMBS
) -> Response[bytes]:
    """Return the protected pictures of 64 tiles, packed (see renditions.packed)."""
    if from_ % THUMBS:
        raise Usage(f"from: a multiple of {THUMBS}")
    data = packed(server_of(request).thumbs(view, person_of(request), from_, n))
    return Response(data, media_type="application/octet-stream", headers={"content-disposition": "attachment"})


@get("/api/views/{view:str}/items/{index:int}", responses=REFUSALS, sync_to_thread=True, operation_id="get_item")
def get_item(view: FromPath[str], index: FromPath[int], request: Web) -> api.ItemReply:
    """Return all that is known of one content."""
    desk = server_of(request).desk
    return items.item(desk, person_of(request), desk.view(view), index)


@post("/api/reveals", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="reveal")
def reveal(data: JSONBody[api.RevealRequest], request: Web) -> api.RevealReply:
    """Write the row of a look at more than the protected picture."""
    return reveals.begin(server_of(request).desk, person_of(request), data)


@get("/api/reveals/{reveal:int}/picture", responses=REFUSALS, sync_to_thread=True, operation_id="get_picture", media_type="image/jpeg")
def get_picture(reveal: FromPath[int], request: Web) -> Response[bytes]:
    """Return the picture of a reveal of one's own that is open."""
    data = reveals.picture(server_of(request).desk, person_of(request), reveal)
    headers = {"content-disposition": "attachment", "content-security-policy": "sandbox; default-src 'none'"}
    return Response(data, media_type="image/jpeg", headers=headers)


@post("/api/reveals/{reveal:int}/end", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="end_reveal")
def end_reveal(reveal: FromPath[int], data: JSONBody[api.RevealEnd], request: Web) -> api.Done:
    """Say how long a picture was shown."""
    reveals.end(server_of(request).desk, person_of(request), reveal, data.milliseconds)
    return api.Done()


@post("/api/decisions/preview", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="preview")
def preview(data: JSONBody[api.PreviewRequest], request: Web) -> api.PreviewReply:
    """Say what a decision would concern."""
    return server_of(request).decider.preview(person_of(request), data.view, data.target)


@post("/api/decisions", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="decide")
def decide(data: JSONBody[api.DecisionRequest], request: Web) -> api.DecidedReply:
    """Decide; answered when it is on the disk."""
    return server_of(request).decider.decide(person_of(request), data)


@post("/api/decisions/batch", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="decide_batch")
def decide_batch(data: JSONBody[list[api.DecisionRequest]], request: Web) -> list[api.DecidedReply]:
    """Decide several times, in order, all or none: a refusal means that nothing of the batch is saved."""
    if len(data) > MOST_BATCH:
        raise Usage(f"a batch has up to {MOST_BATCH} decisions. Nothing was changed.")
    return server_of(request).decider.decide_all(person_of(request), data)


@post("/api/decisions/undo", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="undo")
def undo(data: JSONBody[api.TurnRequest], request: Web) -> api.TurnReply:
    """Undo a decision of one's own."""
    return server_of(request).decider.turn(person_of(request), data, "undo")


@post("/api/decisions/redo", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="redo")
def redo(data: JSONBody[api.TurnRequest], request: Web) -> api.TurnReply:
    """Take an undo of one's own back."""
    return server_of(request).decider.turn(person_of(request), data, "redo")


@get("/api/decisions/mine", responses=REFUSALS, sync_to_thread=True, operation_id="get_mine")
def get_mine(request: Web, n: Annotated[int, QueryParameter(ge=1, le=1000)] = 50) -> list[api.MyDecision]:
    """Return my last decisions, the newest first."""
    log = server_of(request).desk.log
    with log.lock:
        own = [s for s in log.standing.said.values() if s.user == request.user.user and s.what == "decide"][-n:]
        return [api.MyDecision(event=s.seq, at=s.at, text=text_of(s), contents=s.count, undone=s.undone) for s in reversed(own)]


@post("/api/facets", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="get_facets")
def get_facets(data: JSONBody[api.FacetsRequest], request: Web) -> dict[str, list[api.FacetValue]]:
    """Return the values of facets with their counts."""
    return find.facets(server_of(request).desk, person_of(request), data)


@post("/api/timeline", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="get_timeline")
def get_timeline(data: JSONBody[api.TimelineRequest], request: Web) -> api.TimelineReply:
    """Return counts over time."""
    return find.timeline(server_of(request).desk, person_of(request), data)


@post("/api/places", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="get_places")
def get_places(data: JSONBody[api.PlacesRequest], request: Web) -> api.PlacesReply:
    """Return counts over the map."""
    return find.places(server_of(request).desk, person_of(request), data)


@get("/api/problems", responses=REFUSALS, sync_to_thread=True, operation_id="get_problems")
def get_problems(
    request: Web, kind: FromQuery[str] = "", from_: Annotated[int, _FROM] = 0, n: Annotated[int, QueryParameter(ge=1, le=MOST_ROWS)] = 100
) -> api.ProblemsReply:
    """Return a page of the problems."""
    return find.problems(server_of(request).desk, person_of(request), kind, from_, n)


@get("/api/exposure", responses=REFUSALS, sync_to_thread=True, operation_id="get_exposure")
def get_exposure(request: Web) -> api.ExposureReply:
    """Return one's own day."""
    server = server_of(request)
    user = request.user.user
    return msgspec.convert(server.desk.exposure.today(user, server.settings(user).break_minutes), api.ExposureReply)


@post("/api/exposure/break", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="take_break")
def take_break(request: Web) -> api.ExposureReply:
    """Note a break."""
    server, person = server_of(request), person_of(request)
    server.desk.log.submit(lambda: server.desk.log.append("break", person.user, person.role, {}))
    return msgspec.convert(server.desk.exposure.today(person.user, server.settings(person.user).break_minutes), api.ExposureReply)


@get("/api/exposure/sums", responses=REFUSALS, sync_to_thread=True, operation_id="get_sums")
def get_sums(request: Web) -> list[api.DaySums]:
    """Return the sums of the team by day; for supervisors."""
    if not person_of(request).is_supervisor:
        raise Answer(403, "refused", "the sums of the team are for supervisors.", "Your own day stands under Exposure.")
    return [msgspec.convert(s, api.DaySums) for s in server_of(request).desk.exposure.sums()]


@post("/api/exports", status_code=200, responses=REFUSALS, sync_to_thread=True, operation_id="export")
def export(data: JSONBody[api.ExportRequest], request: Web) -> api.ExportReply:
    """Write an export below the case folder."""
    return server_of(request).export(person_of(request), data)


HANDLERS: list[Any] = [
    open_session, get_session, end_session, get_case, get_settings, set_settings, get_progress, make_view, get_view, get_rows, get_thumbs, get_item,
    reveal, get_picture, end_reveal, preview, decide, decide_batch, undo, redo, get_mine, get_facets, get_timeline, get_places, get_problems,
    get_exposure, take_break, get_sums, export,
]  # fmt: skip
