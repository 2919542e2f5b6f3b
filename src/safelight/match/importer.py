"""Import a hash set into the library: stream the source, judge, spill, sort, seal, rename. Memory does not grow with the source.

The reader (hostile bytes) is kept apart from this writer: `reader` is called with the path and gives events; the command line passes
one that runs it in a sandbox worker. What it answers is checked here again. A killed import leaves the library as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import safelight
from safelight.durable import digest_file, sync_folder, write_atomically
from safelight.match.assertions import SetWriter
from safelight.match.deconfirmed import NegativeList
from safelight.match.entries import Block, Columns, Event, Fact, HashSetFormat, Incomplete, Options, Record, Refused, Skip, Warn
from safelight.match.formats import HEAD, by_name, detect, events_of
from safelight.match.formats.nsrl import apply_delta
from safelight.match.indexes import seal
from safelight.match.library import AS, FORMAT, Library, Manifest, folder_name
from safelight.match.report import ImportReport, Tally
from safelight.match.schemes import scheme_of, schemes

Reader = Callable[[Path, HashSetFormat, Options], Iterator[Event]]
Paths = Sequence[str | os.PathLike[str]]
KNOWN_FORMATS = ("nsrl-rds2", "nsrl-rds3")


def read_here(path: Path, known: HashSetFormat, options: Options) -> Iterator[Event]:
    """Run a reader in this process (tests, and where the caller is itself inside a sandbox)."""
    with path.open("rb") as stream:
        yield from events_of(known, stream, msgspec.structs.replace(options, path=str(path)))


def recognise(path: Path, name: str | None) -> HashSetFormat:
    """Return the format that was named, or the one that is recognised; raise `Refused` where none is."""
    if name is not None:
        return by_name(name)
    with path.open("rb") as stream:
        found = detect(stream.read(HEAD), path.name)
    if found is None:
        raise Refused(f"{path.name}: not recognised as a hash set; name its format")
    return found


def import_set(
    library: Library,
    path: str | os.PathLike[str],
    *,
    name: str,
    as_: str | None = None,
    version: str | None = None,
    owner: str = "",
    scheme: str | None = None,
    format: str | None = None,
    options: Options | None = None,
    deltas: Paths = (),
    accept_case: bool = False,
    reader: Reader = read_here,
) -> ImportReport:
    """Import one source as a new version of the set `name` and return its report; it becomes the current version if it is whole.

    `as_`: what the unit takes it as (illegal, irrelevant, other, known); may be left out only where the source can mean one thing
    (NSRL, NIST's "CAID" files: known). `version`: next number by default. `scheme`: of the categories; by default what the source
    names. `deltas`: RDS 3 delta scripts, in order. A set that is incomplete, or a case without `accept_case`, waits for
    `Library.confirm` and leaves the version before it current. Raise `Refused` with the library unharmed.
    """
    source = Path(path)
    if as_ is not None and as_ not in AS:
        raise Refused(f"a set is taken as one of {', '.join(AS)}, not {as_!r}")
    if scheme is not None and scheme not in schemes():
        raise Refused(f"unknown category scheme {scheme!r}; known: {', '.join(schemes())}")
    folder_name(name)
    known = recognise(source, format)
    chosen = msgspec.structs.replace(options or Options(), name=source.name)
    if known.name == "pdq-list" and chosen.declared_type is None:
        chosen = msgspec.structs.replace(chosen, declared_type="pdq")
    with library.writing():
        building = library.path / ".importing" / "set"
        building.mkdir(parents=True)
        try:
            report = _report(library, source, name, version, owner, known, deltas)
            report.as_ = as_ or ""
            whole = _with_deltas(source, deltas, building)
            _fill(building, report, reader(whole, known, chosen), scheme, accept_case)
            if digest_file(source) != report.source_sha256:
                raise Refused(f"{source.name} changed while it was read")
            _publish(library, building, report)
            if marked := NegativeList(library).carry(library.open(report.name, report.version, unconfirmed=True)):
                report.messages.append(f"{marked} marks of the negative list stand in this version too")
        finally:
            shutil.rmtree(library.path / ".importing", ignore_errors=True)
    return report


def _report(
    library: Library, source: Path, name: str, version: str | None, owner: str, known: HashSetFormat, deltas: Paths
) -> ImportReport:
    versions = library.versions(name)
    if version is None:
        version = str(max([int(v) for v in versions if v.isascii() and v.isdigit() and len(v) < 10], default=0) + 1)
    if version in versions:
        raise Refused(f"{name} {version} is in the library already; a version is never changed, give another")
    folder_name(version)
    return ImportReport(
        name=name,
        version=version,
        owner=owner,
        format=known.name,
        source_name=source.name,
        source_size=source.stat().st_size,
        source_sha256=digest_file(source),
        source_files={Path(d).name: digest_file(Path(d)) for d in deltas},
        imported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        program=f"safelight {safelight.__version__}",
    )


def _with_deltas(source: Path, deltas: Paths, building: Path) -> Path:
    """Return the source, or a copy of it with the deltas applied."""
    if not deltas:
        return source
    copy = building / "base.db"
    shutil.copyfile(source, copy)
    for delta in deltas:
        with Path(delta).open("rb") as stream:
            apply_delta(str(copy), stream)
    return copy


def _fill(building: Path, report: ImportReport, events: Iterator[Event], scheme: str | None, accept_case: bool) -> None:
    """Write all files of the version below `building` and complete the report."""
    tally = Tally(report)
    writer = SetWriter(building, f"{report.name}|{report.version}")
    for event in events:
        if isinstance(event, Record):
            tally.record(event)
            writer.add(event)
        elif isinstance(event, Block):
            columns = Columns(event)
            tally.block(event, columns)
            writer.add_block(event, columns)
        elif isinstance(event, Skip):
            tally.skip(event)
        elif isinstance(event, Fact):
            tally.fact(event)
        elif isinstance(event, Warn):
            report.warnings.append(event.text)
        elif isinstance(event, Incomplete):
            report.incomplete.append(event.why)
    scheme = _settle(report, tally, scheme)
    distinct, opaque = writer.finish(scheme)
    tally.finish(scheme, distinct, opaque)
    report.duplicates, report.conflicts = writer.duplicates, writer.conflicts
    report.low_quality, report.used_for_matching = writer.low_quality, writer.used_pdq
    is_case = report.facts.get("shape") == "Cases"
    if is_case:
        report.warnings.append("a case, not a hash set: ask before using as a set")
    report.needs_confirmation = report.state == "incomplete" or (is_case and not accept_case)
    if not report.adds_up():
        raise AssertionError(f"{report.records_read} records read, {report.records_stored} stored, {report.skipped} skipped")
    files = {p.name: seal(p) for p in sorted(building.iterdir()) if p.name != "base.db"}
    manifest = Manifest(
        format=FORMAT,
        report=report,
        rows=writer.rows,
        total_rows=writer.total_rows,
        methods=writer.methods,
        categories=writer.category_list(scheme),
        files=files,
    )
    (building / "base.db").unlink(missing_ok=True)
    write_atomically(building / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))


def _settle(report: ImportReport, tally: Tally, scheme: str | None) -> str | None:
    """Decide scheme and meaning, now that all categories are known. NIST's "CAID" is never a list of illegal pictures (T10)."""
    facts = report.facts
    codes = {code for _, code in tally.category_counts}
    nist = facts.get("version") == "1.2" and facts.get("scope") == "Media" and codes == {"8"} and report.format == "vics"
    if nist:
        scheme = "nist-caid"
        report.warnings.append("known software media: list of known, never of illegal; import must not raise one alert")
    elif scheme is None:
        version, region = facts.get("version"), facts.get("region")
        own = {s for s, code in tally.category_counts if s is not None}
        scheme = own.pop() if len(own) == 1 else scheme_of(str(version) if version else None, str(region) if region else None)
        if scheme is None and codes - {None}:
            report.messages.append("the categories have no known scheme: choose one before they are shown as a verdict")
    only = "known" if nist or report.format in KNOWN_FORMATS else None
    if nist and report.as_ == "illegal":
        raise Refused("this is NIST's list of known software media (category 8 on every record): it cannot be taken as illegal")
    if not report.as_ and only is None:
        raise Refused("say what the set is taken as: illegal, irrelevant, other or known")
    report.as_ = report.as_ or only or ""
    return scheme


def _publish(library: Library, building: Path, report: ImportReport) -> None:
    """Let the version appear: all at once, durable, current only if it is whole."""
    folder = library.set_folder(report.name)
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(building)
    building.rename(folder / folder_name(report.version))
    sync_folder(folder)
    sync_folder(library.sets)
    if not report.needs_confirmation:
        library.make_current(report.name, report.version)
