"""A small server that speaks the page's side of the contract from memory, for tests of the page alone.

It makes lists of any length without evidence, so that a list of 1,000,000 costs nothing, and does on demand what a real server does
seldom: refuse, lose an answer, be slow. What is true of the real server is tested against the real server; this one never is evidence.
"""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

PAGE = Path(__file__).resolve().parents[2] / "src/safelight/review/page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
CATEGORIES = [
    {"code": "0", "label": "Non-pertinent", "rank": 9, "kind": "not_relevant", "key": "0", "colour": "#5b6770"},
    {"code": "1", "label": "Illegal by law", "rank": 1, "kind": "illegal", "key": "1", "colour": "#9f1239"},
    {"code": "2", "label": "Exploitive, other", "rank": 2, "kind": "exploitive_other", "key": "2", "colour": "#b45309"},
    {"code": "3", "label": "Drawn or computed", "rank": 3, "kind": "exploitive_other", "key": "3", "colour": "#6d28d9"},
    {"code": "4", "label": "Comparison", "rank": 4, "kind": "comparison", "key": "4", "colour": "#0f766e"},
]


def jpeg(shade: int, edge: int = 16) -> bytes:
    """A grey picture with a gradient, as small as a protected rendition."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize((edge, edge)).point(lambda v: (v // 2 + shade) % 256).save(out, "JPEG", quality=75)
    return out.getvalue()


PICTURES = [jpeg(shade) for shade in range(0, 256, 16)]


class Desk:
    """What the fake server knows, and what was asked of it. `fault(method, path)` may return a status to refuse with."""

    def __init__(
        self, count: int, *, place: Callable[[int], str] = lambda i: f"DCIM/100TEST/IMG_{i:07d}.JPG", known: str | None = None
    ) -> None:
        self.count = count
        self.place = place
        self.known = known
        self.decided: dict[int, str | None] = {}
        self.events: list[dict[str, Any]] = []
        self.keys: dict[str, dict[str, Any]] = {}
        self.reveals: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.requests: list[str] = []
        self.settings: dict[str, Any] = {
            "tile": 160,
            "theme": "light",
            "start_level": "protected",
            "reveal_seconds": 10,
            "advance": True,
            "hide_known": False,
            "order": "first",
            "break_minutes": 45,
            "blank_after_seconds": 0,
        }
        self.filters: list[dict[str, Any]] = []
        self.kept: dict[str, dict[str, Any]] = {}
        self.running = False
        self.new = 0
        self.filter_text = "everything"
        self.fault: Callable[[str, str], int | None] = lambda method, path: None
        self.lose_answer: Callable[[str], bool] = lambda path: False
        self.lock = threading.Lock()

    # what the routes answer

    def case(self) -> dict[str, Any]:
        decided = sum(1 for c in self.decided.values() if c is not None)
        totals = {
            "items": self.count,
            "contents": self.count,
            "pictures": self.count,
            "films": 0,
            "decided": decided,
            "undecided": self.count - decided,
            "disputed": 0,
            "problems": 2,
        }
        return {
            "id": "test",
            "title": "Harbour",
            "position": len(self.events),
            "exhibits": [{"label": "2016-041-A", "sources": 1}],
            "scheme": {"name": "test", "title": "Test scheme", "categories": CATEGORIES},
            "votes": 1,
            "flags": [{"code": "distributed", "label": "Distributed"}, {"code": "victim", "label": "Victim identified"}],
            "orders": [
                {"name": "first", "title": "What matters first", "rule": "Unknown first."},
                {"name": "path", "title": "By path", "rule": "By path."},
            ],
            "sets": [],
            "totals": totals,
        }

    def view(self, n: int | None = None) -> dict[str, Any]:
        count = self.count if n is None else n
        return {
            "view": "v1",
            "count": count,
            "contents": count,
            "position": 0,
            "filter_text": self.filter_text,
            "sections": [
                {"label": "unknown", "first": 0, "count": count // 2},
                {"label": "the rest", "first": count // 2, "count": count - count // 2},
            ],
        }

    def rows(self, first: int, n: int) -> dict[str, Any]:
        at = range(first, min(first + n, self.count))
        codes = [self.decided.get(i) for i in at]
        each = {
            "kind": lambda i: "image",
            "stack_size": lambda i: 1 + (i % 7 == 0) * 11,
            "width": lambda i: 640,
            "height": lambda i: 480,
            "state": lambda i: "deleted" if i % 5 == 0 else "live",
            "known": lambda i: self.known,
            "flags": lambda i: [],
            "exhibit": lambda i: "2016-041-A",
            "place": self.place,
            "places": lambda i: 1,
            "reason": lambda i: "unknown to every set",
            "new_member": lambda i: False,
            "proposed": lambda i: None,
            "level": lambda i: "small",
            "missing": lambda i: "not a picture" if i % 11 == 10 else None,
            "label": lambda i: f"picture, {self.place(i)}",
        }
        columns = {name: [f(i) for i in at] for name, f in each.items()}
        return {
            "from": first,
            "n": len(at),
            **columns,
            "category": codes,
            "mine": codes,
            "status": ["final" if c else "undecided" for c in codes],
        }

    def thumbs(self, first: int, n: int) -> bytes:
        pictures = [b"" if i % 11 == 10 else PICTURES[i % len(PICTURES)] for i in range(first, min(first + n, self.count))]
        return struct.pack(f"<II{len(pictures)}I", 0x504B4C53, len(pictures), *map(len, pictures)) + b"".join(pictures)

    def indexes(self, target: dict[str, Any]) -> list[int]:
        if "index" in target:
            return [target["index"]]
        if target.get("all"):
            return list(range(self.count))
        return [i for first, end in target.get("ranges", []) for i in range(first, end)]

    def decide(self, wish: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if wish["key"] in self.keys:
                return self.keys[wish["key"]]
            at = self.indexes(wish["target"])
            before = {i: self.decided.get(i) for i in at}
            if "category" in wish["set"]:
                self.decided |= dict.fromkeys(at, wish["set"]["category"])
            self.events.append({"set": wish["set"], "at": at, "before": before, "undone": False})
            answer = {
                "event": len(self.events),
                "position": len(self.events),
                "contents": len(at),
                "changed": len(at),
                "undecided": self.case()["totals"]["undecided"],
                "standing": [
                    {
                        "index": i,
                        "category": self.decided.get(i),
                        "mine": self.decided.get(i),
                        "status": "final" if self.decided.get(i) else "undecided",
                    }
                    for i in at[:512]
                ],
            }
            self.keys[wish["key"]] = answer
            return answer

    def undo(self, body: dict[str, Any]) -> dict[str, Any] | None:
        with self.lock:
            if body["key"] in self.keys:
                return self.keys[body["key"]]
            open_ones = [n for n, e in enumerate(self.events, 1) if not e["undone"]]
            number = body.get("event") or (open_ones[-1] if open_ones else None)
            if number is None:
                return None
            event = self.events[number - 1]
            event["undone"] = True
            self.decided |= event["before"]
            self.keys[body["key"]] = {
                "event": number,
                "undone": number,
                "contents": len(event["at"]),
                "text": "",
                "indexes_of_view": event["at"][:512],
            }
            return self.keys[body["key"]]

    def item(self, index: int) -> dict[str, Any]:
        code = self.decided.get(index)
        return {
            "label": self.place(index).rsplit("/", 1)[-1],
            "kind": "image",
            "media_type": "image/jpeg",
            "size": 189_200,
            "width": 640,
            "height": 480,
            "frames": 1,
            "digests": {"md5": "0" * 32, "sha1": "0" * 40, "sha256": "0" * 64, "pdq": None, "pdq_quality": None},
            "exif": {"make": self.place(index)},
            "places": [
                {
                    "exhibit": "2016-041-A",
                    "path": self.place(index),
                    "state": "live",
                    "origin": "folder",
                    "mtime": "2016-05-17T10:10:00Z",
                    "atime": None,
                    "ctime": None,
                    "btime": None,
                    "time_basis": "utc",
                    "problem": None,
                    "reason": None,
                }
            ],
            "places_total": 1,
            "matches": [],
            "stack": {"size": 1, "distance": 0, "why": "", "rank": None, "of": 1, "rank_why": "", "members": []},
            "alike": [],
            "problems": [],
            "order": {"name": "first", "reason": "unknown to every set"},
            "decisions": [
                {
                    "event": 1,
                    "at": "2016-06-01T08:00:00Z",
                    "user": "anna",
                    "what": "decided",
                    "category": code,
                    "note": None,
                    "tags": [],
                    "flags": [],
                    "undone": False,
                }
            ]
            if code
            else [],
            "standing": {
                "category": code,
                "mine": code,
                "status": "final" if code else "undecided",
                "votes_needed": 1,
                "votes_given": int(code is not None),
            },
            "seen": {"level": "none", "seconds": 0.0},
        }

    def kept_words(self, handle: str) -> dict[str, Any] | None:
        words = self.kept.get(handle)
        return words and {"handle": handle, "words": words, "similar_label": self.place(0), "same_label": self.place(0), "lost": ""}

    def get(self, path: str, q: dict[str, str]) -> Any:
        if path == "/api/session":
            return {"user": "anna", "role": "supervisor", "csrf": "c"}
        if path == "/api/case":
            return self.case()
        if path == "/api/settings":
            return self.settings
        if path == "/api/progress":
            steps = [
                {"step": "extract", "exhibit": "2016-041-A", "done": 400, "total": 1000, "unit": "items", "rate": 120.0, "seconds_left": 5}
            ]
            return {"running": self.running, "position": 0, "steps": steps if self.running else [], "problems": 2, "new": {"v1": self.new}}
        if found := re.fullmatch(r"/api/views/v1(/rows|/thumbs|/items/(\d+))?", path):
            if found[1] == "/rows":
                return self.rows(int(q["from"]), int(q["n"]))
            if found[1] == "/thumbs":
                return self.thumbs(int(q["from"]), int(q["n"]))
            return self.item(int(found[2])) if found[2] else self.view()
        if found := re.fullmatch(r"/api/filters/([\w.-]+)", path):
            return self.kept_words(found[1])
        if path.endswith("/picture"):
            return jpeg(40, 320)
        if path == "/api/problems":
            row = {
                "exhibit": "2016-041-A",
                "place": self.place(0),
                "step": "extract",
                "kind": "truncated",
                "reason": "The data end early.",
                "complete": True,
            }
            return {"total": 2, "kinds": {"truncated": 2}, "rows": [row, row]}
        if path == "/api/exposure":
            return {
                "reveals": 3,
                "seconds": 4.5,
                "by_level": {"drawing": 2, "small": 1},
                "decided": 120,
                "per_1000": {"reveals": 25.0, "seconds": 37.5},
                "minutes_since_break": 50,
                "hint": "You have looked for 50 minutes.",
            }
        if path == "/api/exposure/sums":
            return [{"day": "2016-06-01", "reveals": 3, "seconds": 4.5, "decided": 120, "by_level": {}}]
        return None

    def post(self, path: str, body: Any) -> Any:
        if path == "/api/session":
            return {"user": "anna", "role": "supervisor", "csrf": "c"} if body.get("token") == "good" else None
        if path == "/api/settings":
            self.settings = body
            return body
        if path == "/api/views":
            self.filters.append(body["filter"])
            self.filter_text = ", ".join(body["filter"]) or "everything"
            return self.view()
        if path == "/api/filters":
            handle = f"k.handle{len(self.kept):06d}"
            self.kept[handle] = body
            return self.kept_words(handle)
        if path == "/api/decisions/preview":
            at = self.indexes(body["target"])
            return {
                "contents": len(at),
                "tiles": len(at),
                "decided": dict(Counter(c for i in at if (c := self.decided.get(i)))),
                "disputed": 0,
                "confirm": "yes",
            }
        if path == "/api/decisions":
            return self.decide(body)
        if path == "/api/decisions/batch":
            return [self.decide(one) for one in body]
        if path == "/api/decisions/undo":
            return self.undo(body)
        if path == "/api/reveals":
            self.reveals.append({**body, "ended": None})
            return {"reveal": len(self.reveals)}
        if found := re.fullmatch(r"/api/reveals/(\d+)/end", path):
            self.reveals[int(found[1]) - 1]["ended"] = body["milliseconds"]
            return {"done": True}
        if path == "/api/facets":
            return {name: [{"value": "image", "label": "image", "count": self.count}] for name in body["facets"]}
        if path == "/api/timeline":
            return {
                "from": "2016-05-01",
                "to": "2016-05-30",
                "unit": "day",
                "bins": [{"at": f"2016-05-{d:02d}", "count": d * 7 % 19} for d in range(1, 31)],
                "without_time": 4,
            }
        if path == "/api/places":
            return {
                "cells": [
                    {"south": 50.0, "west": 0.0, "north": 60.0, "east": 10.0, "count": 31},
                    {"south": -10.0, "west": 100.0, "north": 0.0, "east": 110.0, "count": 4},
                ],
                "without_place": 9,
            }
        if path == "/api/exports":
            return {"file": "exports/decided.csv", "rows": 4, "sha256": "0" * 64}
        return {"done": True}


class Handler(BaseHTTPRequestHandler):
    """Routes to the desk of the server."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.route("GET")

    def do_POST(self) -> None:
        self.route("POST")

    def route(self, method: str) -> None:
        desk, url = self.server.desk, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not url.path.startswith("/api/"):
            return self.static(url.path)
        desk.asked[f"{method} {re.sub(r'[0-9]+', 'N', url.path)}"] += 1
        desk.requests.append(f"{method} {self.path}")
        if (status := desk.fault(method, url.path)) is not None:
            return self.answer(
                status, json.dumps({"error": "test", "message": "The disk is full.", "todo": "Make room. What was saved is safe."}).encode()
            )
        found = (
            desk.get(url.path, {k: v[0] for k, v in parse_qs(url.query).items()})
            if method == "GET"
            else desk.post(url.path, json.loads(body))
        )
        if desk.lose_answer(url.path):
            self.close_connection = True
            return None
        if found is None:
            return self.answer(401 if url.path == "/api/session" else 404, b'{"error": "not_found", "message": "Not there.", "todo": ""}')
        if isinstance(found, bytes):
            return self.answer(200, found, "image/jpeg" if url.path.endswith("picture") else "application/octet-stream")
        return self.answer(200, json.dumps(found).encode())

    def static(self, path: str) -> None:
        file = PAGE / ("index.html" if path == "/" else path.lstrip("/"))
        if not file.is_file() or PAGE not in file.resolve().parents:
            return self.answer(404, b"")
        return self.answer(200, file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-store",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """The fake server; a context that runs in a thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that gives a request up is nothing to report."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
