"""`safelight export`"""

from __future__ import annotations

from pathlib import Path

import click

from safelight.cli.words import command_line, size


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["vics", "csv", "case"]), required=True, help="VICS 2.0 (JSON), CSV, or CASE/UCO (JSON-LD)."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write (default: one below CASE/exports/).")
@click.option("--onto", type=click.Path(path_type=Path), help="With vics: give this VICS file back, with what was decided.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@click.option("--purpose", default="", help="Why and for whom; stands in the ledger.")
def command(case: Path, form: str, output: Path | None, onto: Path | None, force: bool, purpose: str) -> int:
    """Write the contents of CASE that are decided for good, with their places. A disclosure: its SHA-256 is entered in the ledger.

    \b
      safelight export operation.case --format vics -o decided.json --purpose "national database"
      safelight export operation.case --format vics --onto received.json -o back.json
    """
    from safelight.access import Gate
    from safelight.case import Case
    from safelight.cli.report import keep_apart
    from safelight.errors import DONE
    from safelight.exports import Wish, write_export

    opened = Case(case)
    if output is not None:
        keep_apart(opened, output)
    made = write_export(Gate(opened, purpose), Wish(format=form, target=output, onto=onto, force=force), command_line())
    click.echo(f"{made.path}: {made.rows} records, {size(made.size)}, SHA-256 {made.sha256}; the disclosure stands in the ledger", err=True)
    return DONE
