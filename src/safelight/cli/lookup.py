"""`safelight lookup`"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import click

from safelight.cli.words import command_line, table
from safelight.escape import cell, printable

COLUMNS = ("query", "set", "version", "entry", "distance", "form", "category", "as", "method", "transform", "box")
"""The first seven are promised: their names and their order stay."""
HELD = ("query", "case", "exhibit", "item", "state", "path", "method", "distance", "transform", "form")


@click.command()
@click.argument("queries", nargs=-1, metavar="[DIGEST | FILE | -]...")
@click.option("--digests", type=click.Path(dir_okay=False, allow_dash=True), help="Digests, one a line (md5sum lists too); - is stdin.")
@click.option("--pdq", type=click.Path(dir_okay=False, allow_dash=True), help="PDQ hashes, one a line; - is stdin.")
@click.option("--distance", type=click.IntRange(0, 64), default=31, show_default=True, help="Largest PDQ distance of a match, in bits.")
@click.option("--set", "sets", multiple=True, help="Only this hash set (may be repeated).")
@click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
@click.option("--cases", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Ask all cases below this folder instead.")
@click.option("--purpose", default="", help="With --cases: why; stands in the ledger of each case.")
@click.option("--without-sandbox", is_flag=True, help="Parse the files without the sandbox.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "jsonl"]), default="table", show_default=True)
def command(queries: tuple[str, ...], form: str, purpose: str, cases: Path | None, **options: Any) -> int:
    """Has anyone seen this? Ask the hash sets about digests (MD5, SHA-1, SHA-256), PDQ hashes, or files, which are hashed in the sandbox.
    With --cases: which exhibits of all cases hold it, each case within its scope; every case writes the question to its ledger.

    "No match" is: not in these sets, by these methods.

    \b
      safelight lookup d41d8cd98f00b204e9800998ecf8427e picture.jpg
      safelight lookup --digests list.txt --format jsonl
      safelight lookup --pdq hashes.txt --distance 20
      md5sum * | safelight lookup - --cases /unit/cases
    """
    from safelight.errors import DONE, DONE_WITH_PROBLEMS, NotVerified, Usage
    from safelight.match.canaries import CanaryLost
    from safelight.match.indexes import SetDamaged

    asking = Asking(queries, options)
    if not asking.sources and not asking.files:
        raise Usage("nothing to look up: give digests, files, --digests FILE or --pdq FILE (- is stdin)")
    try:
        if cases is not None:
            asking.ask_cases(cases, purpose, Printer(HELD, form))
        else:
            asking.ask_sets(Printer(COLUMNS, form))
    except (CanaryLost, SetDamaged) as e:
        raise NotVerified(f"{e} What was printed is not complete.") from None
    for line in asking.problems[:20]:
        click.echo(line, err=True)
    if len(asking.problems) > 20:
        click.echo(f"… and {len(asking.problems) - 20} more", err=True)
    click.echo(f"{asking.asked} queries, {asking.hit} with a match; {len(asking.problems)} problems", err=True)
    return DONE_WITH_PROBLEMS if asking.problems else DONE


class Printer:
    """Prints rows as they come."""

    def __init__(self, columns: Sequence[str], form: str) -> None:
        self.columns, self.form = columns, form
        self.begun = False
        self._csv = csv.writer(sys.stdout, lineterminator="\r\n")

    def rows(self, rows: Iterator[Sequence[Any]]) -> None:
        """Print rows whose columns are those of this printer."""
        if self.form == "jsonl":
            import msgspec

            encoder, out = msgspec.json.Encoder(), sys.stdout.buffer
            for row in rows:
                out.write(encoder.encode(dict(zip(self.columns, row, strict=True))) + b"\n")
        elif self.form == "csv":
            if not self.begun:
                sys.stdout.write("\ufeff")
                self._csv.writerow(self.columns)
            for row in rows:
                self._csv.writerow(["" if v is None else cell(printable(v)) if isinstance(v, str) else v for v in row])
        else:
            while part := list(itertools.islice(rows, 1000)):
                table(self.columns, part, headers_shown=not self.begun)
                self.begun = True
        self.begun = True


class Asking:
    """What was asked, batch by batch, and what came of it."""

    def __init__(self, queries: tuple[str, ...], options: dict[str, Any]) -> None:
        from safelight.errors import Usage
        from safelight.match.lookup import BY_DIGITS

        self.options = options
        self.problems: list[str] = []
        self.asked = self.hit = 0
        typed = [q for q in queries if len(q) in BY_DIGITS and not set(q) - set("0123456789abcdefABCDEF")]
        rest = [q for q in queries if q not in typed]
        self.files = [Path(q) for q in rest if q != "-"]
        for path in self.files:
            if not path.is_file():
                raise Usage(f"{str(path)!r} is neither an MD5, SHA-1 or SHA-256 in hexadecimal digits nor a file")
        self.sources: list[tuple[str, list[str] | str, bool]] = [("arguments", typed, False)] if typed else []
        named = [("-", False)] if "-" in rest else []
        named += [(options[n], n == "pdq") for n in ("digests", "pdq") if options[n]]
        if sum(n == "-" for n, _ in named) > 1:
            raise Usage("stdin can be read once only")
        self.sources += [("stdin" if n == "-" else n, n, pdq) for n, pdq in named]

    def batches(self) -> Iterator[Any]:
        """Yield the batches of queries; lines that are none become problems."""
        from safelight.match.lookup import BATCH, asked

        for name, source, pdq in self.sources:
            lines: Any = iter(source) if isinstance(source, list) else _lines(source)
            before = 0
            while part := list(itertools.islice(lines, BATCH)):
                batch, wrong = asked(part, pdq)
                blank = [n for n in wrong if not batch.texts[n] or batch.texts[n].startswith("#")]
                what = "PDQ hash of 64" if pdq else "MD5, SHA-1 or SHA-256 in 32, 40 or 64"
                self.problems += [
                    f"{name}, line {before + n + 1}: no {what} hexadecimal digits: {printable(batch.texts[n][:80])!r}"
                    for n in wrong
                    if n not in set(blank)
                ]
                self.asked += len(batch) - len(wrong)
                before += len(part)
                yield batch

    def hashed(self) -> Any:
        """Return the files, hashed."""
        from safelight.match.hashing import hash_files

        hashed = hash_files(self.files, not self.options["without_sandbox"])
        self.problems += [f"{printable(name)}: {reason}" for name, reason in hashed.problems]
        self.asked += sum(len(n) for n in hashed.names.values())
        return hashed

    def counted(self, rows: Iterator[Any]) -> Iterator[Any]:
        """Pass rows on, counting the queries (they come in order) that hit."""
        last = -1
        for row in rows:
            self.hit += row.of != last
            last = row.of
            yield row

    def ask_sets(self, printer: Printer) -> None:
        """Ask the hash sets."""
        from safelight.errors import Usage
        from safelight.match.entries import Refused
        from safelight.match.library import Library
        from safelight.match.lookup import file_matches, matches, open_sets

        library, distance = Library(self.options["library"]), self.options["distance"]
        try:
            sets = open_sets(library, self.options["sets"])
        except Refused as e:
            raise Usage(str(e)) from None
        if not sets:
            raise Usage(f"there is no hash set to look in, in {library.path}. Import one: safelight hashset add FILE --as …")
        if self.files:
            hashed = self.hashed()
            printer.rows(_set_row(str(self.files[f.of]), f) for f in self.counted(file_matches(hashed, sets, distance)))
        for batch in self.batches():
            printer.rows(_set_row(batch.texts[f.of], f) for f in self.counted(matches(batch, sets, distance)))

    def ask_cases(self, folder: Path, purpose: str, printer: Printer) -> None:
        """Ask every case below a folder; one that cannot be asked is a problem and the others go on."""
        from safelight.access import Gate
        from safelight.case import Case
        from safelight.cli.cases import cases_below, held
        from safelight.errors import Stop
        from safelight.ledger import LedgerError

        if self.options["sets"]:
            from safelight.errors import Usage

            raise Usage("--set and --cases exclude one another: cases are asked for their contents, not for their matches")
        batches = [self._files_asked()] if self.files else []
        gates: list[Gate] = []
        for path in cases_below(folder):
            try:
                gate = Gate(Case(path), purpose)
                gate.log("consult", command_line(), shows="lookup")
                gates.append(gate)
            except (Stop, LedgerError) as e:
                self.problems.append(f"{path}: not asked: {e}")
        for batch in itertools.chain(batches, self.batches()):
            seen: set[int] = set()
            for gate in gates:
                printer.rows((batch.texts[r.query], *r[1:]) for r in _noting(held(gate, batch, self.options["distance"]), seen))
            self.hit += len(seen)

    def _files_asked(self) -> Any:
        """Return the files as a batch of digests and of the PDQ hashes of their forms."""
        import numpy as np

        from safelight.match.lookup import Asked
        from safelight.match.pdq import QUALITY
        from safelight.match.pictures import Queries

        hashed, batch = self.hashed(), Asked()
        batch.texts = [str(f) for f in self.files]
        own = [(number, sha256) for sha256, numbers in hashed.names.items() for number in numbers]
        values = np.frombuffer(b"".join(sha256 for _, sha256 in own), np.uint8).reshape(-1, 32)
        batch.values["sha256"] = np.array([n for n, _ in own], np.int64), values
        pictures = Queries(hashed.pictures, QUALITY)
        straight = np.flatnonzero(pictures.slot == 0)
        named = [(number, at) for at in straight.tolist() for number in hashed.names[pictures.names[pictures.picture[at]].tobytes()]]
        if named:
            batch.values["pdq"] = np.array([n for n, _ in named], np.int64), pictures.hashes[[at for _, at in named]]
        return batch


def _noting(rows: Iterator[Any], seen: set[int]) -> Iterator[Any]:
    for row in rows:
        seen.add(row.query)
        yield row


def _set_row(query: str, f: Any) -> tuple[Any, ...]:
    return query, f.set, f.version, f.entry, f.distance, f.form, f.category, f.as_, f.method, f.transform, f.box


def _lines(name: str) -> Iterator[str]:
    """Yield the lines of a file or of stdin; what is not UTF-8 is shown as such and is no digest."""
    stream: IO[bytes] = sys.stdin.buffer if name == "-" else open(name, "rb")  # noqa: SIM115
    try:
        while raw := stream.readline(1 << 16):
            yield raw.decode("utf-8", "backslashreplace")
    finally:
        if name != "-":
            stream.close()
