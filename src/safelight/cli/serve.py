"""`safelight serve`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from safelight.review.server import Server


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on loopback (default: a free one).")
@click.option("--address", default="127.0.0.1", show_default=True, help="Loopback only; any other address is refused.")
@click.option("--user", help="Who reviews; stands in decisions and ledger (default: $SAFELIGHT_USER, else account and host).")
@click.option(
    "--role", type=click.Choice(["reviewer", "supervisor"]), default="reviewer", show_default=True, help="A supervisor settles disputes."
)
@click.option("--purpose", default="", help="Why; stands in the ledger.")
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def command(case: Path, port: int, address: str, user: str | None, role: str, purpose: str, library: str | None, no_browser: bool) -> None:
    """Serve the review page of CASE on this machine, also while `safelight run` goes on. Ctrl-C ends it; nothing that was saved is lost.

    The printed address works once, within a minute; press Enter for a new one.

    \b
      safelight serve operation.case --user "Insp. Vogt" --purpose "12 Js 345/26"
    """
    import os
    import sys

    if user:
        os.environ["SAFELIGHT_USER"] = user
    from safelight.case import Case
    from safelight.ledger import who
    from safelight.review.server import Server
    from safelight.review.serving import listen, run

    opened = Case(case)
    listening = listen(address, port)
    server = Server(opened, listening[1], who(), role, purpose, library)

    def ready() -> None:
        first = _address(server, address)
        click.echo(first)
        sys.stdout.flush()
        if sys.stdin is not None and sys.stdin.isatty():
            click.echo("The address works once, within a minute. Enter: a new address. Ctrl-C: end.", err=True)
            _new_addresses(server, address)
            if not no_browser and os.environ.get("DISPLAY", os.environ.get("WAYLAND_DISPLAY")):
                import webbrowser

                webbrowser.open(first)

    run(server, listening, ready)


def _address(server: Server, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{server.port}/#token={server.sessions.new_token()}"


def _new_addresses(server: Server, address: str) -> None:
    """Print a new address for each line that is typed."""
    import sys
    import threading

    def work() -> None:
        for _ in sys.stdin:
            click.echo(_address(server, address))

    threading.Thread(target=work, daemon=True).start()
