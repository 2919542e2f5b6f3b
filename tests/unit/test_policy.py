"""Schemes and votes belong to a case from its beginning; a unit may add a scheme of its own, and a bad one is refused with words."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from command import Command
from safelight.case import Case
from safelight.decisions.policy import COLOURS, find_scheme, policy_of
from safelight.errors import Refused, Usage
from safelight.match.schemes import KINDS, schemes

OWN = """
title = "An agency's own scheme"
categories = [
  { code = "1", label = "Illegal", kind = "illegal", rank = 1 },
  { code = "x", label = "To be discussed", kind = "exploitive_other", rank = 2, key = "d", colour = "orange" },
  { code = "0", label = "Nothing of interest", kind = "not_relevant", rank = 9 },
]
"""


def test_a_case_keeps_its_scheme(safelight: Command, tmp_path: Path) -> None:
    """The scheme is copied into the case: what the unit changes later does not touch it."""
    (tmp_path / "schemes").mkdir()
    own = tmp_path / "schemes" / "agency.toml"
    own.write_text(OWN)
    safelight("new", safelight.case, "--scheme", "agency", "--votes", 2, SAFELIGHT_SCHEMES=str(own.parent))
    own.write_text(OWN.replace("Illegal", "Changed"))
    policy = policy_of(Case(safelight.case))
    assert (2, "agency") == (policy.votes, policy.scheme.name)
    assert [("1", "Illegal", "1"), ("x", "To be discussed", "d"), ("0", "Nothing of interest", "0")] == [
        (c.code, c.label, c.key) for c in policy.scheme.categories
    ]
    stated = tomllib.loads((safelight.case / "case.toml").read_text())["policies"]
    assert stated == policy.as_settings()


def test_an_older_case_has_one_vote(safelight: Command) -> None:
    """A case without policies decides by the default scheme."""
    safelight("new", safelight.case)
    text = (safelight.case / "case.toml").read_text()
    (safelight.case / "case.toml").write_text(text.split("[policies]")[0])
    policy = policy_of(Case(safelight.case))
    assert (1, "vics-us") == (policy.votes, policy.scheme.name)


@pytest.mark.parametrize("name", [n for n, s in schemes().items() if s.categories])
def test_schemes_of_the_program_can_be_used(name: str) -> None:
    """Each has keys that differ, and a colour for each category."""
    scheme = find_scheme(name, None)
    keys = [c.key for c in scheme.categories if c.key]
    assert len(set(keys)) == len(keys) == min(len(scheme.categories), 10)
    assert {c.colour for c in scheme.categories} <= set(COLOURS.values()) and set(COLOURS) == set(KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "title = 'none'",
        OWN.replace('kind = "illegal"', 'kind = "wrong"'),
        OWN.replace('"0", label', '"1", label'),
        OWN.replace('code = "1"', 'code = "<b>"'),
        OWN.replace("rank = 1", "rank = 'first'"),
        OWN.replace('code = "1"', 'code = "none"'),
        "categories = []",
        "not toml",
    ],
)
def test_bad_schemes_are_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no scheme is wrong use, with the reason, and no case is made from it."""
    monkeypatch.setenv("SAFELIGHT_SCHEMES", str(tmp_path))
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(Usage, match=r"is no category scheme"):
        find_scheme("bad", None)


@pytest.mark.parametrize("name", ["vics-uk", "nowhere", "../vics-us", ""])
def test_unknown_and_empty_schemes_are_refused(name: str) -> None:
    """The message names the schemes that there are."""
    with pytest.raises(Usage, match="vics-us"):
        find_scheme(name, None)


@pytest.mark.parametrize("policies", [{"votes": 9, "scheme": {}}, {"votes": 1}, {"votes": "x", "scheme": {"name": "a", "categories": []}}])
def test_damaged_policies_stop_the_case(safelight: Command, policies: dict[str, Any]) -> None:
    """A case whose policies make no sense is not decided in."""
    safelight("new", safelight.case)
    case = Case(safelight.case)
    case.settings["policies"] = policies
    with pytest.raises(Refused, match="policies"):
        policy_of(case)
