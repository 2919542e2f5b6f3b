"""`safelight why`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from safelight.cli.words import command_line, size, table
from safelight.escape import printable

RULE = "within the PDQ distance of the representative, as it is, not turned; the nearest one where there are several"
ALONE = "alone: no PDQ hash, or one of too low quality to say anything"


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("name", metavar="ITEM-OR-DIGEST")
@click.option("--purpose", default="", help="Why; stands in the ledger.")
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(case: Path, name: str, purpose: str, library: str | None, form: str) -> None:
    """Print all that is known of an item or a content: every place, every match with its entry and distance, its stack and why,
    the pictures that share a part with it, its problems. ITEM-OR-DIGEST is an item id, an MD5, SHA-1 or SHA-256, or 8 or more of the first digits."""
    from safelight.access import Gate
    from safelight.case import Case

    gate = Gate(Case(case), purpose, library=library)
    found = gate.items(name)
    gate.log("consult", command_line(), shows="why", items=[bytes(r["item_id"]).hex() for r in found[:1000]], count=len(found))
    facts = explain(gate, found)
    if form == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(facts)))
    else:
        for content in facts["contents"]:
            _print(content)


def explain(gate: Any, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is known of the contents (and content-less items) among these items."""
    from safelight.cli.query import objects

    contents, seen = [], set()
    for row in found:
        key = row["sha256"] or row["item_id"]
        if key in seen:
            continue
        seen.add(key)
        where = "i.sha256 = $key" if row["sha256"] else "i.item_id = $key"
        places = list(objects(gate, where, {"key": bytes(key)}))
        problems = gate.rows(
            f"select p.kind, p.reason, p.step, p.origin from problems p join visible i using (item_id) where {where} order by p.origin, p.number",
            {"key": bytes(key)},
        )
        contents.append(
            {"places": places, "problems": problems, "stack": _stack(gate, row["sha256"]), "alike": _alike(gate, row["sha256"])}
        )
    return {"contents": contents}


def _stack(gate: Any, sha256: bytes | None) -> dict[str, Any] | None:
    from safelight.records import TRANSFORMS

    if sha256 is None:
        return None

    own = gate.rows("select stack, distance, size, rank, pdq from stacks where sha256 = $s", {"s": bytes(sha256)})
    if not own:
        return None
    members = gate.rows(
        "select sha256, distance, rank from stacks where stack = $s and sha256 in (select sha256 from visible) order by rank limit 200",
        {"s": bytes(own[0]["stack"])},
    )
    return {
        "representative": bytes(own[0]["stack"]).hex(),
        "distance": own[0]["distance"],
        "size": own[0]["size"],
        "rank": own[0]["rank"],
        "transform": TRANSFORMS[0],
        "rule": RULE if own[0]["pdq"] is not None else ALONE,
        "members": [{"sha256": bytes(m["sha256"]).hex(), "distance": m["distance"], "rank": m["rank"]} for m in members],
    }


def _alike(gate: Any, sha256: bytes | None) -> list[dict[str, Any]]:
    """Return the links of a content with others that may be seen, the strongest first, as they look from this content."""
    if sha256 is None:
        return []
    rows = gate.rows(
        """
        select * from alike where (a = $s and b in (select sha256 from visible)) or (b = $s and a in (select sha256 from visible))
        order by relation = 'frame', method desc, inliers desc, distance, a, b limit 200
        """,
        {"s": bytes(sha256)},
    )
    return [_link(row, bytes(row["a"]) == bytes(sha256)) for row in rows]


def _link(row: dict[str, Any], is_a: bool) -> dict[str, Any]:
    own, other = ("a", "b") if is_a else ("b", "a")
    relation = {f"{own}-in-{other}": "part of", f"{other}-in-{own}": "contains", "part": "shares a part", "frame": "same frame"}
    return {
        "sha256": bytes(row[other]).hex(),
        "relation": relation.get(row["relation"], "same picture"),
        "method": row["method"],
        "mirrored": row["mirrored"],
        **{name: row[name] for name in ("inliers", "seen", "covered", "distance")},
        "area": row[f"area_{own}"],
        "area_other": row[f"area_{other}"],
        "box": row[f"box_{own}"],
        "box_other": row[f"box_{other}"],
        "map": {"from": row["a"].hex(), "numbers": row["map"]} if row["map"] else None,
    }


ALIKE_RULE = "a lead below matches and stacks: look at both"


def _print_alike(links: list[dict[str, Any]]) -> None:
    click.echo(f"\nalike ({len(links)}; {ALIKE_RULE})")
    rows = []
    for link in links:
        if link["method"] == "panel":
            evidence = f"PDQ of a rectangle, {link['distance']} bits"
        else:
            evidence = f"{link['inliers']} of {link['seen']} corners agree, in {link['covered']:.0%} of the common part"
            evidence += "; brought together by the model" if link["method"] == "descriptor" else ""
        how = link["relation"] + (", mirrored" if link["mirrored"] else "")
        rows.append((how, link["sha256"], evidence, f"{link['area']:.0%}", link["box"], link["box_other"]))
    table(("relation", "other", "evidence", "area", "here", "there"), rows)


def _print(content: dict[str, Any]) -> None:
    first = content["places"][0]
    if first["sha256"]:
        click.echo(f"content {first['sha256']}")
        click.echo(f"  {first['media_type']} ({first['kind']}), {size(first['size'])}; MD5 {first['md5']}, SHA-1 {first['sha1']}")
        if first["pdq"]:
            click.echo(f"  {first['width']} × {first['height']}; PDQ {first['pdq']}, quality {first['pdq_quality']}")
        if first["exif"]:
            said = ", ".join(f"{k} {printable(str(v))}" for k, v in first["exif"].items() if v is not None)
            click.echo(f"  EXIF: {said}")
    else:
        click.echo(f"item {first['item_id']} (no content)")
    click.echo(f"\nplaces ({len(content['places'])})")
    table(
        ("item", "exhibit", "state", "changed", "path", "origin"),
        [(p["item_id"], p["exhibit"], p["state"], p["mtime"], p["path"], p["origin"]) for p in content["places"]],
    )
    matches = first["matches"]
    click.echo(
        f"\nmatches ({len(matches)})" + ("" if matches else ": in no hash set, by no method; that is not proof that no list knows it")
    )
    if matches:
        headers = ("set", "version", "as", "method", "distance", "transform", "form", "entry", "category")
        table((*headers, "box"), [[m[h] for h in headers] + [m["box"] or ""] for m in matches])
        for m in matches:
            if m["deconfirmed"] is not None:
                click.echo(
                    f"  deconfirmed: entry {m['entry']} of {m['set']}: {printable(m['deconfirmed'])} ({printable(m['deconfirmed_by'])})"
                )
            if m["flood"] is not None:
                click.echo(f"  quarantined: entry {m['entry']} of {m['set']} hits {m['flood']} contents of this case by look")
    stack = content["stack"]
    if stack and stack["size"] > 1:
        click.echo(
            f"\nstack of {stack['size']}: {stack['distance']} bits from {stack['representative']} ({stack['rule']}), shown as number {stack['rank']}"
        )
        table(("member", "distance", "shown as number"), [(m["sha256"], m["distance"], m["rank"]) for m in stack["members"]])
    if content["alike"]:
        _print_alike(content["alike"])
    if decision := first["decision"]:
        words = [
            f"category {decision['category']}" if decision["category"] else "",
            decision["status"],
            *decision["flags"],
            *decision["tags"],
        ]
        click.echo(f"\ndecided {decision['at']}: {', '.join(w for w in words if w)}")
        if decision["note"]:
            click.echo(f"  {printable(decision['note'])}")
    if content["problems"]:
        click.echo(f"\nproblems ({len(content['problems'])})")
        table(("kind", "step", "reason", "origin"), [(p["kind"], p["step"], p["reason"], p["origin"]) for p in content["problems"]])
    click.echo("")
