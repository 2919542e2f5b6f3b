"""Words of filters that the server keeps: what comes back is what was handed in, to the same person only, also after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command import Command
from reviewing import Browser, Serving, reviewed_case
from safelight.case import Case
from safelight.decisions.check import check
from safelight.errors import Usage
from safelight.review.api import Words
from safelight.review.errors import Answer
from safelight.review.filters import Filter, Same, Similar
from safelight.review.keeping import LOST, MOST_TEXT, MOST_VALUES, keep, restored
from safelight.review.server import Server


@pytest.fixture(scope="module")
def case(module_safelight: Command) -> Path:
    return reviewed_case(module_safelight, module_safelight.folder)


@pytest.fixture
def server(case: Path) -> Iterator[Server]:
    """A server of the case in this process."""
    one = Server(Case(case), 80, "anna", "reviewer")
    yield one
    one.close()


def person(server: Server, user: str = "anna") -> Any:
    return server.desk.person(user, "reviewer")


text = st.text(st.characters(codec="utf-8"), max_size=40)
words = st.builds(
    Words,
    path=text,
    text=text,
    serial=st.lists(text, max_size=4),
    tag=st.lists(text, max_size=4),
    camera=st.lists(text, max_size=4),
).filter(lambda w: w != Words())


@given(given_words=words)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_words_come_back_and_the_same_words_have_one_handle(server: Server, given_words: Words) -> None:
    """Whatever text there is: it comes back unchanged; handed in again it is the same handle and no new event; the handle says nothing."""
    desk, anna = server.desk, person(server)
    kept = keep(desk, anna, given_words)
    events = desk.log.standing.last
    assert (kept.words, kept.lost) == (given_words, "")
    assert restored(desk, anna, kept.handle).words == given_words
    assert keep(desk, anna, given_words).handle == kept.handle
    assert desk.log.standing.last == events


def test_words_outlive_the_server(case: Path, server: Server) -> None:
    """Another server of the same case has them; `verify` finds the log whole."""
    handle = keep(server.desk, person(server), Words(text="kitchen")).handle
    server.close()
    again = Server(Case(case), 81, "anna", "reviewer")
    try:
        assert restored(again.desk, person(again), handle).words == Words(text="kitchen")
    finally:
        again.close()
    assert check(Case(case))[0] == []


def test_another_person_gets_the_answer_of_an_unknown_handle(server: Server) -> None:
    """Who asks for a handle of somebody else learns as little as who makes one up, also when it names a picture."""
    desk, view = server.desk, server.desk.make_view(person(server), Filter(), "path", False)
    handle = keep(desk, person(server), Words(similar_to=Similar(view=view.name, index=3), text="a")).handle
    answers = []
    for user, name in (("bert", handle), ("bert", "k.madeup000000000"), ("anna", "k.madeup000000000"), ("anna", view.name)):
        with pytest.raises(Answer) as refused:
            restored(desk, person(server, user), name)
        answers.append((refused.value.status, refused.value.body))
    assert len({repr(a) for a in answers}) == 1
    assert answers[0][0] == 404
    for user, name in (("bert", handle), ("bert", "k.madeup000000000")):
        with pytest.raises(Answer) as refused:
            desk.make_view(person(server, user), Filter(similar_to=Similar(view=name, index=0)), "path", False)
        assert refused.value.status == 404


@pytest.mark.parametrize("what", ["folder", "camera", "stack", "content"])
def test_a_relation_outlives_the_list_in_which_it_was_chosen(case: Path, what: str) -> None:
    """After a restart the filter by handle selects what it selected by list and tile before."""
    first = Server(Case(case), 80, "anna", "reviewer")
    view = first.desk.make_view(person(first), Filter(), "path", False)
    wanted = Filter(same=Same(view=view.name, index=5, what=what), similar_to=Similar(view=view.name, index=5, distance=64))
    before = first.desk.select(person(first), wanted)
    names = before.table.names[np.flatnonzero(before.mask())].tobytes()
    kept = keep(first.desk, person(first), Words(same=wanted.same, similar_to=wanted.similar_to))
    assert kept.same_label is not None and kept.same_label.startswith("A: ") and kept.similar_label == kept.same_label
    first.close()
    again = Server(Case(case), 81, "anna", "reviewer")
    try:
        back = restored(again.desk, person(again), kept.handle).words
        assert back.same == Same(view=kept.handle, index=1, what=what)
        assert back.similar_to == Similar(view=kept.handle, index=0, distance=64)
        after = again.desk.select(person(again), Filter(same=back.same, similar_to=back.similar_to))
        assert after.table.names[np.flatnonzero(after.mask())].tobytes() == names
        assert len(names) >= 32
    finally:
        again.close()


def test_what_left_the_scope_is_left_out_and_said(server: Server) -> None:
    """A related picture that the case does not show (any more) is left out with a word; the other words stay."""
    desk = server.desk
    handle = "k.abcdefghijkl"
    body = {"handle": handle, "words": {"text": "a", "same": {"content": "00" * 32, "what": "folder"}}}
    desk.log.submit(lambda: desk.log.append("filter", "anna", "reviewer", body))
    back = restored(desk, person(server), handle)
    assert (back.words, back.same_label, back.lost) == (Words(text="a"), None, LOST)


@pytest.mark.parametrize("wrong", [Words(), Words(text="x" * (MOST_TEXT + 1)), Words(tag=["x"] * (MOST_VALUES + 1))])
def test_nothing_and_too_much_are_refused(server: Server, wrong: Words) -> None:
    """No words, or more than the bounds, are wrong use and leave no event."""
    last = server.desk.log.standing.last
    with pytest.raises(Usage):
        keep(server.desk, person(server), wrong)
    assert server.desk.log.standing.last == last


def test_over_the_wire(module_safelight: Command, case: Path) -> None:
    """The routes stand behind the wall, and take and give JSON as described."""
    with Serving(module_safelight, case, "--user", "anna") as serving:
        browser: Browser = serving.browser()
        kept = browser.post("/api/filters", {"text": "<img src=x>\u202e", "camera": ["=1+1"]})
        assert browser.get(f"/api/filters/{kept['handle']}")["words"] == {"text": "<img src=x>\u202e", "camera": ["=1+1"]}
        browser.get("/api/filters/k.nothing00", expect=404)
        browser.post("/api/filters", {"kind": ["image"]}, expect=400)
        assert browser.send("POST", "/api/filters", {"text": "a"}, x_safelight_csrf="wrong").status == 403
        assert browser.send("GET", f"/api/filters/{kept['handle']}", cookie=None).status == 401
        view = browser.view()
        related = browser.post("/api/filters", {"same": {"view": view["view"], "index": 0, "what": "folder"}})
        assert browser.view(same=related["words"]["same"])["count"] >= 1
