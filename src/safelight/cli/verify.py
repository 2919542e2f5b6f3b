"""`safelight verify`"""

from __future__ import annotations

from pathlib import Path

import click

from safelight.cli.words import command_line


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Ledger, and presence and size of facts and evidence; digests nothing.")
@click.option("--full", is_flag=True, help="Also digest the evidence again and check the acquisition digests that images carry.")
@click.option("--without-sandbox", is_flag=True, help="With --full: parse evidence without the sandbox.")
def command(case: Path, quick: bool, full: bool, without_sandbox: bool) -> int:
    """Check that the ledger, the facts and the evidence of CASE are what they were; name what is not."""
    from safelight.case import Case
    from safelight.errors import DONE, NOT_VERIFIED, Usage
    from safelight.verify import verify

    if quick and full:
        raise Usage("--quick and --full exclude one another")
    opened = Case(case)
    depth = "quick" if quick else "full" if full else "facts"
    findings, counts = verify(opened, depth, not without_sandbox, command_line())
    for line in findings:
        click.echo(line)
    said = ", ".join(f"{n} {what}" for what, n in counts.items())
    click.echo(f"{'NOT verified' if findings else 'verified'} ({depth}): {said}")
    return NOT_VERIFIED if findings else DONE
