"""The wall of the review server, over a real socket: each attack is tried, and each is refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from command import Command
from reviewing import JSON, Browser, Serving, reviewed_case

GETS = ("/", "/assets/index.js", "/api/session", "/api/case", "/api/progress", "/api/settings", "/api/exposure", "/api/problems")


@pytest.fixture(scope="module")
def serving(module_safelight: Command) -> Iterator[Serving]:
    """One server for all tests of this file."""
    with Serving(module_safelight, reviewed_case(module_safelight, module_safelight.folder)) as running:
        running.first = running.browser()  # type: ignore[attr-defined]
        yield running


@pytest.fixture
def browser(serving: Serving) -> Browser:
    """A browser that is logged in, with headers of its own."""
    known: Browser = serving.first  # type: ignore[attr-defined]
    copy = Browser(known.port, known.token)
    copy.headers = dict(known.headers)
    return copy


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", "", None])
@pytest.mark.parametrize("path", GETS)
def test_foreign_host_is_misdirected(browser: Browser, host: str | None, path: str) -> None:
    """A name that is not the server's own (DNS rebinding) gets 421 (a request without one: 400 or 421), on every route."""
    assert browser.send("GET", path, host=host).status in ((421,) if host is not None else (400, 421))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_own_names_are_taken(browser: Browser, name: str) -> None:
    """All names of loopback are the server's own."""
    assert 200 == browser.send("GET", "/api/case", host=f"{name}:{browser.port}").status


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", None])
@pytest.mark.parametrize("path", GETS[1:])
def test_other_sites_get_nothing(browser: Browser, site: str | None, path: str) -> None:
    """What does not come from the page itself is refused, static files included; a missing header is a refusal."""
    assert 403 == browser.send("GET", path, sec_fetch_site=site).status


@pytest.mark.parametrize(("site", "expected"), [("none", {200, 503}), ("cross-site", {403}), ("same-site", {403}), (None, {403})])
def test_a_person_may_open_the_page(browser: Browser, site: str | None, expected: set[int]) -> None:
    """The page itself may be typed in, but not be linked from elsewhere."""
    assert browser.send("GET", "/", sec_fetch_site=site).status in expected


@pytest.mark.parametrize("path", [p for p in GETS if p.startswith("/api/")])
def test_without_cookie_there_is_nothing(browser: Browser, path: str) -> None:
    """The API needs a session."""
    assert 401 == browser.send("GET", path, cookie=None).status
    assert 401 == browser.send("GET", path, cookie=f"safelight-{browser.port}=wrong").status
    assert 401 == browser.send("GET", path, cookie=str(browser.headers["cookie"]).replace(str(browser.port), "1")).status


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("origin", None, 403),
        ("sec_fetch_site", "cross-site", 403),
        ("content_type", "text/plain", 403),
        ("content_type", "application/x-www-form-urlencoded", 403),
        ("content_type", None, 403),
        ("x_safelight_csrf", "guessed", 403),
        ("x_safelight_csrf", None, 403),
        ("cookie", None, 401),
        ("content_length", "99999999", 413),
        ("content_length", "-1", 400),
    ],
)
def test_forged_posts_change_nothing(browser: Browser, header: str, value: str | None, status: int) -> None:
    """A POST lacking any one of its proofs is refused, and the settings stay as they are."""
    before = browser.get("/api/settings")
    got = browser.send("POST", "/api/settings", {**before, "tile": 256 if before["tile"] == 128 else 128}, **{header: value})
    assert got.status in (status, 413 if status == 400 else status)
    assert before == browser.get("/api/settings")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_only_get_and_post(browser: Browser, method: str) -> None:
    """No other method is spoken, so there is no preflight that could say yes."""
    got = browser.send(method, "/api/case", origin=f"http://{browser.host}")
    assert 405 == got.status
    assert not [h for h in got.headers if h.startswith("access-control")]


def test_token_is_used_up(serving: Serving, browser: Browser) -> None:
    """The printed token opens one session, and no guess opens any."""
    for token in (serving.token, "", "x" * 43, serving.token[:-1]):
        assert 401 == Browser(serving.port, token).send("POST", "/api/session", {"token": token}).status


def test_a_body_beyond_the_bound_is_refused(browser: Browser) -> None:
    """4 MiB and one byte are too much, said or not."""
    assert 413 == browser.send("POST", "/api/facets", raw=b'{"facets":["' + b"x" * (4 << 20) + b'"]}').status


@pytest.mark.parametrize("path", ["/", "/api/case", "/api/session", "/assets/none.js", "/nowhere"])
def test_every_answer_carries_the_headers(browser: Browser, path: str) -> None:
    """Success or refusal: strict policy, isolation, no sniffing, no storing, no other origin, and nothing says what runs."""
    headers = browser.send("GET", path).headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy and policy.startswith("default-src 'none'; script-src 'self'")
    assert {"require-trusted-types-for 'script'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= set(
        policy.split("; ")
    )
    assert ("no-store", "nosniff", "no-referrer") == tuple(
        headers[n] for n in ("cache-control", "x-content-type-options", "referrer-policy")
    )
    assert ("same-origin", "require-corp", "same-origin") == tuple(
        headers[f"cross-origin-{n}-policy"] for n in ("opener", "embedder", "resource")
    )
    assert not {"server", "access-control-allow-origin", "etag", "last-modified"} & headers.keys()


def test_cookie_is_out_of_reach(module_safelight: Command, serving: Serving) -> None:
    """HttpOnly, SameSite=Strict, bound to the port; another server does not take it; logging out kills it."""
    case = module_safelight.folder / "review.case"
    with Serving(module_safelight, case) as other:
        opened = Browser(other.port, other.token).send("POST", "/api/session", {"token": other.token})
        cookie = opened.headers["set-cookie"]
        assert cookie.startswith(f"safelight-{other.port}=") and {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        theirs = Browser(other.port, "")
        theirs.headers |= {"cookie": cookie.split(";")[0], "x-safelight-csrf": opened.json["csrf"]}
        assert 200 == theirs.send("GET", "/api/case").status
        stolen = cookie.split(";")[0].replace(str(other.port), str(serving.port))
        assert 401 == Browser(serving.port, "").send("GET", "/api/case", cookie=stolen).status
        assert 200 == theirs.send("POST", "/api/session/end", {}).status
        assert 401 == theirs.send("GET", "/api/case").status


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../api.py",
        "/assets/..%2f..%2fcase.toml",
        "/assets/%2e%2e/%2e%2e/case.toml",
        "/assets//etc/passwd",
        "/assets/%00",
        "/../../etc/passwd",
    ],
)
def test_no_path_leads_out(browser: Browser, path: str) -> None:
    """Only the files of the page exist; everything else is 404 and tells nothing."""
    got = browser.send("GET", path)
    assert got.status in (400, 404)
    assert b"root:" not in got.body and b"[policies]" not in got.body


def test_names_of_evidence_are_json_text(browser: Browser) -> None:
    """A name that is a script stands in JSON as text, served as JSON with nosniff."""
    view = browser.view(kind=["any"], text="onerror")
    got = browser.send("GET", f"/api/views/{view['view']}/rows?from=0&n=10")
    assert JSON == got.headers["content-type"].partition(";")[0]
    assert ["<img src=x onerror=alert(1)>.txt"] == got.json["place"]


def test_pictures_cannot_act(browser: Browser) -> None:
    """A revealed picture is a JPEG, an attachment, sandboxed; a thumbnail pack is bytes."""
    view = browser.view(known=["new"])
    reveal = browser.post("/api/reveals", {"view": view["view"], "index": 0, "level": "small"})["reveal"]
    got = browser.send("GET", f"/api/reveals/{reveal}/picture")
    assert (200, "image/jpeg", "attachment") == (got.status, got.headers["content-type"], got.headers["content-disposition"])
    assert got.body.startswith(b"\xff\xd8\xff")
    assert "sandbox; default-src 'none'" == got.headers["content-security-policy"]
    thumbs = browser.send("GET", f"/api/views/{view['view']}/thumbs?from=0").headers
    assert ("application/octet-stream", "attachment") == (thumbs["content-type"], thumbs["content-disposition"])


def test_no_digest_in_any_address(browser: Browser) -> None:
    """Routes take views and numbers, never a digest or name: nothing of evidence can land in a history."""
    from safelight.review.server import description

    for path in description()["paths"]:
        assert "sha256" not in path and "digest" not in path and "name" not in path


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_addresses_are_refused(module_safelight: Command, address: str) -> None:
    """The server listens on loopback only, and says why."""
    refused = module_safelight("serve", module_safelight.folder / "review.case", "--address", address, expect=(3,))
    assert b"loopback" in refused.stderr


def test_it_listens_on_loopback_only(serving: Serving) -> None:
    """Nothing answers on the address of the machine."""
    outside = socket.gethostbyname(socket.gethostname())
    if outside.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError):
        socket.create_connection((outside, serving.port), timeout=5)


def test_web_socket_is_not_spoken(browser: Browser) -> None:
    """An upgrade gets no connection that the wall does not see."""
    got = browser.send(
        "GET", "/api/case", connection="Upgrade", upgrade="websocket", sec_websocket_key="x" * 24, sec_websocket_version="13"
    )
    assert got.status != 101


def test_idle_sessions_end() -> None:
    """A session that is only polled ends after the idle time; one that is used does not; a token ends after its time."""
    from safelight.review.sessions import Sessions

    sessions = Sessions("anna", "reviewer", idle=0.0)
    opened = sessions.open(sessions.new_token())
    assert opened is not None
    assert sessions.find(opened[0]) is None
    used = Sessions("anna", "reviewer", idle=1000.0)
    opened = used.open(used.new_token())
    assert opened is not None and used.find(opened[0], counts=False) is opened[1]
    token = used.new_token()
    used._tokens = [(t, 0.0) for t, _ in used._tokens]
    assert used.open(token) is None


def test_known_illegal_needs_a_reason(browser: Browser) -> None:
    """A known illegal content is not shown without a reason; the reason stands in the log."""
    view = browser.view(known=["illegal"])
    assert view["count"] > 0
    assert "refused" == browser.post("/api/reveals", {"view": view["view"], "index": 0, "level": "small"}, 403)["error"]
    assert browser.post("/api/reveals", {"view": view["view"], "index": 0, "level": "drawing", "reason": "compare with exhibit B"})[
        "reveal"
    ]
