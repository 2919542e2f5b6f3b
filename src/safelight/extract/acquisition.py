"""The acquisition digests that an image carries, checked against its stream; the verdict goes to the ledger."""

from __future__ import annotations

from typing import Any

from safelight.case import Case, Exhibit
from safelight.extract.listing import open_image
from safelight.sandbox import protocol
from safelight.sandbox.parent import RequestFailed, Sandbox, WorkerDied


def verdict(case: Case, exhibit: Exhibit, walls: bool, command: str) -> dict[str, Any]:
    """Digest the logical stream and compare: `equal`, `different`, `none` (no digest stored) or `unreadable`. Ledgered."""
    found = _compare(exhibit, walls)
    case.ledger.append("acquisition", command=command, exhibit=exhibit.key, walls=walls, **found)
    return found


def _compare(exhibit: Exhibit, walls: bool) -> dict[str, Any]:
    try:
        with Sandbox("digests", walls) as worker:
            opened = open_image(worker, exhibit)
            if not opened.stored:
                return {"verdict": "none", "words": f"{opened.container}: the image carries no acquisition digest"}
            (digests,) = worker.ask(protocol.DigestImage())
    except (RequestFailed, WorkerDied) as e:
        return {"verdict": "unreadable", "words": f"the image cannot be read whole: {e.reason}", "kind": e.kind}
    stored = dict(opened.stored)
    computed = {"md5": digests.md5, "sha1": digests.sha1, "sha256": digests.sha256}
    different = [a for a, v in stored.items() if computed.get(a, v) != v]
    words = (
        f"acquisition digest {', '.join(different)} DIFFERS from the stream"
        if different
        else f"acquisition digests {', '.join(stored)} are right"
    )
    return {"verdict": "different" if different else "equal", "words": words, "stored": stored, "computed": computed}
