"""What people decided, for the report: categories that are final, what is open, and what had to be looked at for it."""

from __future__ import annotations

from typing import Any

from safelight.access import Gate


def decided(gate: Gate) -> dict[str, Any]:
    """Return the figures of the decisions about contents within the view of the report."""
    policy = gate.with_decisions().policy
    shown = "decided d semi join known_as k on k.sha256 = d.sha256"
    status = {r["status"]: r["n"] for r in gate.rows(f"select status, count(*) n from {shown} where status <> 'undecided' group by 1")}
    final = {r["category"]: r["n"] for r in gate.rows(f"select category, count(*) n from {shown} where status = 'final' group by 1")}
    labels = {c.code: c for c in policy.scheme.categories}
    rows = [
        {"code": code, "label": labels[code].label if code in labels else "", "n": n}
        for code, n in sorted(final.items(), key=lambda f: (labels[f[0]].rank if f[0] in labels else 1000, f[0]))
    ]
    last = {"reveals": 0, "milliseconds": 0}
    for entry in gate.case.ledger.entries():
        if entry["what"] == "decisions":
            last = entry
    return {
        "scheme": policy.scheme.name,
        "title": policy.scheme.title,
        "votes": policy.votes,
        "status": {"indicative": 0, "disputed": 0, **status},
        "contents": sum(status.values()),
        "rows": rows,
        "exposure": {"reveals": last["reveals"], "seconds": round(last["milliseconds"] / 1000)},
    }
