"""What the ledger says of a case: steps done and not done, which sets were matched, who did what. One pass, bounded memory.

The rows for the printed table are folded: shards of one exhibit in a run of lines are one row, so are looks by the same person.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from safelight.case import Case

ROWS = 2_000
"""Rows of the printed ledger: the first half and the last half of a longer one."""

FOLDED = ("shard", "consult")
"""Kinds of entries of which neighbours are printed as one row."""


class Row(msgspec.Struct, kw_only=True):
    """One printed row: the lines of the ledger from `first` to `last`."""

    first: int
    last: int
    at: str
    until: str
    who: str
    what: str
    about: str
    command: str = ""
    fold: tuple[str, ...] = ()
    sums: dict[str, int] = msgspec.field(default_factory=dict)


class History:
    """The ledger of a case, read once from its first line to its last. With `only`, rows on other exhibits say no more than that."""

    def __init__(self, case: Case, only: str | None = None) -> None:
        self._only = only
        self.entries = 0
        self.head = ""
        self.created = ""
        self.runs = self.runs_outside = 0
        self.running = False
        self.last_run: dict[str, Any] = {}
        self.programs: dict[str, dict[str, set[str]]] = {}
        self.listed: dict[str, dict[str, Any]] = {}
        self.shards: dict[tuple[str, str], set[int]] = {}
        self.compacted: dict[tuple[str, str], int] = {}
        self.matched: dict[str, dict[str, Any]] = {}
        self.stacked: dict[str, Any] = {}
        self.collected: dict[str, dict[str, Any]] = {}
        self.acquisitions: dict[str, dict[str, Any]] = {}
        self.outside: list[int] = []
        self.rows_in_all = 0
        self.first_rows: list[Row] = []
        self.last_rows: deque[Row] = deque(maxlen=ROWS // 2)
        for entry in case.ledger.entries():
            self._take(entry)

    @property
    def rows_left_out(self) -> int:
        """Return how many rows stand between the first and the last that are kept."""
        return self.rows_in_all - len(self.first_rows) - len(self.last_rows)

    def _take(self, e: dict[str, Any]) -> None:
        self.entries, self.head = int(e["seq"]), str(e["hash"])
        self.created = self.created or str(e["at"])
        exhibit, step = str(e.get("exhibit", "")), str(e.get("step", ""))
        match e["what"]:
            case "run":
                self._run(e)
            case "run-end":
                self.running = False
            case "collect":
                self.collected[exhibit] = e
            case "acquisition":
                self.acquisitions[exhibit] = e
            case "list":
                self.listed[exhibit] = e
            case "shard":
                self.shards.setdefault((exhibit, step), set()).add(int(e["shard"]))
            case "compact":
                self.compacted[exhibit, step] = self.entries
            case "match":
                self.matched[str(e["folder"])] = e
            case "match-removed":
                self.matched.pop(str(e["folder"]), None)
            case "stack":
                self.stacked = e
        if e.get("walls") is False:
            self.outside.append(self.entries)
        self._row(e)

    def _run(self, e: dict[str, Any]) -> None:
        self.runs, self.running, self.last_run = self.runs + 1, True, e
        self.runs_outside += not e["settings"]["walls"]
        for name, version in {"safelight": e["safelight"], **e.get("versions", {})}.items():
            self.programs.setdefault(str(name), {}).setdefault(str(version), set()).add(str(e["seq"]))

    def _row(self, e: dict[str, Any]) -> None:
        what, at = str(e["what"]), str(e["at"])
        fold: tuple[str, ...] = (
            (what, str(e["who"]), str(e.get("exhibit", "")), str(e.get("step", "")), str(e.get("shows", ""))) if what in FOLDED else ()
        )
        elsewhere = bool(self._only and e.get("exhibit") and str(e["exhibit"]).split("~")[0] != self._only)
        if elsewhere:
            what, fold = "other exhibit", ("other exhibit", str(e["who"]))
        before = self.last_rows[-1] if self.last_rows else self.first_rows[-1] if self.first_rows else None
        if before is not None and fold and before.fold == fold:
            before.last, before.until = self.entries, at
            if not elsewhere:
                _add(before, e)
            return
        row = Row(first=self.entries, last=self.entries, at=at, until=at, who=str(e["who"]), what=what, about="", fold=fold)
        if not elsewhere:
            row.about, row.command = about(e), str(e.get("command", ""))
            _add(row, e)
        self.rows_in_all += 1
        (self.first_rows if len(self.first_rows) < ROWS // 2 else self.last_rows).append(row)


def _add(row: Row, e: dict[str, Any]) -> None:
    """Count what folded lines did together, and say so."""
    if e["what"] == "shard":
        for name in ("items", "bytes", "problems"):
            row.sums[name] = row.sums.get(name, 0) + int(e["counts"].get(name, 0))
        lines = row.last - row.first + 1
        row.about = f"{e['exhibit']}, {e['step']}: {lines:,} shard{'s' if lines > 1 else ''}, " + ", ".join(
            f"{n:,} {k}" for k, n in row.sums.items()
        )
    elif e["what"] == "consult" and row.last > row.first:
        row.about, row.command = f"{e.get('shows', '')}: {row.last - row.first + 1:,} times", ""


def about(e: dict[str, Any]) -> str:
    """Return in one line what an entry says of what was done."""
    match e["what"]:
        case "new":
            return f"case {e['case']}, “{e['title']}”"
        case "collect":
            return f"{e['exhibit']}: {e['form']}, {len(e['parts']):,} file(s) or folder(s)"
        case "acquisition":
            return f"{e['exhibit']}: {e['words']}"
        case "run":
            s = e["settings"]
            workers = s.get("cluster") or f"{s.get('workers')} worker(s)"
            return f"{'in' if s['walls'] else 'WITHOUT'} the sandbox; {s.get('only')}; PDQ distance {s.get('distance')}; {workers}"
        case "run-end":
            return "the run came to its end"
        case "list":
            again = ", begun again after the worker was killed" if "begun" in e else ""
            return f"{e['exhibit']}: {e['items']:,} items, {sum(e['problems'].values()):,} problems, {e['shards']:,} shard(s){again}"
        case "making":
            return f"{e['folder']}: {len(e['files']):,} file(s) are made and about to get their name"
        case "compact":
            return f"{e['exhibit']}, {e['step']}: {len(e['files']):,} tables of facts"
        case "match":
            found = ", ".join(f"{n:,} by {m}" for m, n in e["matches"].items()) or "none"
            return f"{e['set']} {e['version']} as {e['as']}: {found}; canaries: {e['canaries']}"
        case "descriptor":
            m = e["model"]
            return f"model {m['sha256']}, {m['width']} × {m['height']} pixels, {m['numbers']:,} numbers" if m else "none from now on"
        case "match-removed":
            return f"{e['folder']}: the set is no longer in the library"
        case "stack":
            return f"{e['pictures']:,} pictures in {e['stacks']:,} stacks, distance {e['distance']}"
        case "decisions":
            return f"{e['events']:,} decisions and reveals so far; {e['reveals']:,} reveals, {e['milliseconds'] / 1000:,.0f} s"
        case "verify":
            return f"{e['depth']}: {e['count']:,} finding(s)"
        case "shard":
            return ""
    rest = {k: v for k, v in e.items() if k not in ("at", "who", "what", "seq", "prev", "hash", "safelight", "command")}
    return ", ".join(f"{k} {v if isinstance(v, str) else msgspec.json.encode(v).decode()}" for k, v in rest.items())
