"""`safelight add`"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli.words import command_line, restored, size

if TYPE_CHECKING:
    from safelight.case import Case, Exhibit, Part, Scope


CHAINED = (b"KDMV", b"COWD", b"# Disk DescriptorFile", b"conectix", b"vhdxfile", b"QFI\xfb")
"""First bytes of the images that may have a parent, see `safelight.evidence.containers`."""


@click.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("evidence", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--exhibit", "label", help="Label of the exhibit; several images or folders become its sources. Default: the file's name.")
@click.option(
    "--parent",
    "parents",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The parent of a snapshot, overlay or differencing disk, nearest first (may be repeated).",
)
@click.option("--quick", is_flag=True, help="Do not digest the image files now (SHA-256): sizes and times only.")
@click.option("--verify", is_flag=True, help="Check the acquisition digests that an image carries (E01); the verdict goes to the ledger.")
@click.option("--scope-order", default="", help="The order that limits what may be looked at, e.g. its number.")
@click.option("--scope-path", multiple=True, help="Only these paths may be looked at (glob; may be repeated).")
@click.option("--scope-kind", multiple=True, help="Only these kinds of content, e.g. image (may be repeated).")
@click.option("--scope-since", default="", help="Only what was changed on this day (YYYY-MM-DD) or later.")
@click.option("--scope-until", default="", help="Only what was changed on this day or before.")
@click.option("--without-sandbox", is_flag=True, help="Parse evidence without the sandbox (with --verify). Written to the ledger.")
def command(
    case: Path,
    evidence: tuple[Path, ...],
    label: str | None,
    parents: tuple[Path, ...],
    quick: bool,
    verify: bool,
    without_sandbox: bool,
    **scope: Any,
) -> int:
    """Add EVIDENCE to CASE: disk images (the first segment is enough) and folders. Nothing is copied, nothing is changed.

    \b
    Raw, split raw, E01, VMDK, VHD, VHDX, QCOW2, VDI, DMG, ISO; or a folder.
      safelight add operation.case laptop.E01 phone-folder/ --exhibit 2016-041-A
    """
    from safelight.case import Case
    from safelight.errors import DONE, NOT_VERIFIED, Usage

    if parents and len(evidence) != 1:
        raise Usage("--parent goes with one image; add the others by themselves. Nothing was added.")
    opened = Case(case)
    restored(opened)
    sources = [
        _prepare(opened, path, label or _default_label(path), quick) for path in evidence
    ]  # all of them are good before one is written
    if parents:
        sources = [_with_parents(sources[0], parents, quick)]
    code = DONE
    for path, form, parts in sources:
        exhibit = _exhibit(opened, label or _default_label(path), form, parts, _scope(**scope))
        entered = {"form": form, "parts": [_for_ledger(p) for p in parts], "scope": _scope_facts(exhibit)}
        opened.add_exhibit(exhibit, command=command_line(), **entered)
        total = sum(p.size for p in parts)
        click.echo(f"{exhibit.key}: {form}, {len(parts)} file(s), {size(total)}" if form == "image" else f"{exhibit.key}: folder", err=True)
        if verify and form == "image" and not _verify(opened, exhibit, not without_sandbox):
            code = NOT_VERIFIED
    click.echo(f"Next: safelight run {case}", err=True)
    return code


def _prepare(case: Case, path: Path, label: str, quick: bool) -> tuple[Path, str, tuple[Part, ...]]:
    from safelight.case import Part
    from safelight.errors import Usage

    resolved = path.resolve()
    if not path.exists():
        raise Usage(f"{path} does not exist. Nothing was added.")
    if resolved == case.folder.resolve() or resolved in case.folder.resolve().parents or case.folder.resolve() in resolved.parents:
        raise Usage(f"{path} and the case lie inside one another; keep evidence and case apart. Nothing was added.")
    if path.is_dir():
        if any(e.label == label and e.parts[0].path == str(resolved) for e in case.exhibits() if e.form == "folder"):
            raise Usage(f"{resolved} is already a source of exhibit {label}. Nothing was added.")
        return path, "folder", (Part(path=str(resolved), size=0, mtime=resolved.stat().st_mtime_ns),)
    segments = _segments(path)
    known = {part.path for exhibit in case.exhibits() for part in exhibit.parts}
    for segment in segments:
        if str(segment) in known:
            raise Usage(f"{segment} is already part of an exhibit of this case. Nothing was added.")
    return path, "image", tuple(_part(s, quick) for s in segments)


def _segments(path: Path) -> list[Path]:
    from safelight.errors import Usage
    from safelight.evidence.containers.segments import SegmentGap, collect_segments

    try:
        return collect_segments(path.resolve())
    except FileNotFoundError:
        raise Usage(f"{path} does not exist. Nothing was added.") from None
    except (SegmentGap, ValueError, OSError) as e:
        raise Usage(f"{path}: {e}. Nothing was added.") from None


def _with_parents(source: tuple[Path, str, tuple[Part, ...]], parents: tuple[Path, ...], quick: bool) -> tuple[Path, str, tuple[Part, ...]]:
    """The image with the files of its parents behind its own. A parent may be an exhibit too, or the parent of another."""
    from safelight.errors import Usage

    path, form, parts = source
    # Only a format that names its parent: the files of any other are joined, and a parent would become a part of the disk.
    if form != "image" or not _head(path.resolve()).startswith(CHAINED):
        raise Usage(f"{path} is no VMDK, VHD, VHDX or QCOW image, so it has no --parent. Nothing was added.")
    files = [file for parent in parents for file in _segments(parent)]
    if any(file.is_dir() for file in files):
        raise Usage("a --parent is an image, not a folder. Nothing was added.")
    return path, form, (*parts, *(_part(file, quick) for file in files))


def _head(path: Path) -> bytes:
    import os

    with os.fdopen(_open(path), "rb") as file:
        return file.read(32)


def _open(path: Path) -> int:
    """Open a file of evidence without a trace. Raise `Usage` where it cannot be read."""
    from safelight.errors import Usage
    from safelight.evidence.folder import open_untouched

    try:
        return open_untouched(path)
    except OSError as e:
        raise Usage(f"{path} cannot be read: {e.strerror or e}. Nothing was added.") from None


def _part(path: Path, quick: bool) -> Part:
    import hashlib
    import os

    from safelight.case import Part

    with os.fdopen(_open(path), "rb") as file:
        info = os.fstat(file.fileno())
        digest = ""
        if not quick:
            hasher = hashlib.sha256()
            for block in _blocks(file, info.st_size, path.name):
                hasher.update(block)
            digest = hasher.hexdigest()
    return Part(path=str(path), size=info.st_size, mtime=info.st_mtime_ns, sha256=digest)


def _blocks(file: Any, total: int, name: str) -> Iterator[bytes]:
    with click.progressbar(length=total, label=f"digest {name}", file=sys.stderr, hidden=total < 1 << 28) as bar:
        while block := file.read(1 << 22):
            yield block
            bar.update(len(block))


def _exhibit(case: Case, label: str, form: str, parts: tuple[Part, ...], scope: Scope) -> Exhibit:
    from safelight.case import Exhibit, check_label, now

    numbers = [e.source for e in case.exhibits() if e.label == label]
    return Exhibit(label=check_label(label), source=max(numbers, default=0) + 1, form=form, parts=parts, added=now(), scope=scope)


def _default_label(path: Path) -> str:
    return path.resolve().name.replace("~", "-")


def _scope(scope_order: str, scope_path: tuple[str, ...], scope_kind: tuple[str, ...], scope_since: str, scope_until: str) -> Scope:
    from datetime import date

    from safelight.case import Scope
    from safelight.errors import Usage

    for day in (scope_since, scope_until):
        try:
            date.fromisoformat(day or "2000-01-01")
        except ValueError:
            raise Usage(f"{day!r} is no day; write YYYY-MM-DD. Nothing was added.") from None
    return Scope(order=scope_order, paths=scope_path, kinds=scope_kind, since=scope_since, until=scope_until)


def _scope_facts(exhibit: Exhibit) -> Any:
    import msgspec

    return msgspec.to_builtins(exhibit.scope)


def _for_ledger(part: Part) -> dict[str, Any]:
    from safelight.cli.words import instant

    return {"path": part.path, "size": part.size, "mtime": instant(part.mtime, "utc"), "sha256": part.sha256 or None}


def _verify(case: Case, exhibit: Exhibit, walls: bool) -> bool:
    from safelight.extract.acquisition import verdict

    found = verdict(case, exhibit, walls, command_line())
    click.echo(f"{exhibit.key}: {found['words']}", err=True)
    return bool(found["verdict"] != "different")
