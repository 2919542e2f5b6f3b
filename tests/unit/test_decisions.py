"""The log of decisions: undo of anything, votes, proposals, queues, exposure; through the server, as a browser does it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import Command
from reviewing import Browser, Serving, pictures_of, reviewed_case


@pytest.fixture(scope="module")
def made(module_safelight: Command) -> Path:
    """A case that was run and never reviewed."""
    return reviewed_case(module_safelight, module_safelight.folder)


@pytest.fixture
def case(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(made, tmp_path / "copy.case"))


@pytest.fixture
def browser(module_safelight: Command, case: Path) -> Iterator[Browser]:
    """Anna, a reviewer."""
    with Serving(module_safelight, case, "--user", "anna") as running:
        yield running.browser()


def with_votes(case: Path, votes: int) -> Path:
    """Let a case ask for so many votes."""
    import tomli_w

    from safelight.decisions.policy import new_policy

    text = (case / "case.toml").read_text()
    (case / "case.toml").write_text(
        text.split("[policies]")[0] + tomli_w.dumps({"policies": new_policy("vics-us", votes, None).as_settings()})
    )
    return case


def shown(browser: Browser, view: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what stands of each tile."""
    rows = browser.rows(view)
    return list(zip(rows["category"], rows["mine"], rows["status"], map(tuple, rows["flags"]), strict=True))


def turn(browser: Browser, what: str, expect: int = 200, **more: Any) -> Any:
    return browser.post(f"/api/decisions/{what}", {"key": str(uuid.uuid4()), **more}, expect)


def test_views_hold_stacks_and_pictures(browser: Browser) -> None:
    """Copies lie in the stack of their original; tiles have protected pictures; what is in no set stands first."""
    view = browser.view()
    rows = browser.rows(view)
    assert view["count"] == rows["n"] < view["contents"] == 27
    assert sum(rows["stack_size"]) == view["contents"]
    assert rows["known"].index("illegal") == rows["known"].count(None)
    pictures = pictures_of(browser.send("GET", f"/api/views/{view['view']}/thumbs?from=0").body)
    assert len(pictures) == view["count"] and all(p.startswith(b"\xff\xd8\xff") for p in pictures)
    assert [s["count"] for s in view["sections"]] and sum(s["count"] for s in view["sections"]) == view["count"]
    assert view == browser.get(f"/api/views/{view['view']}")


def test_undo_and_redo_bring_back_what_was(browser: Browser) -> None:
    """One by one, then all at once over it, then undone and redone: each state is exactly that of before."""
    view, states = browser.view(), []
    for index, category in enumerate(("1", "2", "0")):
        states.append(shown(browser, view))
        browser.decide(view, index, category=category, add_flags=["victim"] if index else [])
    states.append(shown(browser, view))
    browser.decide_all(view, category="3", remove_flags=["victim"])
    states.append(shown(browser, view))
    assert {"3"} == {s[0] for s in states[-1]}
    for state in reversed(states[:-1]):
        turn(browser, "undo")
        assert state == shown(browser, view)
    turn(browser, "undo", 409)
    for state in states[1:]:
        turn(browser, "redo", view=view["view"])
        assert state == shown(browser, view)
    turn(browser, "redo", 409)


def test_undo_of_an_older_decision_keeps_the_younger(browser: Browser) -> None:
    """Undoing the first of two decisions on one content leaves the second; undoing that too leaves none."""
    view = browser.view()
    first = browser.decide(view, 0, category="1")["event"]
    second = browser.decide(view, 0, category="2")["event"]
    turn(browser, "undo", event=first)
    assert "2" == shown(browser, view)[0][0]
    turn(browser, "undo", event=first, expect=409)
    turn(browser, "undo", event=second)
    assert None is shown(browser, view)[0][0]
    turn(browser, "redo", event=first)
    assert "1" == shown(browser, view)[0][0]


def test_restart_changes_nothing(module_safelight: Command, case: Path) -> None:
    """After a restart everything stands as before, and what was done before it can be undone."""
    with Serving(module_safelight, case, "--user", "anna") as running:
        browser = running.browser()
        view = browser.view(order="path")
        browser.decide_all(view, category="2", add_tags=["boat"], note="all alike")
        browser.decide(view, 0, category="1")
        before = shown(browser, view)
    with Serving(module_safelight, case, "--user", "anna") as running:
        browser = running.browser()
        view = browser.view(order="path")
        assert before == shown(browser, view)
        assert view["count"] == browser.view(tag=["boat"])["count"]
        turn(browser, "undo")
        assert "2" == shown(browser, view)[0][0]
        turn(browser, "undo")
        assert {None} == {s[0] for s in shown(browser, view)}
        history = browser.get(f"/api/views/{view['view']}/items/0")["decisions"]
        assert [("2", True), ("1", True)] == [(h["category"], h["undone"]) for h in history]
    module_safelight("verify", case, expect=(0,))


def test_same_key_is_one_decision(browser: Browser) -> None:
    """The same request twice, from two tabs at once, is one event with one answer; the same key for another request is refused."""
    view, key = browser.view(), str(uuid.uuid4())
    answers: list[Any] = []
    tabs = [threading.Thread(target=lambda: answers.append(browser.decide(view, 0, key=key, category="1"))) for _ in range(8)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert 8 == len(answers) and all(a == answers[0] for a in answers)
    assert 1 == len(browser.get("/api/decisions/mine"))
    browser.decide(view, 0, 409, key=key, category="2")


def test_two_tabs_lose_nothing(browser: Browser) -> None:
    """Two tabs decide at the same time: every acknowledged decision is in the history once."""
    view, done = browser.view(stacked=False), list[int]()

    def tab(first: int) -> None:
        for index in range(first, view["count"], 2):
            done.append(browser.decide(view, index, category=str(index % 4))["event"])

    tabs = [threading.Thread(target=tab, args=(n,)) for n in range(2)]
    for t in tabs:
        t.start()
    for t in tabs:
        t.join()
    assert sorted(done) == sorted(m["event"] for m in browser.get("/api/decisions/mine?n=1000")) and len(set(done)) == view["count"]
    assert [str(i % 4) for i in range(view["count"])] == browser.rows(view)["category"]


def test_bulk_needs_a_fresh_confirmation(browser: Browser) -> None:
    """More than one tile without preview, or after something changed, is refused; the preview says what is decided already."""
    view = browser.view()
    browser.decide(view, {"indexes": [0, 1]}, 409, category="1")
    browser.decide(view, {"ranges": [[0, 3]]}, 409, category="1", confirm="guessed")
    asked = browser.post("/api/decisions/preview", {"view": view["view"], "target": {"all": True}})
    assert (view["contents"], view["count"], {}) == (asked["contents"], asked["tiles"], asked["decided"])
    browser.decide(view, 0, category="2")
    browser.decide(view, {"all": True}, 409, category="1", confirm=asked["confirm"])
    asked = browser.post("/api/decisions/preview", {"view": view["view"], "target": {"all": True}})
    assert {"2": browser.rows(view)["stack_size"][0]} == asked["decided"]
    assert view["contents"] == browser.decide(view, {"all": True}, category="1", confirm=asked["confirm"])["contents"]


def test_targets_beyond_the_view_are_refused(browser: Browser) -> None:
    """A target that means nothing, or more than there is, changes nothing."""
    view = browser.view()
    beyond: list[dict[str, Any]] = [{"index": -1}, {"index": 10**6}, {"index": 10**30}, {"ranges": [[0, 10**6]]}, {"ranges": [[3, 1]]}]
    for target in ({}, *beyond, {"index": 0, "all": True}, {"indexes": []}, {"folder_of": 10**6}):
        browser.decide(view, target, 400, category="1")
    assert [] == browser.get("/api/decisions/mine")


def test_batch_is_all_or_nothing(browser: Browser) -> None:
    """One refusal in a batch, and nothing of it is kept; then the log goes on as if it had never been."""
    view = browser.view(stacked=False)
    batch = [{"key": str(uuid.uuid4()), "view": view["view"], "target": {"index": i}, "set": {"category": c}} for i, c in enumerate("12x")]
    assert 400 == browser.send("POST", "/api/decisions/batch", batch).status
    assert [] == browser.get("/api/decisions/mine") and {None} == set(browser.rows(view)["category"])
    batch[2]["set"] = {"category": "0"}
    assert [1, 2, 3] == [a["event"] for a in browser.post("/api/decisions/batch", batch)]
    assert ["1", "2", "0"] == browser.rows(view)["category"][:3]


def test_votes_are_blind_and_final_by_number(module_safelight: Command, case: Path) -> None:
    """Two votes: the first is hidden from the second until given; agreement is final, disagreement a dispute that a supervisor settles."""
    with_votes(case, 2)
    with Serving(module_safelight, case, "--user", "anna") as one, Serving(module_safelight, case, "--user", "bert") as two:
        anna, bert = one.browser(), two.browser()
        view = anna.view(order="path")
        anna.decide(view, 0, category="1")
        anna.decide(view, 1, category="1")
        assert [("1", "1", "indicative", ())] * 2 == shown(anna, view)[:2]
        theirs = bert.view(order="path")
        assert [(None, None, "indicative", ())] * 2 == shown(bert, theirs)[:2]
        assert [] == bert.get(f"/api/views/{theirs['view']}/items/0")["decisions"]
        assert 0 == bert.view(category=["1"])["count"]
        bert.decide(theirs, 0, category="1")
        bert.decide(theirs, 1, category="2")
        assert [("1", "1", "final", ()), (None, "2", "disputed", ())] == shown(bert, theirs)[:2]
        assert 1 == anna.view(queue="disputes")["count"]
        found = module_safelight("find", case, "--category", "1", "--format", "jsonl").stdout.splitlines()
        assert ["final"] == sorted({json.loads(line)["decision"]["status"] for line in found})
        with Serving(module_safelight, case, "--user", "chief", "--role", "supervisor") as three:
            chief = three.browser()
            disputes = chief.view(queue="disputes")
            assert 2 == len(chief.get(f"/api/views/{disputes['view']}/items/0")["decisions"])
            chief.decide(disputes, 0, category="2")
            assert [("2", "2", "final", ())] == shown(chief, disputes)
            assert 0 == chief.view(queue="disputes")["count"]
    module_safelight("verify", case, expect=(0,))


def test_only_ones_own_vote_is_taken_back(module_safelight: Command, case: Path) -> None:
    """An undo names a decision of one's own."""
    with Serving(module_safelight, case, "--user", "anna") as one, Serving(module_safelight, case, "--user", "bert") as two:
        anna, bert = one.browser(), two.browser()
        event = anna.decide(anna.view(), 0, category="1")["event"]
        turn(bert, "undo", 403, event=event)
        turn(bert, "undo", 409)


def test_known_illegal_is_proposed_and_confirmed_in_bulk(browser: Browser) -> None:
    """Contents that an illegal set knows wait as proposals, and are confirmed together without a reveal."""
    view = browser.view(queue="proposals")
    assert {"proposed"} == set(browser.rows(view)["status"]) and view["count"] > 1
    browser.decide_all(view, category="1")
    assert 0 == browser.view(queue="proposals")["count"]
    assert 0 == browser.get("/api/exposure")["reveals"]


def test_accepting_what_no_set_proposes_is_refused(browser: Browser) -> None:
    """A list of digests states no category, so there is none to accept."""
    view = browser.view(queue="proposals")
    asked = browser.post("/api/decisions/preview", {"view": view["view"], "target": {"all": True}})
    browser.decide(view, {"all": True}, 400, confirm=asked["confirm"], accept_proposal=True)


def test_a_new_member_of_a_judged_stack_is_shown_as_that(browser: Browser) -> None:
    """After one of a stack is judged alone, the others are new members and nothing else is."""
    view = browser.view()
    sizes = browser.rows(view)["stack_size"]
    stacked = next(i for i, n in enumerate(sizes) if n > 1)
    browser.decide(view, {"index": stacked, "whole_stack": False}, category="1")
    left = browser.view(new_members=True, stacked=False)
    assert sizes[stacked] - 1 == left["contents"]
    assert all(browser.rows(left)["new_member"])
    browser.decide(view, stacked, category="1")
    assert 0 == browser.view(new_members=True)["count"]


def test_what_was_seen_stands_in_the_decision(browser: Browser, case: Path) -> None:
    """A decision stores the highest level that its user had seen of each content, and for how long."""
    from safelight.decisions.events import LEVELS, SEEN

    view = browser.view(known=["new"], stacked=False)
    browser.decide(view, 0, category="1")
    browser.send("GET", f"/api/views/{view['view']}/thumbs?from=0")
    browser.decide(view, 1, category="1")
    reveal = browser.post("/api/reveals", {"view": view["view"], "index": 2, "level": "small"})["reveal"]
    assert browser.send("GET", f"/api/reveals/{reveal}/picture").status == 200
    browser.post(f"/api/reveals/{reveal}/end", {"milliseconds": 1500})
    assert browser.send("GET", f"/api/reveals/{reveal}/picture").status == 404
    browser.decide(view, 2, category="1")
    unended = browser.post("/api/reveals", {"view": view["view"], "index": 3, "level": "drawing"})["reveal"]
    assert unended > reveal
    browser.decide(view, 3, category="1")
    with sqlite3.connect(case / "decisions.sqlite") as con:
        seen = [np.frombuffer(s, SEEN)[0] for (s,) in con.execute("select seen from events where what = 'decide' order by seq")]
    assert [("none", 0), ("protected", 0), ("small", 1500), ("drawing", 10_000)] == [(LEVELS[s["level"]], int(s["ms"])) for s in seen]
    today = browser.get("/api/exposure")
    assert (2, 11.5, 4) == (today["reveals"], today["seconds"], today["decided"])
    assert {"reveals": 500.0, "seconds": 2875.0} == today["per_1000"]
    browser.get("/api/exposure/sums", 403)


def test_supervisors_see_sums_without_names(module_safelight: Command, case: Path) -> None:
    """The sums of the team name nobody."""
    with (
        Serving(module_safelight, case, "--user", "anna") as one,
        Serving(module_safelight, case, "--user", "chief", "--role", "supervisor") as two,
    ):
        anna, chief = one.browser(), two.browser()
        anna.post("/api/reveals", {"view": anna.view(known=["new"])["view"], "index": 0, "level": "small"})
        chief.view()
        sums = chief.get("/api/exposure/sums")
        assert [1] == [s["reveals"] for s in sums] and "anna" not in json.dumps(sums)


def test_tampering_is_found(module_safelight: Command, case: Path) -> None:
    """Updates and deletes are refused by the file itself; what is changed past that, `verify` names, also a missing tail or file."""
    with Serving(module_safelight, case, "--user", "anna") as running:
        browser = running.browser()
        view = browser.view()
        for index in range(3):
            browser.decide(view, index, category="1")
    path = case / "decisions.sqlite"
    con = sqlite3.connect(path, isolation_level=None)
    for attack in ("update events set user = 'bert'", "delete from events", "delete from entries", "update answers set answer = ''"):
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            con.execute(attack)
    for name in ("events_update", "events_delete", "entries_delete"):
        con.execute(f"drop trigger {name}")
    con.execute("begin")
    con.execute("update events set body = replace(body, '\"1\"', '\"2\"') where seq = 2")
    con.execute("commit")
    assert b"changed: decisions.sqlite: event 2" in module_safelight("verify", case, expect=(4,)).stdout
    con.execute("delete from events where seq >= 2")
    con.execute("delete from entries where seq >= 2")
    assert b"missing: decisions.sqlite: 3 events are known, 1 are there" in module_safelight("verify", case, expect=(4,)).stdout
    con.close()
    refused = module_safelight("serve", case, expect=(3,))
    assert b"not the one that the ledger knows" in refused.stderr
    for left in case.glob("decisions.sqlite*"):
        left.unlink()
    assert b"missing: decisions.sqlite" in module_safelight("verify", case, expect=(4,)).stdout


def test_every_look_is_a_row(browser: Browser, case: Path) -> None:
    """Each view with its filter, each item and each page of problems stands in the ledger, with who looked."""
    view = browser.view(exhibit=["A"], text="DCIM")
    browser.get(f"/api/views/{view['view']}/items/0")
    browser.get("/api/problems")
    rows = [json.loads(line) for line in (case / "ledger.jsonl").read_text().splitlines()]
    looks = [r for r in rows if r["what"] == "consult" and r["command"] == "safelight serve"]
    assert ["review view", "review item", "problems"] == [r["shows"] for r in looks]
    assert "pictures and films; exhibit: A; text: DCIM" == looks[0]["filter"]
    assert {"anna"} == {r["reviewer"] for r in looks} == {r["who"] for r in looks}


def test_a_failed_commit_before_the_first_decision_leaves_a_whole_state(case: Path) -> None:
    """Nothing is decided yet, contents have numbers, and the disk is full: the state that is read again has room for all of them."""
    from safelight.case import Case
    from safelight.decisions.log import Log, NotSaved
    from safelight.decisions.policy import policy_of

    log = Log(case, policy_of(Case(case)))
    numbers = log.number(np.arange(32 * 20, dtype=np.uint16).astype(np.uint8).reshape(20, 32))

    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(NotSaved):
        log.submit(full)
    assert [0] * 20 == log.standing.standing[numbers].tolist() == log.standing.given[numbers].tolist()
    log.close()
