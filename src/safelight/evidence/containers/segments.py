"""Which files of a folder belong to one image: by names alone, outside the sandbox, before any byte is parsed.

Knows EWF (`.E01` to `.ZZZ`), numbered raw (`.000`, `.001`, `.00`), lettered raw (`.aa`) and the extents of a split VMDK. A gap in the
numbers is an error: half an image must never be taken for the whole.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from string import ascii_uppercase

MAX_SEGMENTS = 100_000


class SegmentGap(Exception):
    """A file of a split image is not in its folder; the message names it."""


def collect_segments(path: Path) -> list[Path]:
    """Return all files of the image whose first file is `path`, in order; one file that is no part of a set gives itself.

    Raise `SegmentGap` when a later file exists and one before it does not, or when `path` is not the first of its set, and
    FileNotFoundError when `path` is not there.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    suffix = path.suffix[1:]
    if re.fullmatch(r"(?i)[es]\d\d", suffix):
        return _ewf(path)
    if re.fullmatch(r"\d{2,5}", suffix):
        return _numbered(path)
    if re.fullmatch(r"(?i)a{2,3}", suffix):
        return _lettered(path)
    if suffix.lower() == "vmdk":
        return _vmdk(path)
    return [path]


def _folder(path: Path) -> dict[str, Path]:
    """The files beside `path` that share its stem, by extension in capitals."""
    stem = path.name[: -len(path.suffix)].lower()
    found: dict[str, Path] = {}
    for other in sorted(path.parent.iterdir()):
        if not other.suffix or other.name[: -len(other.suffix)].lower() != stem or not other.is_file():
            continue
        # The file that was named wins over one that differs by letter case only.
        if other == path or other.suffix[1:].upper() not in found:
            found[other.suffix[1:].upper()] = other
    return found


def _run(path: Path, names: list[str], present: dict[str, Path]) -> list[Path]:
    """The files of the series `names`; every one up to the last that is present must be there."""
    there = [i for i, name in enumerate(names) if name in present]
    last = there[-1]
    for i in range(last + 1):
        if names[i] not in present:
            raise SegmentGap(f"{path.with_suffix('.' + names[i]).name} is not in {path.parent}, {present[names[last]].name} is")
    if present[names[0]] != path:
        raise SegmentGap(f"{path.name} is not the first file of its image, {present[names[0]].name} is")
    return [present[name] for name in names[: last + 1]]


def _ewf_names(letter: str) -> list[str]:
    """E01 to E99, EAA to EZZ, FAA to ZZZ (EWF specification, "segment file extension")."""
    names = [f"{letter}{i:02}" for i in range(1, 100)]
    for first in ascii_uppercase[ascii_uppercase.index(letter) :]:
        names.extend(f"{first}{second}{third}" for second in ascii_uppercase for third in ascii_uppercase)
    return names


def _ewf(path: Path) -> list[Path]:
    present = _folder(path)
    names = _ewf_names(path.suffix[1].upper())
    # Behind E99 only an unbroken run counts: .EXE or .FAT beside an image is no segment.
    letters = list(islice((n for n in names[99:]), MAX_SEGMENTS))
    count = next((i for i, n in enumerate(letters) if n not in present), len(letters)) if names[98] in present else 0
    return _run(path, names[: 99 + count], present)


def _numbered(path: Path) -> list[Path]:
    width = len(path.suffix) - 1
    present = {k: v for k, v in _folder(path).items() if re.fullmatch(rf"\d{{{width}}}", k)}
    start = 0 if "0" * width in present else 1
    if start == 1 and f"{1:0{width}}" not in present:
        # Two digits are also versions and dates (report.10, report.11): only a set that begins is one (`split -d` writes x.00 on).
        if width > 2 and int(path.suffix[1:]) > 1 and len(present) > 1:
            raise SegmentGap(
                f"neither {path.with_suffix('.' + '0' * width).name} nor {path.with_suffix(f'.{1:0{width}}').name} is in {path.parent}"
            )
        return [path]
    last = max(int(k) for k in present)
    return _run(path, [f"{i:0{width}}" for i in range(start, min(last, MAX_SEGMENTS) + 1)], present)


def _lettered(path: Path) -> list[Path]:
    width = len(path.suffix) - 1
    present = {k: v for k, v in _folder(path).items() if re.fullmatch(rf"[A-Z]{{{width}}}", k)}
    names = [""]
    for _ in range(width):
        names = [n + c for n in names for c in ascii_uppercase]
    # Only an unbroken run: .doc beside .aaa is no segment; but one file behind a gap of one is a gap.
    count = next((i for i, n in enumerate(names) if n not in present), len(names))
    if count + 1 < len(names) and names[count + 1] in present:
        raise SegmentGap(
            f"{path.with_suffix('.' + names[count].lower()).name} is not in {path.parent}, {present[names[count + 1]].name} is"
        )
    return [present[n] for n in names[:count]]


def _vmdk(path: Path) -> list[Path]:
    """The descriptor and every extent named like it: NAME-s001.vmdk, NAME-f001.vmdk, NAME-flat.vmdk, NAME-delta.vmdk.

    What the descriptor really names is read inside the sandbox; gaps are found there.
    """
    stem = path.name[: -len(path.suffix)]
    pattern = re.compile(rf"{re.escape(stem)}-(?:[sf]\d{{3,4}}|flat|delta|sesparse|rdm|rdmp|pt)\.vmdk", re.IGNORECASE)
    return [path, *sorted(p for p in path.parent.iterdir() if pattern.fullmatch(p.name) and p.is_file())]
