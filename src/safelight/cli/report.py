"""`safelight report`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from safelight.cli.words import command_line, size

if TYPE_CHECKING:
    from safelight.case import Case


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="File to write (default: NAME-report.html in the current folder).")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@click.option("--exhibit", help="Only this exhibit.")
@click.option(
    "--pictures", is_flag=True, help="With protected pictures (grey, blurred), one of each stack of known illegal and of new ones."
)
@click.option("--limit-pictures", type=click.IntRange(1, 10_000), default=200, show_default=True, help="At most so many of them.")
@click.option("--purpose", default="", help="Why and for whom; stands in the report and the ledger.")
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
def command(
    case: Path,
    output: Path | None,
    force: bool,
    exhibit: str | None,
    pictures: bool,
    limit_pictures: int,
    purpose: str,
    library: str | None,
) -> int:
    """Write one HTML file on CASE that can be read and printed anywhere: what was not read and why, the accounts of each volume, what
    is known and what is new, every match of known illegal content with its reason, the exhibits, the ledger, and the methods in plain words.

    The file has no script and needs nothing else. Making it is a disclosure: its SHA-256 is entered in the ledger.

    \b
      safelight report operation.case --purpose "Prosecutor, 12 Js 345/26"
      safelight report operation.case --exhibit 2016-041-A --pictures --output exhibit-a.html
    """
    from safelight.case import Case
    from safelight.errors import DONE, DONE_WITH_PROBLEMS
    from safelight.report import document

    opened = Case(case)
    target = output or Path(f"{case.resolve().stem}-report.html")
    keep_apart(opened, target)
    gate, checked = document.open_checked(opened, purpose, library)
    wish = document.Wish(exhibit=exhibit, pictures=pictures, limit_pictures=limit_pictures, library=library)
    facts = document.gather(gate, checked, wish)

    def log(made: document.Made) -> None:
        labels = sorted({e["exhibit"].label for e in facts["exhibits"]})
        gate.log(
            "disclose",
            command_line(),
            shows="report",
            file=target.name,
            sha256=made.sha256,
            size=made.size,
            exhibits=labels,
            pictures=made.pictures,
        )

    made = document.write(facts, target, force, log)
    click.echo(f"{target}: {size(made.size)}, SHA-256 {made.sha256}; the disclosure stands in the ledger", err=True)
    if made.refused:
        click.echo(
            f"{made.refused} pictures are not in it: their renditions are not what the ledger says. Run `safelight verify`.", err=True
        )
    return DONE_WITH_PROBLEMS if facts["problems_in_all"] or facts["unfinished"] or made.refused else DONE


def keep_apart(case: Case, target: Path) -> None:
    """Raise `Usage` where the report would lie in the case, or in (or in place of) evidence."""
    from safelight.errors import Usage

    place = target.resolve()
    if not place.parent.is_dir():
        raise Usage(f"{target.parent} is no folder. No report was written.")
    if place.is_relative_to(case.folder.resolve()):
        raise Usage(f"{target} lies in the case folder; give another place with --output. No report was written.")
    for exhibit in case.exhibits():
        for part in exhibit.parts:
            evidence = Path(part.path)
            if place == evidence or (exhibit.form == "folder" and place.is_relative_to(evidence)):
                raise Usage(
                    f"{target} lies in the evidence of exhibit {exhibit.key}; give another place with --output. No report was written."
                )
