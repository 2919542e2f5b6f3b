"""The command `safelight`: parse, call, print. One file a command; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from safelight import __version__
from safelight.errors import INTERRUPTED, OUT_OF_RESOURCES, Stop

COMMANDS = {
    "new": "Make an empty case.",
    "add": "Add evidence: disk images and folders, as exhibits.",
    "hashset": "The unit's library of hash sets: add, list, confirm, deconfirm, verify, remove.",
    "run": "List, extract, match and stack; goes on where it was stopped.",
    "status": "What is in the case, what was not read and why, known, new.",
    "find": "Items by kind, path, state, match, problem …",
    "why": "All that is known of an item or content, and why.",
    "cat": "The bytes of one item (a disclosure: entered in the ledger).",
    "serve": "The review page, in a browser on this machine.",
    "export": "What was decided, as VICS, CSV or CASE.",
    "lookup": "Has anyone seen this? Digests, PDQ hashes or files, in the sets or in all cases.",
    "rematch": "Match all cases with new or changed sets, from stored facts; say what is new.",
    "report": "One HTML file that can be printed.",
    "verify": "Check that evidence, facts and ledger are what they were.",
}


class Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"safelight.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands, in the order of work"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "--version", message="safelight %(version)s")
def safelight() -> None:
    """From seized disks to the few things that people must look at.

    \b
    A first case:
      safelight new operation.case
      safelight add operation.case laptop.E01 phone-folder/
      safelight hashset add national.json --as illegal
      safelight run operation.case
      safelight status operation.case

    Exit codes: 0 done, 1 done with problems listed, 2 wrong use, 3 refused, 4 verification failed,
    5 out of space or resources, 130 interrupted. Data go to stdout, progress and messages to stderr.
    """


def main() -> None:
    """Run the command line; every stop has its exit code and no traceback."""
    try:
        code: Any = safelight.main(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except Stop as e:
        _say(str(e))
        sys.exit(e.code)
    except click.exceptions.Abort:
        _say("interrupted. What is done is kept; the same command goes on.")
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        _say("interrupted. What is done is kept; the same command goes on.")
        sys.exit(INTERRUPTED)
    except click.ClickException as e:
        e.show()
        sys.exit(e.exit_code)
    except BrokenPipeError:  # the reader of our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as e:
        from safelight.cli.stops import from_os_error

        stop = from_os_error(e)
        _say(str(stop))
        sys.exit(stop.code)
    except MemoryError:
        _say("out of memory. What is done is kept; give the machine more, or use fewer --workers, and run again.")
        sys.exit(OUT_OF_RESOURCES)
    except Exception as e:
        from safelight.ledger import LedgerError

        if isinstance(e, LedgerError):
            _say(f"{e}. Nothing was written.")
            sys.exit(4)
        if os.environ.get("SAFELIGHT_TRACE"):
            raise
        _say(f"a fault of Safelight itself: {type(e).__name__}: {e}. What is done is kept. Set SAFELIGHT_TRACE=1 for the traceback.")
        sys.exit(3)


def _say(text: str) -> None:
    click.echo(f"safelight: {text}", err=True)


if __name__ == "__main__":
    main()
