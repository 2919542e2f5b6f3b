"""How a case decides: its category scheme, its flags, and how many people must agree before a category is final.

Both stand in `case.toml` from the beginning (`[policies]`): a scheme that a unit changes later does not change what was decided. Schemes
come with the program (`match/schemes.toml`) or lie as `NAME.toml` in the folder `schemes/` of the library, in the same form.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from safelight.case import Case
from safelight.errors import Refused, Usage
from safelight.match.library import default_path
from safelight.match.schemes import KINDS, schemes

DEFAULT_SCHEME = "vics-us"
MOST_VOTES = 3
FLAGS = {"victim": "victim identified", "offender": "offender identified", "distributed": "distributed", "series": "part of a series"}
"""The first three are members of VICS records."""

COLOURS = {
    "illegal": "red",
    "exploitive_other": "orange",
    "comparison": "blue",
    "not_relevant": "green",
    "uncategorised": "grey",
    "unknown": "violet",
    "known": "green",
}
_KEYS = "1234567890"


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """One category: `rank` 1 is the most severe, `key` the digit that sets it, `colour` a name that the page has a shade for."""

    code: str
    label: str
    rank: int
    kind: str
    key: str | None = None
    colour: str = "grey"


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """The scheme of a case."""

    name: str
    title: str
    categories: tuple[Category, ...]

    def category(self, code: str) -> Category | None:
        return next((c for c in self.categories if c.code == code), None)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a case decides by. `votes`: so many people of one mind make a category final."""

    scheme: Scheme
    votes: int = 1

    def as_settings(self) -> dict[str, Any]:
        """Return what stands in case.toml."""
        categories = [{k: v for k, v in msgspec.to_builtins(c).items() if v is not None} for c in self.scheme.categories]
        return {"votes": self.votes, "scheme": {"name": self.scheme.name, "title": self.scheme.title, "categories": categories}}


def policy_of(case: Case) -> Policy:
    """Return the policy of a case; one made before there were policies has one vote and the default scheme."""
    stated = case.settings.get("policies")
    if stated is None:
        return Policy(scheme=find_scheme(DEFAULT_SCHEME, None))
    try:
        votes, table = int(stated.get("votes", 1)), dict(stated["scheme"])
        return Policy(scheme=_checked(str(table["name"]), table), votes=_votes(votes))
    except (KeyError, TypeError, ValueError, Usage) as e:
        raise Refused(f"{case.folder / 'case.toml'}: the policies cannot be used ({e}). Nothing was changed.") from None


def new_policy(scheme: str, votes: int, library: str | None) -> Policy:
    """Return the policy that a new case gets; raise `Usage` for an unknown or empty scheme."""
    return Policy(scheme=find_scheme(scheme, library), votes=_votes(votes))


def _votes(votes: int) -> int:
    if not 1 <= votes <= MOST_VOTES:
        raise Usage(f"votes: 1 to {MOST_VOTES}, not {votes}")
    return votes


def find_scheme(name: str, library: str | None) -> Scheme:
    """Return a scheme of the unit, else of the program."""
    own = _own_folder(library) / f"{name}.toml"
    if re.fullmatch(r"[\w.-]+", name) and own.is_file():
        try:
            return _checked(name, tomllib.loads(own.read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise Usage(f"{own} is no category scheme: {e}. docs/methods/decisions.md shows one.") from None
    known = schemes().get(name)
    if known is None or not known.categories:
        there = sorted({n for n, s in schemes().items() if s.categories} | set(_own_names(library)))
        raise Usage(f"no category scheme {name!r} with categories (there are: {', '.join(there)})")
    return _checked(name, {"title": known.title, "categories": [msgspec.to_builtins(c) for c in known.categories]})


def _own_folder(library: str | None) -> Path:
    stated = os.environ.get("SAFELIGHT_SCHEMES")
    return Path(stated) if stated else default_path(library) / "schemes"


def _own_names(library: str | None) -> list[str]:
    return [p.stem for p in _own_folder(library).glob("*.toml")]


def _checked(name: str, table: dict[str, Any]) -> Scheme:
    """Return a scheme from its table, with a key and a colour for each category. Raise `ValueError` or `KeyError` where it is none."""
    listed = table["categories"]
    if not listed or len(listed) > 250:
        raise ValueError("1 to 250 categories")
    codes = [str(c["code"]) for c in listed]
    if len(set(codes)) != len(codes) or any(not re.fullmatch(r"[\w.+-]{1,40}", c) or c == "none" for c in codes):
        raise ValueError("codes: different from one another, letters, digits and . + - _ only, up to 40")
    found, taken = [], {str(c["key"]) for c in listed if c.get("key")}
    for number, c in enumerate(listed):
        kind, code = str(c["kind"]), codes[number]
        if kind not in KINDS:
            raise ValueError(f"category {code}: kind {kind!r} is none of {', '.join(KINDS)}")
        key = str(c["key"]) if c.get("key") else _key(code, taken, [x for x in codes if len(x) == 1 and x.isdigit()])
        taken.add(key or "")
        colour = str(c.get("colour") or COLOURS[kind])
        found.append(Category(code=code, label=str(c["label"])[:200], rank=int(c["rank"]), kind=kind, key=key or None, colour=colour))
    return Scheme(name=name, title=str(table.get("title", name))[:200], categories=tuple(found))


def _key(code: str, taken: set[str], digits: list[str]) -> str:
    """Return the digit of a code that is one, else the next digit that is free; empty where there is none."""
    if code in digits and code not in taken:
        return code
    return next((k for k in _KEYS if k not in taken and k not in digits), "")
