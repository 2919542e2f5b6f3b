"""`safelight new`"""

from __future__ import annotations

from pathlib import Path

import click

from safelight.cli.words import command_line


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--title", default="", help="What the case is called in reports (default: the folder's name).")
@click.option(
    "--scheme", default="vics-us", show_default=True, help="Category scheme of decisions, of the program or in LIBRARY/schemes/NAME.toml."
)
@click.option("--votes", type=click.IntRange(1, 3), default=1, show_default=True, help="So many people of one mind make a category final.")
@click.option("--library", help="Folder of hash sets and schemes (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
def command(case: Path, title: str, scheme: str, votes: int, library: str | None) -> None:
    """Make an empty case in the folder CASE, e.g. operation.case."""
    from safelight.case import Case
    from safelight.decisions.policy import new_policy

    policy = new_policy(scheme, votes, library)
    made = Case.create(case, title or case.stem, command_line(), policies=policy.as_settings())
    click.echo(f"{made.folder}: a new case. Next: safelight add {made.folder} EVIDENCE …", err=True)
