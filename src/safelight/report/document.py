"""The printed report of a case: facts in, one self-contained HTML file out.

The file has no script and names nothing outside itself; its policy forbids both to the browser. Lists have limits, each stated where it
cuts, so memory does not grow with the case. The document is written under a temporary name, entered in the ledger as a disclosure
with its SHA-256, and only then gets its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from safelight import __version__
from safelight.access import Gate
from safelight.case import Case, Exhibit
from safelight.durable import Digesting, write_logged
from safelight.errors import Refused, Usage
from safelight.ledger import who
from safelight.match.library import Library
from safelight.report import custody, decided, matched, stacked, unread, view, wording
from safelight.report.history import History


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: one exhibit or all, protected pictures or none and how many, the library of hash sets."""

    exhibit: str | None = None
    pictures: bool = False
    limit_pictures: int = 200
    library: str | None = None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The finished file: SHA-256 in hex, size in bytes, protected pictures in it, pictures refused because their pack has changed."""

    sha256: str
    size: int
    pictures: int
    refused: int


def open_checked(case: Case, purpose: str, library: str | None = None) -> tuple[Gate, custody.Checked]:
    """Check ledger and facts, then open the gate. Raise `LedgerError` or `NotVerified` where they are not what they were."""
    import duckdb

    checked = custody.check(case)
    try:
        return Gate(case, purpose, library=library), checked
    except duckdb.IOException as e:
        raise Refused(_GONE.format(e)) from None


def gather(gate: Gate, checked: custody.Checked, wish: Wish) -> dict[str, Any]:
    """Return all that the report says, within the scope of each exhibit. Raise `Usage` for an exhibit that is not there."""
    import duckdb

    chosen = _chosen(gate, wish.exhibit)
    past, sets = History(gate.case, wish.exhibit), Library(wish.library).list()
    try:
        return {
            "case": {"id": gate.case.id, "title": str(gate.case.settings["title"]), "created": str(gate.case.settings["created"])},
            "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "who": who(),
            "purpose": gate.purpose,
            "safelight": __version__,
            "exhibit": wish.exhibit,
            "checked": checked,
            "past": past,
            "exhibits": custody.exhibits(chosen, past),
            **_facts(gate, wish, chosen, past, sets, checked.packs),
        }
    except duckdb.IOException as e:
        raise Refused(_GONE.format(e)) from None


_GONE = "facts went away while they were read ({}): a run goes on. No report was written; try again."


def _chosen(gate: Gate, label: str | None) -> list[Exhibit]:
    sources = gate.case.exhibits()
    if label is None:
        return sources
    chosen = [e for e in sources if e.label == label]
    if not chosen:
        known = ", ".join(sorted({e.label for e in sources})) or "none"
        raise Usage(f"no exhibit {label!r} in this case (there are: {known}). No report was written.")
    return chosen


def _facts(gate: Gate, wish: Wish, chosen: list[Exhibit], past: History, sets: Any, packs: dict[Path, str]) -> dict[str, Any]:
    view.prepare(gate, wish.exhibit)
    stacks = stacked.summary(gate)
    problems = unread.problems(gate, wish.exhibit)
    return {
        "totals": view.totals(gate),
        "counts": view.counts(gate),
        "hidden": view.out_of_scope(gate, wish.exhibit),
        "problems": problems,
        "problems_in_all": sum(p["n"] for p in problems),
        "unread": unread.unread_by_exhibit(gate),
        "unfinished": unread.unfinished(gate, chosen, past, sets),
        "volumes": unread.volumes(gate, wish.exhibit),
        "sets": matched.hash_sets(gate, past, sets),
        "illegal": matched.illegal(gate),
        "floods": view.floods(gate),
        "deconfirmed": view.deconfirmed(gate),
        "stacks": stacks,
        "decided": decided.decided(gate),
        "galleries": stacked.galleries(gate, wish.limit_pictures, packs) if wish.pictures else [],
        "distances": sorted({int(m["distance"]) for m in past.matched.values()}),
        "gates": sorted({int(m["quality_gate"]) for m in past.matched.values()}),
    }


def environment() -> jinja2.Environment:
    """Return the template engine: it escapes everything, and knows the words of the report."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=wording.shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "size", "exact", "instant", "stamp", "cut", "hexed", "category", "css_string"):
        made.filters[name] = getattr(wording, name)
    made.globals.update({name: getattr(wording, name) for name in dir(wording) if name.isupper()})
    made.globals.update(count=wording.count, css=_stylesheet)
    return made


def _template(name: str) -> str:
    return files("safelight.report").joinpath(name).read_text("utf-8")


def _stylesheet() -> Markup:
    """Return our own stylesheet, the only markup that is not escaped."""
    return Markup(_template("report.css"))


def render(facts: dict[str, Any]) -> Iterable[str]:
    """Yield the document in pieces."""
    return environment().get_template("report.html").generate(**facts)


def write(facts: dict[str, Any], target: Path, replace: bool, log: Callable[[Made], None]) -> Made:
    """Write the document to `target`; call `log` when it is whole and durable and before it has its name. Raise `Usage` where there is
    a file already and `replace` is false."""
    _refuse_existing(target, replace)

    def fill(out: Digesting) -> None:
        for piece in render(facts):
            out.write(piece.encode())

    def finish(_: None, out: Digesting) -> Made:
        shown = sum(len(g.pictures) for g in facts["galleries"])
        made = Made(sha256=out.sha256, size=out.size, pictures=shown, refused=sum(g.refused for g in facts["galleries"]))
        _refuse_existing(target, replace)
        log(made)
        return made

    return write_logged(target, fill, finish)


def _refuse_existing(target: Path, replace: bool) -> None:
    if target.is_dir():
        raise Usage(f"{target} is a folder; name a file with --output. No report was written.")
    if not replace and (target.exists() or target.is_symlink()):
        raise Usage(f"{target} exists already and was left as it is. Give --force to replace it, or another name with --output.")
