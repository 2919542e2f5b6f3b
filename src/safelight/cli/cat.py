"""`safelight cat`"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from safelight.cli.words import command_line


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("name", metavar="ITEM")
@click.option("--purpose", default="", help="Why and for whom; stands in the ledger.")
@click.option("--without-sandbox", is_flag=True, help="Parse evidence without the sandbox. Written to the ledger.")
def command(case: Path, name: str, purpose: str, without_sandbox: bool) -> None:
    """Write the bytes of ITEM (an item id or a digest) to stdout, opened again by its origin.

    This is a disclosure and is entered in the ledger before the first byte. The digest is checked on the way.

    \b
      safelight cat operation.case 3f0c9d2e11aa > file.jpg
    """
    from safelight.access import Gate
    from safelight.case import Case
    from safelight.errors import NotVerified, Refused

    gate = Gate(Case(case), purpose)
    item = next((i for i in gate.items(name) if i["sha256"] is not None), None)
    if item is None:
        raise Refused(f"{name} has no content that could be read (`safelight why` says why). Nothing was written.")
    if sys.stdout.isatty():
        raise Refused("the bytes would go to the terminal. Write them to a file: safelight cat CASE ITEM > file")
    digest = bytes(item["sha256"]).hex()
    gate.log("disclose", command_line(), item=bytes(item["item_id"]).hex(), origin=item["origin"], sha256=digest, walls=not without_sandbox)
    hasher = hashlib.sha256()
    for chunk in read(gate.case, item, not without_sandbox):
        hasher.update(chunk)
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    if hasher.hexdigest() != digest:
        raise NotVerified(
            f"the bytes are not those that were extracted (SHA-256 {digest}): the evidence has changed. Do not use the output."
        )


def read(case: Any, item: dict[str, Any], walls: bool) -> Iterator[bytes]:
    """Yield the bytes of an item by its origin. Raise `Refused` where they cannot be read."""
    from safelight.case import source_key
    from safelight.errors import Refused
    from safelight.evidence.folder import Folder
    from safelight.evidence.origin import file_name, parse
    from safelight.extract.listing import open_image
    from safelight.sandbox import protocol
    from safelight.sandbox.parent import RequestFailed, Sandbox, WorkerDied

    exhibit = case.exhibit(source_key(item["exhibit"], item["source"]))
    origin, descriptors = item["origin"].removeprefix(exhibit.prefix), []
    with Sandbox("full", walls) as worker:
        try:
            if exhibit.form == "folder":
                path = file_name(parse(origin)[1].argument)
                descriptors = [Folder(Path(exhibit.parts[0].path)).open(path)]
            else:
                open_image(worker, exhibit)
            for answer in worker.ask(protocol.Read(origin, 0 if descriptors else -1), descriptors):
                assert isinstance(answer, protocol.Chunk)
                yield answer.data
        except (RequestFailed, WorkerDied, OSError) as e:
            raise Refused(f"{item['path']} cannot be read again: {getattr(e, 'reason', e)}. Nothing was changed.") from None
        finally:
            for fd in descriptors:
                os.close(fd)
