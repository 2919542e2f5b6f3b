"""Records that no name leads to, found by our own search when the library's is too dear or fails.

The rule is that of the Sleuth Kit (`tsk_fs_dir_find_orphans`): every free record that was used and that the walk did not name
is an orphan, except where it stands in an orphaned folder, since it is listed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from safelight.evidence.filesystems.tsk_entry import DIRECTORY, SAME_SEQUENCE, Name
from safelight.evidence.filesystems.tsk_image import LIBRARY_ERRORS
from safelight.evidence.source import Unreadable
from safelight.problems import Problem

if TYPE_CHECKING:
    from safelight.evidence.filesystems.tsk import TskFileSystem

MAX_ORPHANS = 4_000_000
MAX_FOLDER_STEPS = 200_000
"""Names that are looked at below one orphaned folder."""


def lost(
    fs: TskFileSystem, candidates: Iterator[tuple[int, bool]], name_of: Callable[[int], bytes | None] = lambda _: None
) -> Iterator[Name | Problem]:
    """Yield an orphan for each candidate (record, is a folder) that was not named and does not stand in an orphaned folder."""
    inside: set[int] = set()
    numbers: list[int] = []
    try:
        for number, is_folder in candidates:
            if number in fs.named_free or number in inside:
                continue
            if len(numbers) >= MAX_ORPHANS:
                yield Problem("limit.entries", f"more than {MAX_ORPHANS} orphaned records; the rest are not listed", "", False)
                break
            numbers.append(number)
            if is_folder:
                _load(fs, number, inside)
    except Unreadable as e:
        yield Problem(e.kind, f"the search for orphaned records ended early: {e}", "", False)
    _drop(numbers, inside)
    for number in numbers:
        yield Name(name_of(number) or b"OrphanFile-%d" % number, False, number, 0, SAME_SEQUENCE)


def _drop(numbers: list[int], inside: set[int]) -> None:
    """Remove what an orphaned folder lists; the last one takes the free place, as in the Sleuth Kit, so that orders are equal."""
    at = 0
    while at < len(numbers):
        if numbers[at] in inside:
            if len(numbers) > 1:
                numbers[at] = numbers[-1]
            numbers.pop()
        at += 1


def _load(fs: TskFileSystem, number: int, inside: set[int]) -> None:
    """Walk an orphaned folder and note the free records in it; stop at the first that is in use or was noted already."""
    stack, on_path, steps = [(fs.folder_names(number), number)], {number}, 0
    while stack:
        names, current = stack[-1]
        try:
            name, file = next(names)
        except StopIteration:
            stack.pop()
            on_path.discard(current)
            continue
        except (Unreadable, *LIBRARY_ERRORS):
            # The entries of this folder are listed later by the walk itself, and what fails there becomes a problem there.
            stack.pop()
            on_path.discard(current)
            continue
        steps += 1
        if steps > MAX_FOLDER_STEPS:
            return
        if isinstance(name, Problem) or name.name in (b".", b"..") or file is None or file.info.meta is None:
            continue
        meta = file.info.meta
        if not name.live:
            if int(meta.flags) & 1 or name.address in inside:
                return
            inside.add(name.address)
        if int(meta.type) == DIRECTORY and name.address not in on_path and len(stack) < 256:
            stack.append((fs.folder_names(name.address), name.address))
            on_path.add(name.address)
