"""The server as a whole: a desk, its sessions, and the application that Litestar makes of the routes, behind the wall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from safelight.case import Case
from safelight.exports import Wish, write_export
from safelight.review import api
from safelight.review.deciding import Decider
from safelight.review.desk import Desk, open_contents
from safelight.review.filters import words
from safelight.review.page_files import Page
from safelight.review.people import Person
from safelight.review.sessions import Sessions
from safelight.review.views import View


class Server:
    """Everything that the routes need."""

    def __init__(self, case: Case, port: int, user: str, role: str, purpose: str = "", library: str | None = None) -> None:
        self.port, self.page = port, Page()
        self.desk = Desk(case, purpose, library)
        self.decider = Decider(self.desk)
        self.sessions = Sessions(user, role)

    def close(self) -> None:
        self.desk.close()

    def sets(self) -> list[api.SetReply]:
        """Return the hash sets that the case was matched with."""
        found: dict[str, api.SetReply] = {}
        for e in self.desk.case.ledger.entries():
            if e["what"] == "match":
                found[e["folder"]] = api.SetReply(name=e["set"], version=e["version"], as_=e["as"])
            elif e["what"] == "match-removed":
                found.pop(e["folder"], None)
        return list(found.values())

    def totals(self) -> api.Totals:
        """Return the counts of the case as it is now."""
        t, log = self.desk.ranking().table, self.desk.log
        looked, open_ = t.looked_at, open_contents(t, log)
        with log.lock:
            log.standing.grow()
            status = t.by_row(log.standing.status)
        return api.Totals(
            items=t.items, contents=t.rows, pictures=int((t.kind.code == t.kind.number("image")).sum()),
            films=int((t.kind.code == t.kind.number("video")).sum()), undecided=int((open_ & looked).sum()), decided=int((status > 0).sum()),
            disputed=int((status == 3).sum()), problems=self.desk.tail.problems(),
        )  # fmt: skip

    def settings(self, user: str) -> api.Settings:
        """Return what a reviewer set; what is absent or no longer valid is the default."""
        try:
            return msgspec.convert(self.desk.exposure.settings.get(user, {}), api.Settings)
        except msgspec.ValidationError:
            return api.Settings()

    def set_settings(self, person: Person, settings: api.Settings) -> api.Settings:
        body = msgspec.to_builtins(settings)
        self.desk.log.submit(lambda: self.desk.log.append("settings", person.user, person.role, body))
        return settings

    def progress(self, person: Person, view: str | None) -> api.ProgressReply:
        desk = self.desk
        desk.log.refresh()
        desk.renew()
        shown = desk.views.get(view) if view else None
        return api.ProgressReply(
            running=desk.tail.running(), position=desk.log.standing.last,
            steps=[msgspec.convert(s, api.StepReply) for s in desk.tail.steps()], problems=desk.tail.problems(),
            new={view: desk.waiting(shown, person)} if view and shown else {},
        )  # fmt: skip

    def make_view(self, person: Person, request: api.ViewRequest) -> api.ViewReply:
        return self.described(self.desk.make_view(person, request.filter, request.order, request.stacked))

    @staticmethod
    def described(view: View) -> api.ViewReply:
        """Return what a view is."""
        return api.ViewReply(
            view=view.name, count=view.count, contents=len(view.members), position=view.position, sections=view.sections,
            filter_text=words(view.filter),
        )  # fmt: skip

    def thumbs(self, name: str, person: Person, first: int, n: int) -> Iterator[bytes]:
        """Yield the protected pictures of a window, and note that they were given."""
        view = self.desk.view(name)
        rows = view.heads(first, n)
        self.desk.exposure.delivered(person.user, view.table.number[rows])
        for row in rows.tolist():
            yield self.desk.packs.read(view.table, row, "protected")

    def export(self, person: Person, request: api.ExportRequest) -> api.ExportReply:
        """Write an export below the case folder; the ledger gets its row as a disclosure."""
        selected = None
        if request.filter is not None:
            selection = self.desk.select(person, request.filter)
            selected = selection.table.names[np.flatnonzero(selection.mask())]
        gate = self.desk.gate()
        who = {"reviewer": person.user, "role": person.role}
        try:
            made = write_export(gate, Wish(format=request.format, selected=selected), "safelight serve", who)
        finally:
            gate.facts.con.close()
        return api.ExportReply(file=f"exports/{made.name}", rows=made.rows, sha256=made.sha256)


def application(server: Server, describe: bool = False) -> Any:
    """Return the ASGI application without the wall; `describe` adds what the OpenAPI description needs."""
    from litestar import Litestar
    from litestar.openapi import OpenAPIConfig

    from safelight.review import kept_routes, routes
    from safelight.review.handling import page_handlers, refusals

    config = OpenAPIConfig(title="Safelight review", version="1", use_handler_docstrings=True, render_plugins=[]) if describe else None
    handlers = [*routes.HANDLERS, *kept_routes.HANDLERS, *page_handlers()]
    app = Litestar(
        route_handlers=handlers, openapi_config=config, exception_handlers=refusals(), logging_config=None, debug=False,
        request_max_body_size=None,
    )  # fmt: skip
    app.state.server = server
    return app


def description() -> dict[str, Any]:
    """Return the OpenAPI description of the API."""
    app = application(None, describe=True)  # type: ignore[arg-type]
    found: dict[str, Any] = app.openapi_schema.to_schema()
    closed = {c.__name__ for c in vars(api).values() if isinstance(c, type) and issubclass(c, api.Request)}
    for name, schema in found["components"]["schemas"].items():
        if name in closed | {"Filter", "Box", "Similar", "Same", "Settings"}:
            schema["additionalProperties"] = False  # what a request has beside these is refused
    return found


def description_bytes() -> bytes:
    """Return `openapi.json` as it is committed."""
    return msgspec.json.format(msgspec.json.encode(description(), order="deterministic"), indent=1) + b"\n"


OPENAPI = Path(__file__).with_name("openapi.json")
