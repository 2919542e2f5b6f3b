"""`safelight find`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from safelight.cli.words import command_line, size, table, write_csv


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--exhibit", help="Label of the exhibit.")
@click.option("--kind", multiple=True, help="image video audio document archive database message program text other (may be repeated).")
@click.option("--media-type", help="E.g. image/jpeg.")
@click.option("--deleted", is_flag=True, help="Deleted, orphan and overwritten only.")
@click.option("--live", is_flag=True, help="Live only.")
@click.option("--state", help="live deleted orphan overwritten carved embedded.")
@click.option("--path", "paths", multiple=True, help="Glob over the path, e.g. '*/Downloads/*' (may be repeated: any of them).")
@click.option("--known", multiple=True, help="illegal irrelevant other known, new (in no set), quarantined, deconfirmed.")
@click.option("--set", "hash_set", help="Matched by this hash set.")
@click.option("--category", multiple=True, help="Decided so; none: not decided (may be repeated).")
@click.option("--status", type=click.Choice(["undecided", "indicative", "final", "disputed"]), help="How far it is decided.")
@click.option("--problem", help="With a problem of this kind; 'any' for every kind.")
@click.option("--digest", help="MD5, SHA-1 or SHA-256 of the content.")
@click.option("--alike", metavar="ITEM-OR-DIGEST", help="Sharing a part with this picture (after run --features); it comes too.")
@click.option("--min-size", type=int, help="Bytes.")
@click.option("--max-size", type=int, help="Bytes.")
@click.option("--since", help="Changed on this day (YYYY-MM-DD) or later.")
@click.option("--until", help="Changed on this day or before.")
@click.option("--limit", type=click.IntRange(1), help="At most so many rows.")
@click.option("--purpose", default="", help="Why; stands in the ledger.")
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
@click.option("--format", "form", type=click.Choice(["table", "csv", "jsonl"]), default="table", show_default=True)
def command(case: Path, form: str, limit: int | None, purpose: str, library: str | None, **filters: Any) -> None:
    """Print the items of CASE that fit all filters; without filters, every item of every kind.

    \b
      safelight find operation.case --kind image --deleted --path '*/Downloads/*'
      safelight find operation.case --known illegal --format jsonl
    """
    from safelight.access import Gate
    from safelight.case import Case
    from safelight.cli.query import objects

    gate = Gate(Case(case), purpose, library=library)
    if filters.get("alike"):
        filters["alike"] = sorted({bytes(r["sha256"]) for r in gate.items(filters["alike"]) if r["sha256"]})
    where, names = condition(filters)
    gate.log("consult", command_line(), shows="items", filter=where)
    found = objects(gate, where, names, limit)
    if form == "jsonl":
        import msgspec

        encoder, out = msgspec.json.Encoder(), sys.stdout.buffer
        for item in found:
            out.write(encoder.encode(item) + b"\n")
        out.flush()
    elif form == "csv":
        write_csv(_COLUMNS, (_flat(item) for item in found))
    else:
        rows = [_short(item) for item in found]
        table(("item", "exhibit", "state", "kind", "size", "changed", "known", "path"), rows)
        click.echo(f"{len(rows)} items", err=True)


def condition(filters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the SQL condition of the filters and its parameters."""
    parts, names = [], dict[str, Any]()

    def add(text: str, **values: Any) -> None:
        parts.append(text)
        names.update(values)

    plain = {"exhibit": "i.exhibit = $exhibit", "media_type": "c.media_type = $media_type", "state": "i.state = $state"}
    plain |= {"min_size": "i.size >= $min_size", "max_size": "i.size <= $max_size"}
    plain |= {"since": "i.mtime >= epoch_ns($since::timestamp)", "until": "i.mtime < epoch_ns($until::timestamp + interval 1 day)"}
    plain |= {"hash_set": 'i.sha256 in (select sha256 from matches where "set" = $hash_set)'}
    for name, text in plain.items():
        if filters.get(name) is not None:
            add(text, **{name: filters[name]})
    if filters.get("kind"):
        add("list_contains($kind, c.kind)", kind=list(filters["kind"]))
    if filters.get("deleted"):
        add("i.state in ('deleted', 'orphan', 'overwritten')")
    if filters.get("live"):
        add("i.state = 'live'")
    if filters.get("paths"):
        globs = {f"path{n}": p for n, p in enumerate(filters["paths"])}
        add("(" + " or ".join(f"('/' || i.path) glob ${n} or i.path glob ${n}" for n in globs) + ")", **globs)
    if filters.get("problem"):
        kind = "" if filters["problem"] == "any" else "kind = $problem and "
        add(
            f"i.item_id in (select item_id from problems where {kind}item_id is not null)",
            **({"problem": filters["problem"]} if kind else {}),
        )
    if filters.get("digest"):
        add("$digest in (lower(hex(c.md5)), lower(hex(c.sha1)), lower(hex(i.sha256)))", digest=filters["digest"].strip().lower())
    if filters.get("category"):
        add("list_contains($category, coalesce(d.category, 'none'))", category=list(filters["category"]))
    if filters.get("status"):
        add("coalesce(d.status, 'undecided') = $status", status=filters["status"])
    if filters.get("alike") is not None:
        ends = "select b as other, a as one from alike union all select a, b from alike"
        linked = f"select other from ({ends}) where list_contains($alike, one)"
        add(f"(list_contains($alike, i.sha256) or i.sha256 in ({linked}))", alike=filters["alike"])
    if filters.get("known"):
        known = list(filters["known"])
        matched = 'i.sha256 in (select sha256 from judged where stands and list_contains($known, "as"))'
        if {"quarantined", "deconfirmed"} & set(known):
            from safelight.access import COUNTS_AS

            only = (
                f"select sha256 from (select m.sha256, {COUNTS_AS} as counts from judged m group by 1) where list_contains($known, counts)"
            )
            matched = f"({matched} or i.sha256 in ({only}))"
        new = "(i.sha256 is not null and i.sha256 not in (select sha256 from matches))"
        add(f"({matched} or {new})" if "new" in known else matched, known=known)
    return " and ".join(parts) or "true", names


_COLUMNS = (
    "item_id exhibit state type kind media_type size path path_raw_hex md5 sha1 sha256 pdq pdq_quality mtime atime ctime btime time_basis "
    "known sets make model serial taken gps_lat gps_lon stack category status flags tags problem reason origin"
).split()


def _flat(item: dict[str, Any]) -> list[Any]:
    exif, gps = item["exif"] or {}, (item["exif"] or {}).get("gps") or {}
    problem, decision = item["problem"] or {}, item["decision"] or {}
    extra = {
        "known": _known(item),
        "sets": " ".join(sorted({m["set"] for m in item["matches"]})) or None,
        "gps_lat": gps.get("lat"),
        "gps_lon": gps.get("lon"),
        **{name: decision.get(name) for name in ("category", "status")},
        **{name: ", ".join(decision.get(name, ())) or None for name in ("flags", "tags")},
        "problem": problem.get("kind"),
        "reason": problem.get("reason"),
        **{name: exif.get(name) for name in ("make", "model", "serial", "taken")},
    }
    return [extra[c] if c in extra else item[c] for c in _COLUMNS]


def _known(item: dict[str, Any]) -> str:
    ways = {
        "quarantined" if m["flood"] is not None else "deconfirmed" if m["deconfirmed"] is not None else m["as"] for m in item["matches"]
    }
    order = ("illegal", "other", "irrelevant", "known", "quarantined", "deconfirmed")
    return next((w for w in order if w in ways), "new" if item["sha256"] else "")


def _short(item: dict[str, Any]) -> list[Any]:
    changed = (item["mtime"] or "")[:19] + ("Z" if item["mtime"] and item["time_basis"] == "utc" else "")
    return [
        item["item_id"][:12],
        item["exhibit"],
        item["state"],
        item["kind"] or item["type"],
        size(item["size"]),
        changed,
        _known(item),
        item["path"],
    ]
