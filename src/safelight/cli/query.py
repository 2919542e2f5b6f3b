"""Items with all that is known of them: the query behind `find` and `why`, and the object that scripts get for each item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safelight.access import Gate
from safelight.cli.words import instant

_SELECT = """
    with hits as (
        select sha256, list(struct_pack("set" := "set", version := version, "as" := "as", method := method, distance := distance,
            transform := transform, form := form, entry := entry, category := category, deconfirmed := deconfirmed,
            deconfirmed_by := deconfirmed_by, flood := flood, box := box)
            order by distance, "set", version, method, entry, transform) as matches
        from judged group by sha256
    )
    select i.*, c.md5, c.sha1, c.media_type, c.kind, p.* exclude (sha256), h.matches, s.stack, s.size as stack_size,
        d.category as d_category, d.status as d_status, d.votes as d_votes, d.flags as d_flags, d.tags as d_tags, d.note as d_note, d.decided_at
    from visible i
    left join contents c using (sha256)
    left join pictures p using (sha256)
    left join hits h using (sha256)
    left join stacks s using (sha256)
    left join decided d using (sha256)
"""
_ORDER = " order by i.exhibit, i.source, i.ordinal, i.member"
BATCH = 2_000


def objects(gate: Gate, where: str = "true", names: dict[str, Any] | None = None, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the objects of the items that a condition selects, in canonical order."""
    gate.with_decisions()
    query = f"{_SELECT} where {where} {_ORDER}" + (f" limit {int(limit)}" if limit is not None else "")
    cursor = gate.facts.con.execute(query, names or None)
    columns = [d[0] for d in cursor.description or []]
    while rows := cursor.fetchmany(BATCH):
        for row in rows:
            yield as_object(dict(zip(columns, row, strict=True)))


def as_object(r: dict[str, Any]) -> dict[str, Any]:
    """Return the stable object of one item: digests in hex, times in ISO 8601, null where absent."""
    basis = r["time_basis"]
    return {
        "item_id": _hex(r["item_id"]),
        "exhibit": r["exhibit"],
        "origin": r["origin"],
        "path": r["path"],
        "path_raw_hex": _hex(r["path_raw"]),
        "size": r["size"],
        "allocated": r["allocated"],
        "state": r["state"],
        "type": r["type"],
        "parent_id": _hex(r["parent_id"]),
        "kind": r["kind"],
        "media_type": r["media_type"],
        "md5": _hex(r["md5"]),
        "sha1": _hex(r["sha1"]),
        "sha256": _hex(r["sha256"]),
        "width": r["width"],
        "height": r["height"],
        "frames": r["frames"],
        "orientation": r["orientation"],
        "pdq": _hex(r["pdq"]),
        "pdq_quality": r["pdq_quality"],
        "exif": _exif(r),
        **{t: instant(r[t], basis) for t in ("mtime", "atime", "ctime", "btime")},
        "time_basis": basis,
        "reader": r["reader"],
        "note": r["note"],
        "link": bytes(r["link"]).decode("utf-8", "backslashreplace") if r["link"] is not None else None,
        "matches": [_match(m) for m in r["matches"] or []],
        "stack": _hex(r["stack"]),
        "stack_size": r["stack_size"],
        "problem": {"kind": r["problem"], "reason": r["reason"]} if r["problem"] else None,
        "decision": _decision(r),
    }


def _decision(r: dict[str, Any]) -> dict[str, Any] | None:
    if r["d_status"] is None:
        return None
    given = {name: r[f"d_{name}"] for name in ("category", "status", "votes", "note")}
    return {
        **given,
        "flags": (r["d_flags"] or "").split(),
        "tags": (r["d_tags"] or "").split(", ") if r["d_tags"] else [],
        "at": r["decided_at"],
    }


def _exif(r: dict[str, Any]) -> dict[str, Any] | None:
    gps = {"lat": r["exif_gps_lat"], "lon": r["exif_gps_lon"], "alt": r["exif_gps_alt"], "time": instant(r["exif_gps_time"], "utc")}
    exif = {
        "make": r["exif_make"],
        "model": r["exif_model"],
        "serial": r["exif_serial"],
        "lens_serial": r["exif_lens_serial"],
        "software": r["exif_software"],
        "taken": instant(r["exif_taken"], "local?" if r["exif_taken_basis"] != "offset" else "utc"),
        "taken_basis": r["exif_taken_basis"],
        "gps": gps if r["exif_gps_lat"] is not None and r["exif_gps_lon"] is not None else None,
    }
    return exif if any(v is not None for v in exif.values()) else None


def _match(m: dict[str, Any]) -> dict[str, Any]:
    order = (
        "set",
        "version",
        "as",
        "method",
        "distance",
        "transform",
        "entry",
        "category",
        "form",
        "deconfirmed",
        "deconfirmed_by",
        "flood",
        "box",
    )
    return {name: m[name] for name in order}


def _hex(value: Any) -> str | None:
    return None if value is None else bytes(value).hex()
