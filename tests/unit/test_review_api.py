"""The description of the API: the committed file is the generated one, and the server keeps to it, whatever it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from command import Command
from reviewing import reviewed_case
from safelight.review.server import OPENAPI, description, description_bytes

DESCRIPTION = description()
REQUESTS = 8
"""Requests for each route; all together take some seconds."""

SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)


def test_committed_description_is_the_generated_one() -> None:
    """`openapi.json` follows from the code, so the types of the page do too."""
    assert description_bytes() == OPENAPI.read_bytes()


def test_every_route_says_how_it_refuses() -> None:
    """Each operation has an id, and the body of every refusal is the same."""
    for path, item in DESCRIPTION["paths"].items():
        for operation in item.values():
            assert operation["operationId"].islower(), path
            for status in ("400", "401", "403", "404", "409", "413", "421", "503"):
                body = operation["responses"][status]["content"]["application/json"]["schema"]
                assert {"$ref": "#/components/schemas/Error"} == body, (path, status)


@pytest.fixture(scope="module")
def application(module_safelight: Command) -> Iterator[Any]:
    """The application with its wall, in this process, and the headers of a browser that is logged in."""
    from safelight.case import Case
    from safelight.review.security import Wall
    from safelight.review.server import Server, application

    case = reviewed_case(module_safelight, module_safelight.folder)
    server = Server(Case(Path(case)), 80, "anna", "supervisor")
    opened = server.sessions.open(server.sessions.new_token())
    assert opened is not None
    headers = {"Host": "127.0.0.1:80", "Origin": "http://127.0.0.1:80", "Sec-Fetch-Site": "same-origin"}
    headers |= {"Cookie": f"safelight-80={opened[0]}", "X-Safelight-CSRF": opened[1].csrf}
    yield Wall(application(server), server.sessions, 80), headers
    server.close()


@pytest.mark.slow
@SCHEMA.exclude(operation_id="end_session").parametrize()
@settings(
    max_examples=REQUESTS, derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_answers_are_as_described(case: Any, application: Any) -> None:
    """Valid and invalid requests get a status and a body that the description names, and never a fault of the server."""
    app, headers = application
    response = case.call(app=app, base_url="http://127.0.0.1:80", headers=headers)
    case.validate_response(response, checks=[status_code_conformance, response_schema_conformance])
    assert b'"fault"' not in response.content
