"""`safelight hashset`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from safelight.cli.words import table

_library = click.option("--library", help="Folder of hash sets (default: $SAFELIGHT_LIBRARY, else the user's data folder).")
_format = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group()
def command() -> None:
    """The unit's library of hash sets, outside all cases.

    \b
    VICS (Project VIC, CAID) JSON, ICSE, NSRL RDS 2 and 3, Sleuth Kit, EnCase, HashKeeper, md5sum/BSD/hashdeep lists,
    CSV, PDQ lists, ThreatExchange, NCMEC. What an import skipped, and why, is always said.
    """


@command.command("add")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "as_", type=click.Choice(["illegal", "irrelevant", "other", "known"]), help="What the unit takes the set as.")
@click.option("--name", help="Name of the set (default: the file's name). The same name: a new version.")
@click.option("--set-version", "--version", "version", help="Version (default: the next number).")
@click.option("--owner", default="", help="Whose list it is.")
@click.option("--scheme", help="Scheme of its categories, e.g. vics-us, where the file does not say.")
@click.option("--type", "declared_type", type=click.Choice(["md5", "sha1", "sha256", "sha512", "pdq"]), help="Where the file cannot tell.")
@click.option("--file-format", help="Name of the format, where it is not recognised.")
@click.option("--column", multiple=True, metavar="HEADER=FIELD", help="CSV: which column holds what, e.g. Prüfsumme=md5 or #1=sha256.")
@click.option("--delta", multiple=True, type=click.Path(exists=True, path_type=Path), help="NSRL 3 delta scripts, in order.")
@click.option("--case-as-set", is_flag=True, help="A VICS case (not a list) is meant to be used as a hash set.")
@click.option("--without-sandbox", is_flag=True, help="Parse the file without the sandbox.")
@_library
@_format
def add(
    file: Path, as_: str | None, name: str | None, version: str | None, owner: str, scheme: str | None, declared_type: str | None,
    file_format: str | None, column: tuple[str, ...], delta: tuple[Path, ...], case_as_set: bool, without_sandbox: bool, library: str | None,
    form: str,
) -> int:  # fmt: skip
    """Import FILE. Streams a file of any size in bounded memory; a killed import leaves the library as it was."""
    from safelight.errors import DONE, DONE_WITH_PROBLEMS, NOT_VERIFIED, Usage
    from safelight.match.entries import Options, Refused
    from safelight.match.importer import import_set
    from safelight.match.library import Library
    from safelight.match.sandboxed import sandboxed_reader

    columns = dict(c.rpartition("=")[::2] for c in column)
    try:
        report = import_set(
            Library(library),
            file,
            name=name or file.name.split(".")[0],
            as_=as_,
            version=version,
            owner=owner,
            scheme=scheme,
            format=file_format,
            options=Options(declared_type=declared_type, columns=columns),
            deltas=delta,
            accept_case=case_as_set,
            reader=sandboxed_reader(not without_sandbox),
        )
    except Refused as e:
        raise Usage(f"{e}. The library is unharmed.") from None
    if form == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        _print(report)
    if report.needs_confirmation:
        return NOT_VERIFIED
    return DONE_WITH_PROBLEMS if report.skipped or report.conflicts or report.warnings else DONE


def _print(r: Any) -> None:
    click.echo(f"{r.name} {r.version}, taken as {r.as_} ({r.format}{f', scheme {r.scheme}' if r.scheme else ''}): {r.state}")
    skipped = ", ".join(f"{n} {why}" for why, n in r.skipped.items()) or "none"
    click.echo(f"  {r.records_read} records read = {r.records_stored} stored + {sum(r.skipped.values())} skipped ({skipped})")
    exact, perceptual = r.matchable["exact"], r.matchable["perceptual"]
    click.echo("  can be matched: " + (", ".join(f"{n} {m}" for m, n in {**exact, **perceptual}.items()) or "nothing"))
    if r.opaque:
        click.echo("  stored, not matchable here: " + ", ".join(f"{n} {m}" for m, n in r.opaque.items()))
    for what, found in (("values rejected", r.values_rejected), ("conflicts", r.conflicts), ("categories", r.categories)):
        if found:
            click.echo(f"  {what}: " + ", ".join(f"{n} × {k}" for k, n in found.items()))
    for reason, places in r.positions.items():
        where = ", ".join(f"record {p}" + (f" (line {line})" if line else "") for p, line in places)
        click.echo(f"  {reason}: {where}")
    for line in (*r.incomplete, *r.warnings, *r.messages):
        click.echo(f"  ! {line}")
    if r.needs_confirmation:
        click.echo(f"  It is not matched with until a person says so: safelight hashset confirm {r.name!r}")


@command.command("list")
@click.option("--history", is_flag=True, help="Old versions too.")
@_library
@_format
def list_(history: bool, library: str | None, form: str) -> None:
    """Print the sets, what each is taken as, and how many entries can be matched by which method."""
    from safelight.match.library import Library

    shelf = Library(library)
    sets = shelf.list(history)
    if form == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(sets)))
        return
    rows = [
        (
            s.name,
            s.version,
            s.as_,
            s.state,
            s.records,
            *(s.matchable.get(m, 0) for m in ("md5", "sha1", "sha256", "pdq")),
            s.owner,
            s.imported_at,
        )
        for s in sets
    ]
    table(("set", "version", "as", "state", "records", "md5", "sha1", "sha256", "pdq", "owner", "imported"), rows)
    click.echo(f"{len(rows)} sets in {shelf.path}", err=True)


@command.command("confirm")
@click.argument("name")
@click.option("--set-version", "version", help="Which version (default: the newest).")
@_library
def confirm(name: str, version: str | None, library: str | None) -> None:
    """Let a set that is incomplete (or a case) be matched with: a person has looked at its report."""
    from safelight.errors import Usage
    from safelight.ledger import who
    from safelight.match.entries import Refused
    from safelight.match.library import Library

    try:
        Library(library).confirm(name, version, who())
    except Refused as e:
        raise Usage(str(e)) from None
    click.echo(f"{name}: confirmed by {who()}", err=True)


@command.command("remove")
@click.argument("name")
@click.option("--set-version", "version", help="Only this version (default: the set with its history).")
@_library
def remove(name: str, version: str | None, library: str | None) -> None:
    """Remove a set, or one version of it. The next run of a case drops its matches."""
    from safelight.errors import Usage
    from safelight.match.entries import Refused
    from safelight.match.library import Library

    try:
        Library(library).remove(name, version)
    except Refused as e:
        raise Usage(str(e)) from None
    click.echo(f"{name}: removed", err=True)


@command.command("verify")
@click.argument("names", nargs=-1)
@_library
def verify(names: tuple[str, ...], library: str | None) -> int:
    """Digest every file of all sets (or of those named), with their history; check the order of their keys, and the negative list."""
    from safelight.errors import DONE, NOT_VERIFIED, Usage
    from safelight.ledger import LedgerError
    from safelight.match.deconfirmed import NegativeList
    from safelight.match.entries import Refused
    from safelight.match.indexes import SetDamaged
    from safelight.match.library import Library

    shelf, wrong = Library(library), 0
    sets = [s for s in shelf.list(history=True) if not names or s.name in names]
    if missing := sorted(set(names) - {s.name for s in sets}):
        raise Usage(f"no hash set {', '.join(missing)} in {shelf.path}")
    for s in sets:
        try:
            shelf.verify(s.name, s.version)
        except (SetDamaged, Refused) as e:
            wrong += 1
            click.echo(f"{s.name} {s.version}: {e}. Nothing is matched with it; import it again.")
    try:
        marks = NegativeList(shelf).ledger.verify()
    except LedgerError as e:
        wrong, marks = wrong + 1, 0
        click.echo(f"negative list: {e}. Restore {shelf.path / 'deconfirmed'} from a copy.")
    click.echo(f"{'NOT verified' if wrong else 'verified'}: {len(sets)} versions of sets, {marks} entries of the negative list")
    return NOT_VERIFIED if wrong else DONE


_entry = click.argument("entry", type=click.IntRange(1))
_content = click.option("--content", default="", metavar="SHA256", help="Only for this content (default: for all).")
_why = click.option("--why", required=True, help="The reason; stands in the negative list with your name.")


@command.command("deconfirm")
@click.argument("name")
@_entry
@_content
@_why
@click.option("--set-version", "version", help="Version in which the entry has this number (default: the current one).")
@_library
def deconfirm(name: str, entry: int, content: str, why: str, version: str | None, library: str | None) -> None:
    """Mark ENTRY of the set NAME as wrong: its matches are kept, shown as deconfirmed, and no longer counted as known.

    The unit's negative list is append-only and holds for all cases, and for later versions of the set that have the same value.

    \b
      safelight hashset deconfirm National 4711 --why "holiday picture, seen by two"
      safelight hashset deconfirm National 4711 --content 3f0c…64 digits --why "another picture with the same hash"
    """
    from safelight.errors import Usage
    from safelight.match.deconfirmed import NegativeList
    from safelight.match.entries import Refused
    from safelight.match.indexes import SetDamaged
    from safelight.match.library import Library

    try:
        marked = NegativeList(Library(library)).deconfirm(name, entry, why, _sha256(content), version)
    except (Refused, SetDamaged) as e:
        raise Usage(str(e)) from None
    places = "; ".join(f"version {v}: entry {', '.join(map(str, found))}" for v, found in marked.entries.items())
    click.echo(f"{name}: deconfirmed by {marked.who} ({places})", err=True)


@command.command("reconfirm")
@click.argument("name")
@_entry
@_content
@_why
@click.option("--set-version", "version", help="Version in which the entry has this number (default: the current one).")
@_library
def reconfirm(name: str, entry: int, content: str, why: str, version: str | None, library: str | None) -> None:
    """Take a mark of `deconfirm` back. Both stay in the negative list."""
    from safelight.errors import Usage
    from safelight.match.deconfirmed import NegativeList
    from safelight.match.entries import Refused
    from safelight.match.library import Library

    try:
        NegativeList(Library(library)).reconfirm(name, entry, why, _sha256(content), version)
    except Refused as e:
        raise Usage(str(e)) from None
    click.echo(f"{name}: entry {entry} counts again", err=True)


def _sha256(text: str) -> str:
    from safelight.errors import Usage

    text = text.strip().lower()
    if text and (len(text) != 64 or set(text) - set("0123456789abcdef")):
        raise Usage("--content is a SHA-256 of 64 hexadecimal digits (`safelight why` prints it)")
    return text


@command.command("deconfirmed")
@_library
@_format
def deconfirmed(library: str | None, form: str) -> None:
    """Print the negative list: what is marked, by whom and why."""
    from safelight.match.deconfirmed import NegativeList
    from safelight.match.library import Library

    marks = NegativeList(Library(library)).active()
    if form == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(marks)))
        return
    rows = [
        (m.set, " ".join(f"{v}:{','.join(map(str, found))}" for v, found in m.entries.items()), m.sha256 or "all", m.who, m.at[:19], m.why)
        for m in marks
    ]
    table(("set", "version:entry", "content", "who", "when", "why"), rows)
