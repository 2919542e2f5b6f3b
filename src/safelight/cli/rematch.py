"""`safelight rematch`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from safelight.cli.words import command_line, table, write_csv

COLUMNS = ("case", "set", "version", "as", "new_contents", "new_items", "exhibits")


@click.command()
@click.option("--cases", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="All cases below this folder.")
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
@click.option("--purpose", default="", help="Why; stands in the ledger of each case.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "jsonl"]), default="table", show_default=True)
def command(cases: Path, library: str | None, purpose: str, form: str) -> int:
    """Match every case with the hash sets that are new or changed since, from stored facts: no evidence is read. Print what is new.

    New is: matched by a version of the set that is current now, and by no earlier one. Each case is matched at the distance of its last
    run, and counts within its scope. A case that is being run, or cannot be read, is said and the others go on.

    \b
      safelight hashset add national.json --as illegal --name National
      safelight rematch --cases /unit/cases
    """
    from safelight.cli.cases import cases_below
    from safelight.errors import DONE, DONE_WITH_PROBLEMS, NotVerified, Stop, Usage
    from safelight.ledger import LedgerError
    from safelight.match.library import Library

    shelf, found, problems = Library(library, keep_open=True), list[tuple[Any, ...]](), list[str]()
    if not any(s.state == "ready" for s in shelf.list()):
        raise Usage(f"no hash set is ready in {shelf.path}: nothing was matched, and no match was dropped")
    folders = cases_below(cases)
    not_verified = False
    for folder in folders:
        try:
            found += rematch(folder, shelf, purpose)
        except (Stop, LedgerError) as e:
            not_verified |= isinstance(e, NotVerified)
            problems.append(f"{folder}: {e}")
    if form == "jsonl":
        import msgspec

        for row in found:
            sys.stdout.buffer.write(msgspec.json.encode(dict(zip(COLUMNS, row, strict=True))) + b"\n")
    elif form == "csv":
        write_csv(COLUMNS, ([*row[:-1], " ".join(row[-1])] for row in found))
    elif found:
        table(COLUMNS, [[*row[:-1], ", ".join(row[-1])] for row in found])
    for line in problems:
        click.echo(line, err=True)
    click.echo(f"{len(folders)} cases, {len({row[0] for row in found})} with something new; {len(problems)} problems", err=True)
    return NotVerified.code if not_verified else DONE_WITH_PROBLEMS if problems else DONE


def rematch(folder: Path, shelf: Any, purpose: str = "") -> list[tuple[Any, ...]]:
    """Match one case with what is new and return its rows (`COLUMNS`). Raise a `Stop` where that cannot be."""
    from safelight.access import Gate
    from safelight.case import Case
    from safelight.match.step import match_case, pending
    from safelight.table.step import make_table

    case = Case(folder)
    with case.run_lock():
        distance = _distance(case)
        if not pending(case, shelf, distance):
            return []
        gate = Gate(case, purpose)
        gate.facts.con.execute('create temp table before as select distinct "set", sha256 from matches')
        changed: list[dict[str, Any]] = []
        case.ledger.append("rematch", command=command_line())
        for summary in match_case(case, shelf, distance, _Silent()):
            case.ledger.append("match-removed" if summary.pop("removed", False) else "match", **summary)
            changed += [summary] if "set" in summary else []
        make_table(case, str(shelf.path))
    return _new(gate, case, changed)


def _new(gate: Any, case: Any, changed: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the rows of what is new in the sets that were matched, within the scope of the case."""
    from safelight.access import quoted

    rows = []
    for one in changed:
        if not one["matches"]:
            continue
        file = quoted(str(case.folder / one["folder"] / "matches.parquet"))
        (count,) = gate.rows(
            f"""
            select count(distinct i.sha256) contents, count(*) items, list(distinct i.exhibit order by i.exhibit) exhibits from visible i
            where i.sha256 in (select sha256 from read_parquet({file}) where sha256 not in (select sha256 from before where "set" = $set))
            """,
            {"set": one["set"]},
        )
        if count["contents"]:
            rows.append(
                (str(case.folder), one["set"], one["version"], one["as"], count["contents"], count["items"], count["exhibits"] or [])
            )
    gate.log("consult", command_line(), shows="rematch", sets=[r[1] for r in rows])
    return rows


def _distance(case: Any) -> int:
    """Return the PDQ distance of the last run of a case."""
    runs = [e["settings"].get("distance", 31) for e in case.ledger.entries() if e["what"] == "run"]
    return int(runs[-1]) if runs else 31


class _Silent:
    """Is told what goes on, and says nothing."""

    def begin(self, step: str, exhibit: str, total: int | None) -> None: ...
    def advance(self, amount: int, done_bytes: int = 0) -> None: ...
