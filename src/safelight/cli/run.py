"""`safelight run`"""

from __future__ import annotations

from pathlib import Path

import click

from safelight.cli.words import command_line, restored


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(1, 1024), help="Worker processes (default: the number of cores).")
@click.option("--cluster", metavar="ADDRESS", help="Run on the Dask scheduler at this address, e.g. tcp://10.0.0.1:8786.")
@click.option("--only", type=click.Choice(["everything", "digests"]), default="everything", help="digests: no types, pictures, archives.")
@click.option("--features", is_flag=True, help="Look at each picture a second time: crops, turns, stickers, pictures inside pictures.")
@click.option(
    "--descriptor",
    metavar="MODEL.onnx",
    help="With --features: an image model of your own brings candidates too. Holds for this case until another one is named, or none.",
)
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
@click.option("--distance", type=click.IntRange(0, 64), default=31, show_default=True, help="Largest PDQ distance of a match, in bits.")
@click.option("--without-sandbox", is_flag=True, help="Parse evidence without the sandbox. Written to the ledger and the report.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    case: Path,
    workers: int | None,
    cluster: str | None,
    only: str,
    features: bool,
    descriptor: str | None,
    library: str | None,
    distance: int,
    without_sandbox: bool,
    quiet: bool,
) -> int:
    """List, extract, match and stack all that is in CASE. Stop it any time; run again and it goes on."""
    import os

    from safelight import pipeline
    from safelight.case import Case
    from safelight.cli.progress import shown
    from safelight.cli.summary import totals_line
    from safelight.errors import DONE, DONE_WITH_PROBLEMS, Usage

    opened = Case(case)
    if features and only == "digests":
        raise Usage("--features needs pictures: leave out --only digests. Nothing was changed.")
    if descriptor is not None and not features:
        raise Usage("--descriptor goes with --features: its candidates are verified corner by corner. Nothing was changed.")
    restored(opened)
    if not opened.exhibits():
        raise Usage(f"there is no evidence in {case} yet. Next: safelight add {case} EVIDENCE …")
    settings = pipeline.Settings(
        only=only,
        features=features,
        descriptor=descriptor,
        workers=workers or os.cpu_count() or 1,
        cluster=cluster,
        walls=not without_sandbox,
        library=library,
        distance=distance,
        command=command_line(),
    )
    with shown(quiet) as progress:
        pipeline.run(opened, settings, progress)
    line, problems = totals_line(opened)
    click.echo(line, err=True)
    click.echo(f"Next: safelight status {case}", err=True)
    return DONE_WITH_PROBLEMS if problems else DONE
