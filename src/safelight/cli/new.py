"""`safelight new`"""

from __future__ import annotations

from pathlib import Path

import click

from safelight.cli.words import command_line


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--title", default="", help="What the case is called in reports (default: the folder's name).")
def command(case: Path, title: str) -> None:
    """Make an empty case in the folder CASE, e.g. operation.case."""
    from safelight.case import Case

    made = Case.create(case, title or case.stem, command_line())
    click.echo(f"{made.folder}: a new case. Next: safelight add {made.folder} EVIDENCE …", err=True)
