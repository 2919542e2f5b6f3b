"""`safelight status`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from safelight.cli.words import command_line, size, table


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--exhibit", help="Only this exhibit.")
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(case: Path, exhibit: str | None, library: str | None, form: str) -> None:
    """Print what was not read and why, the accounts of each volume, then what is known and what is new."""
    from safelight.access import Gate
    from safelight.case import Case

    gate = Gate(Case(case), library=library)
    facts = status(gate, exhibit, library)
    gate.log("consult", command_line(), shows="status")
    if form == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(facts)))
    else:
        _print(facts)


def status(gate: Any, exhibit: str | None, library: str | None) -> dict[str, Any]:
    """Return the figures of the case with the steps that are done and what each hash set can match."""
    from safelight.cli.summary import summarise
    from safelight.match.step import matchable

    facts = summarise(gate, exhibit)
    labels = sorted({e.label for e in gate.case.exhibits()})
    entries = list(gate.case.ledger.entries())
    can, cannot = matchable(library)
    return {
        "case": {"id": gate.case.id, "title": gate.case.settings["title"], "path": str(gate.case.folder)},
        **facts,
        "exhibits": {label: _brief(summarise(gate, label)) for label in labels} if exhibit is None else {},
        "decisions": gate.with_decisions().counts(),
        "matchable": can,
        "not_matchable": cannot,
        "sets": sets_used(gate),
        "sandbox": all(e["settings"]["walls"] for e in entries if e["what"] == "run"),
        "steps": _steps(gate.case, entries),
    }


def sets_used(gate: Any) -> list[dict[str, Any]]:
    """Return what each set gave: contents by method."""
    return list(
        gate.rows(
            """select "set", version, "as", method, count(distinct sha256) contents, count(*) matches
            from matches where sha256 in (select sha256 from visible) group by all order by all"""
        )
    )


def _brief(s: dict[str, Any]) -> dict[str, Any]:
    return {"totals": s["totals"], "known": s["known"], "problems": s["problems"]}


def _steps(case: Any, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return per source what is done: listed, shards extracted, complete."""
    done = []
    for e in case.exhibits():
        own = [x for x in entries if x.get("exhibit") == e.key]
        listed = [x for x in own if x["what"] == "list"]
        shards = {(x["step"], x["shard"]) for x in own if x["what"] == "shard"}
        complete = sorted({x["step"] for x in own if x["what"] == "compact"})
        total = listed[-1]["shards"] if listed else None
        done.append(
            {"source": e.key, "form": e.form, "listed": bool(listed), "shards": total, "shards_done": len(shards), "complete": complete}
        )
    return done


def _print(f: dict[str, Any]) -> None:
    t = f["totals"]
    click.echo(f"{f['case']['title']} ({f['case']['path']})")
    if not f["sandbox"]:
        click.secho("Evidence was parsed WITHOUT the sandbox.", bold=True)
    open_steps = [s for s in f["steps"] if not s["complete"]]
    for s in open_steps:
        click.echo(f"  {s['source']}: not finished ({s['shards_done']} of {s['shards'] or '?'} shards); `safelight run` goes on")
    click.echo(f"\nNot read ({sum(f['problems'].values())} problems; {t['unread']} items with content that could not be read)")
    if f["problems"]:
        from safelight.problems import KINDS

        table(("kind", "count", "what it means"), [(k, n, KINDS[k]) for k, n in f["problems"].items()])
    click.echo("\nAccounts of the volumes")
    headers = ("volume", "file system", "size", "walk", "table", "deleted", "orphans", "allocated", "covered", "readers")
    table(
        headers,
        [
            (
                f"{v['exhibit']}: {v['volume']}",
                v["filesystem"] or "none",
                size(v["size"]),
                v["entries_walk"],
                v["entries_table"],
                v["deleted"],
            )
            + (v["orphans"], size(v["bytes_allocated"]), size(v["bytes_covered"]), v["readers"])
            for v in f["volumes"]
        ],
    )
    click.echo(f"\nIn it: {t['items']} items ({t['deleted']} deleted, {t['members']} inside others), {size(t['bytes'])} of content")
    table(("kind", "contents"), f["kinds"].items())
    click.echo(f"\nKnown and new: {t['contents']} contents, {t['pictures']} pictures in {t['stacks']} stacks")
    table(("", "contents"), [*((f"known: {k}", n) for k, n in f["known"].items()), ("new", t["new"]), ("new pictures", t["new_pictures"])])
    decided = f["decisions"]
    if decided["status"]:
        said = ", ".join(f"{n} {name}" for name, n in decided["status"].items())
        click.echo(f"\nDecided, scheme {decided['scheme']}, {decided['votes']} vote(s) make final: {said}")
        table(("category", "final"), decided["categories"].items())
    if f["sets"]:
        table(("set", "version", "as", "method", "contents", "matches"), [list(s.values()) for s in f["sets"]])
    for flood in f["floods"]:
        click.echo(
            f"  quarantined: entry {flood['entry']} of {flood['set']} {flood['version']} ({flood['as']}) hits {flood['contents']} contents by look; "
            "see find --known quarantined"
        )
    if f["deconfirmed"]:
        said = ", ".join(f"{n} of {name}" for name, n in f["deconfirmed"].items())
        click.echo(f"  deconfirmed matches, kept and not counted: {said}; see find --known deconfirmed, and why")
    if any(f["low_information"].values()):
        click.echo("  pictures whose hash says little: " + ", ".join(f"{n} {what}" for what, n in f["low_information"].items() if n))
    if f["matchable"]:
        click.echo("\nWhat the hash sets can match (entries)")
        names = sorted({m for s in f["matchable"].values() for m in s})
        opaque = {name: ", ".join(f"{n} {kind}" for kind, n in kinds.items()) for name, kinds in f["not_matchable"].items()}
        rows = [(name, *(s.get(m, 0) for m in names), opaque.get(name, "")) for name, s in f["matchable"].items()]
        table(("set", *names, "not matchable here"), rows)
