"""Category schemes and header words, read once from the TOML files beside this module.

A category is a pair (scheme, code). Codes of two schemes are never compared; `rank` orders by severity inside one scheme.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

KINDS = ("illegal", "exploitive_other", "comparison", "not_relevant", "uncategorised", "unknown", "known")


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """One category of a scheme; `rank` 1 is the most severe."""

    code: str
    label: str
    kind: str
    rank: int


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """One category scheme. `as_` is set where the scheme can only mean one thing (nist-caid: known)."""

    name: str
    title: str
    source: str
    categories: tuple[Category, ...] = ()
    regions: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    as_: str | None = None

    def category(self, code: str) -> Category | None:
        """Return the category of a code; None where the scheme does not know it."""
        return next((c for c in self.categories if c.code == code), None)


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads(files("safelight.match").joinpath(name).read_text("utf-8"))


@cache
def schemes() -> dict[str, Scheme]:
    """Return all schemes by name."""
    found = {}
    for name, table in _load("schemes.toml").items():
        entries = tuple(Category(**c) for c in table["categories"])
        if any(c.kind not in KINDS for c in entries):
            raise ValueError(f"scheme {name}: unknown kind")
        found[name] = Scheme(
            name=name,
            title=table["title"],
            source=table["source"],
            categories=entries,
            regions=tuple(table.get("regions", ())),
            versions=tuple(table.get("versions", ())),
            as_=table.get("as"),
        )
    return found


def scheme_of(version: str | None, region: str | None) -> str | None:
    """Return the scheme that a VICS file of this version and region uses; None where the user must choose."""
    for scheme in schemes().values():
        if (region is not None and region in scheme.regions) or (region is None and version in scheme.versions):
            return scheme.name
    return None


def is_uncategorised(scheme: str | None, code: str | None) -> bool:
    """Say whether a category is no verdict at all: absent, null, or a code that the scheme calls uncategorised."""
    if code is None:
        return True
    known = schemes().get(scheme or "")
    category = known.category(code) if known else None
    return category is not None and category.kind == "uncategorised"


def severity(scheme: str | None, code: str | None) -> tuple[int, str]:
    """Return a sort key, most severe first; codes that the scheme does not know come after those it does."""
    known = schemes().get(scheme or "")
    category = known.category(code) if known and code is not None else None
    return (category.rank if category else 1000, code or "")


@cache
def header_words() -> dict[str, str]:
    """Return header word to field; flags are `flag:NAME`."""
    table = _load("headers.toml")
    words = {word: field for field, listed in table["fields"].items() for word in listed}
    words.update({word: f"flag:{name}" for name, listed in table["flags"].items() for word in listed})
    return words
