"""Extract one listed item, inside the sandbox: one pass over the bytes, then what the content asks for, then what it holds.

The answer is a run of `Item` records: the item itself, then its members (archive members, embedded thumbnails, previews) in
order of reading, each with the member that holds it. Members are taken from a queue, not by recursion, under one budget for the
whole tree below the listed item. The same bytes give the same answer, whatever came before.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from safelight.evidence.bytesource import MemorySource, readable_part
from safelight.evidence.origin import Step, parse
from safelight.evidence.source import ByteSource, Unreadable
from safelight.extract.digests import Digests, new_digests
from safelight.extract.filetype import FileType, by_ending, detect, extension_mismatch
from safelight.extract.filetype.signatures import DISK_IMAGES
from safelight.records import PictureResult
from safelight.sandbox import limits
from safelight.sandbox.protocol import Item, Late, Task

if TYPE_CHECKING:
    from safelight.extract.descriptor import Descriptor

BLOCK = 1 << 18
"""Bytes read at a time."""

HEAD = 1 << 16
"""Bytes that the type is told from."""

PICTURE_BYTES = 192 << 20
"""The largest picture that is held in memory."""

ENDING = 512
"""Last bytes by which some formats are known."""

NESTED_BYTES = 128 << 20
"""The largest archive inside an archive that is held in memory: nested archives are read from memory, nothing is written."""

CHECKED_BYTES = 32 << 20
"""The largest film, document, database … inside an archive whose structure is checked: members are checked from memory."""

EMBEDDED_STEPS = ("thumbnail", "preview", "tail")
"""Steps into a picture; every other step of a member is into an archive."""

PROMISING = frozenset(
    b"jpg jpeg png gif webp bmp tif tiff heic heif avif jp2 dng cr2 cr3 nef arw raf mp4 mov avi mkv wmv mp3 wav m4a flac ogg pdf doc docx "
    b"xls xlsx ppt pptx zip rar 7z gz tar tgz xz bz2 exe dll apk db sqlite".split()
)
"""Endings of names that promise content: zero bytes under such a name are said to be a problem."""


def warm_up(profile: str) -> None:
    """Import what a profile needs."""
    if profile in ("full", "descriptor"):
        from safelight.extract import archives, filetype, pictures, structure
        from safelight.extract.pictures import second

        filetype.warm_up()
        archives.warm_up()
        pictures.warm_up()
        structure.warm_up()
        second.warm_up()
    if profile == "descriptor":
        from safelight.extract import descriptor

        descriptor.warm_up()


def entry_steps(steps: Sequence[Step]) -> list[Step]:
    """Return the steps of an origin up to the entry of the file system (the first step that has a place), without members."""
    for index, step in enumerate(steps):
        if step.place or step.kind == "file":
            return list(steps[: index + 1])
    raise Unreadable("corrupt", "the origin names no entry")


class _Held:
    """What was read of one content: digests, length, type, and the bytes where they were kept."""

    def __init__(self, digests: Digests, head: bytes, data: bytes | None, filetype: FileType) -> None:
        self.digests, self.head, self.data, self.filetype = digests, head, data, filetype


class _Pending(msgspec.Struct):
    """A content that waits to be looked into: its item, its depth, its bytes (a source, or memory)."""

    item: Item
    depth: int
    source: ByteSource


def extract(task: Task, open_source: Callable[[], ByteSource], only: str, descriptor: Descriptor | None = None) -> Iterator[Item | Late]:
    """Yield the item of a task and then its members. Never raises for what evidence causes. `descriptor`: the model, where it is asked."""
    item = Item(task.ordinal)
    try:
        source = open_source()
        if only == "digests":
            _digest(_source_blocks(source), item, task.size)
            item.whole = True
            yield item
            return
        held = _read(_source_blocks(source), item, task.size)
    except Unreadable as e:
        item.problems.append((e.kind, e.reason))
        yield item
        return
    _describe(item, held, task.path)
    careful = 0 in task.careful
    look = _second_look if only == "features" else _described(descriptor) if only == "descriptor" else _first_look
    embedded = [] if careful else look(item, held, source)
    item.whole = careful or not (embedded or _is_archive(held))
    yield item
    if not item.whole:
        yield from _members(task, item, held, source, embedded, look)


def _is_archive(held: _Held) -> bool:
    from safelight.extract import archives  # not loaded, and so not to be had, in a worker that only digests

    return archives.is_archive(held.filetype.media_type)


def _source_blocks(source: ByteSource) -> Iterator[bytes]:
    offset = 0
    while offset < source.size:
        try:
            block = source.read_at(offset, BLOCK)
        except Unreadable as e:
            # What stands before the bad place in this block is read, too: a file smaller than a block would be lost as a whole.
            if e.kind in PARTIAL and (part := readable_part(source, offset, min(BLOCK, source.size - offset))):
                yield part
            raise
        if not block:
            return
        offset += len(block)
        yield block


def _read(blocks: Iterable[bytes], item: Item, expected: int | None) -> _Held:
    """Read a stream once. Where it breaks off, what came before is kept as partial content, with the problem beside it."""
    from safelight.extract import structure

    digests, head, pieces, room, last = new_digests(), b"", list[bytes](), 0, b""
    filetype: FileType | None = None
    for block in _until_damage(blocks, item):
        digests.update(block)
        last = (last + bytes(block[-ENDING:]))[-ENDING:]
        if filetype is None:
            head = bytes(block[:HEAD])
            filetype = detect(head, expected if expected is not None else len(block))
            room = PICTURE_BYTES if filetype.kind == "image" else NESTED_BYTES if filetype.kind == "archive" else 0
            if not room and expected is None and structure.wants(filetype.media_type):
                room = CHECKED_BYTES
        if room:
            pieces.append(block)
            if digests.length > room:
                room, pieces = 0, []
    filetype = filetype or detect(b"", 0)
    if expected is not None and filetype.kind in ("other", "program") and (ending := by_ending(last)):
        if filetype.kind == "program":
            item.problems.append(("trailing-data", f"{ending} lies behind the program and is not looked into"))
        else:
            filetype = FileType(ending, "archive", "signature")
    data = (pieces[0] if len(pieces) == 1 else b"".join(pieces)) if room else None
    _compare_length(item, digests.length, expected)
    return _Held(digests, head, data, filetype)


def _digest(blocks: Iterable[bytes], item: Item, expected: int | None) -> None:
    """Digest a stream and nothing else."""
    digests = new_digests()
    for block in _until_damage(blocks, item):
        digests.update(block)
    item.sha256, item.sha1, item.md5, item.length = digests.sha256(), digests.sha1(), digests.md5(), digests.length
    _compare_length(item, digests.length, expected)


def _compare_length(item: Item, length: int, expected: int | None) -> None:
    if expected is not None and length < expected and not item.note:
        item.problems.append(("truncated", f"{length} of {expected} bytes could be read"))
        item.note = f"partial: the first {length} bytes"


PARTIAL = ("corrupt", "truncated", "unreadable")
"""Kinds of damage after which the bytes before it are kept: half a picture is a picture."""


def _until_damage(blocks: Iterable[bytes], item: Item) -> Iterator[bytes]:
    length = 0
    try:
        for block in blocks:
            length += len(block)
            yield block
    except Unreadable as e:
        if e.kind not in PARTIAL or not length:
            raise
        item.problems.append((e.kind, e.reason))
        item.note = f"partial: the first {length} bytes"


def _describe(item: Item, held: _Held, name: bytes) -> None:
    digests, filetype = held.digests, held.filetype
    item.sha256, item.sha1, item.md5 = digests.sha256(), digests.sha1(), digests.md5()
    item.length = digests.length
    item.media_type, item.kind, item.typed_by = filetype.media_type, filetype.kind, filetype.typed_by
    base = name.rsplit(b"/", 1)[-1]
    if digests.length == 0:
        if base.rsplit(b".", 1)[-1].lower() in PROMISING:
            item.problems.append(("empty", "the name promises content, there are 0 bytes"))
        return
    if reason := extension_mismatch(base, filetype):
        item.problems.append(("type-mismatch", reason))
    if any(mark in filetype.media_type for mark in DISK_IMAGES):
        words = "a disk image inside the evidence is not opened: write it out with `safelight cat` and add it as an exhibit"
        item.problems.append(("unsupported", words))


_recent: OrderedDict[bytes, PictureResult] = OrderedDict()
"""Results of the last pictures by SHA-256: copies of one picture are decoded once in a row of items."""

RECENT = 128


Look = Callable[[Item, "_Held", ByteSource | None], list[Any]]
"""Looks into a content, writes what it finds to its item, and returns the streams embedded in it."""


def _first_look(item: Item, held: _Held, source: ByteSource | None) -> list[Any]:
    embedded = _picture(item, held)
    if source is not None:
        _structure(item, source)
    return embedded


def _second_look(item: Item, held: _Held, source: ByteSource | None) -> list[Any]:
    """Take the features and panels of a picture; what was wrong with it was said at the first look, as were its embedded streams."""
    item.problems = []
    if held.filetype.kind == "image" and held.data is not None:
        from safelight.extract.pictures.second import second_look

        try:
            item.second = second_look(held.data, held.filetype.media_type)
        except MemoryError:
            item.problems.append(("limit.memory", "the second look at the picture needs more memory than a worker may have"))
    return []


def _described(descriptor: Descriptor | None) -> Look:
    """Return the look that takes the vector of a picture; its problems were said at the first look, but for those of the model."""
    if descriptor is None:
        raise ValueError("no model was given")

    def look(item: Item, held: _Held, source: ByteSource | None) -> list[Any]:
        item.problems = []
        if held.filetype.kind == "image" and held.data is not None:
            from safelight.extract.pictures.luma import read_colour

            try:
                picture = read_colour(held.data, held.filetype.media_type, 2 * max(descriptor.width, descriptor.height))
                item.vector = descriptor.vector(picture) if picture is not None else b""
            except MemoryError:
                item.problems.append(("limit.memory", "the model needs more memory for the picture than a worker may have"))
            except Unreadable as e:
                item.problems.append((e.kind, e.reason))
        return []

    return look


def _picture(item: Item, held: _Held) -> list[Any]:
    """Extract a picture into its item; return the streams embedded in it."""
    if held.filetype.kind != "image":
        return []
    if held.data is None:
        item.problems.append(("limit.bytes", f"a picture of more than {PICTURE_BYTES} bytes"))
        return []
    from safelight.extract.pictures import extract_picture

    key = item.sha256 or b""
    result = _recent.get(key)
    if result is None:
        try:
            result = extract_picture(held.data, held.filetype.media_type)
        except MemoryError:
            result = PictureResult(problems=[("limit.memory", "the picture needs more memory than a worker may have")])
        _recent[key] = result
        if len(_recent) > RECENT:
            _recent.popitem(last=False)
    item.problems += result.problems
    item.picture = PictureResult(picture=result.picture)
    return list(result.embedded)


def _structure(item: Item, source: ByteSource) -> None:
    """Say what is wrong with the structure of a content that is no picture and no archive."""
    from safelight.extract import structure

    item.problems += structure.check(source, item.media_type)


def _members(task: Task, item: Item, held: _Held, source: ByteSource, embedded: list[Any], look: Look) -> Iterator[Item | Late]:
    """Yield what is inside an item, breadth first, under one budget."""
    from safelight.extract import archives

    budget = archives.Budget.of(held.digests.length)
    waiting = deque[_Pending]()
    numbers = _Numbers(task.careful)
    for child, pending in _embedded(item, embedded, 1, budget, numbers, look):
        yield child
        waiting += pending
    if archives.is_archive(held.filetype.media_type):
        limits.allow_cpu(limits.CPU_ARCHIVE_S + limits.item_cpu_seconds(held.digests.length))
        kept = MemorySource(held.data) if held.data is not None else source
        waiting.append(_Pending(item, 0, kept))
    while waiting:
        current = waiting.popleft()
        if refused := _overdrawn(budget):  # nothing more may come out: what is still waiting is counted, not listed
            kind, reason = refused
            yield Late(item.ordinal, 0, [(kind, f"{1 + len(waiting)} archives inside were not looked into: {reason}")])
            return
        for answer, pending in _archive(current, budget, numbers, look):
            yield answer
            waiting += pending


def _overdrawn(budget: Any) -> tuple[str, str] | None:
    try:
        budget.check()
    except Unreadable as e:
        return e.kind, e.reason
    return None


class _Numbers:
    """Counts members in order of reading; knows those on which a worker died."""

    def __init__(self, careful: list[int]) -> None:
        self._last, self._careful = 0, frozenset(careful)

    def next(self) -> tuple[int, bool]:
        """Return the next number, and whether that member must not be looked into."""
        self._last += 1
        return self._last, self._last in self._careful


def _embedded(
    holder: Item, streams: list[Any], depth: int, budget: Any, numbers: _Numbers, look: Look
) -> Iterator[tuple[Item, list[_Pending]]]:
    for stream in streams:
        number, careful = numbers.next()
        child = Item(holder.ordinal, number, holder.member, stream.step, stream.name, type="thumbnail")
        if not stream.step.startswith(("thumbnail", "preview")):
            child.type = "member"
        child.size = len(stream.data)
        held = _read([stream.data], child, None)
        _describe(child, held, stream.name)
        if careful:
            yield child, []
        else:
            look(child, held, MemorySource(held.data) if held.data is not None else None)
            yield child, _inside(child, held, depth, budget)


def _inside(child: Item, held: _Held, depth: int, budget: Any) -> list[_Pending]:
    """Return the archive to look into, where a member is one; say so where it is too deep or too large."""
    from safelight.extract import archives

    if not archives.is_archive(held.filetype.media_type):
        return []
    if depth >= budget.depth:
        child.problems.append(("limit.depth", f"nested deeper than {budget.depth} levels"))
        return []
    if held.data is None:
        child.problems.append(("limit.bytes", f"an archive of more than {NESTED_BYTES} bytes inside an archive"))
        return []
    return [_Pending(child, depth, MemorySource(held.data))]


def _archive(current: _Pending, budget: Any, numbers: _Numbers, look: Look) -> Iterator[tuple[Item | Late, list[_Pending]]]:
    """Yield the members of one archive; what is wrong with the archive as a whole comes last, as `Late`."""
    from safelight.extract import archives
    from safelight.problems import Problem

    holder, depth = current.item, current.depth + 1
    late: list[tuple[str, str]] = []
    for member in archives.members(current.source, holder.media_type, budget):
        if isinstance(member, Problem):
            late.append((member.kind, member.reason))
            continue
        if depth > 1 and (refused := _overdrawn(budget)):
            late.append((refused[0], f"the list ends at member {member.index}: {refused[1]}"))
            break
        number, careful = numbers.next()
        child = Item(holder.ordinal, number, holder.member, member.step, member.name, member.type)
        child.size, child.mtime, child.time_basis, child.link = member.size, member.mtime, member.time_basis, member.link
        child.problems += list(member.problems)
        if not member.has_content:
            yield child, []
            continue
        try:
            held = _read(member.blocks(), child, None)
        except Unreadable as e:
            child.problems.append((e.kind, e.reason))
            yield child, []
            continue
        _describe(child, held, member.name)
        if careful:
            yield child, []
            continue
        inner = look(child, held, MemorySource(held.data) if held.data is not None else None)
        yield child, _inside(child, held, depth, budget)
        yield from _embedded(child, inner, depth, budget, numbers, look)
    if late:
        yield Late(holder.ordinal, holder.member, late), []


def reopen(origin: str, source: ByteSource) -> Iterator[bytes]:
    """Yield the bytes of an origin whose entry is `source`: through each member step down to the last."""
    steps = parse(origin)
    inner = steps[len(entry_steps(steps)) :]
    for step in inner:
        source = MemorySource(_open_step(source, step))
    yield from _until_damage(_source_blocks(source), Item(0))


def _open_step(source: ByteSource, step: Step) -> bytes:
    from safelight.extract import archives
    from safelight.extract.pictures import extract_picture

    head = source.read_at(0, HEAD)
    media_type = detect(head, source.size).media_type
    if step.kind not in EMBEDDED_STEPS:
        data = b"".join(_until_damage(archives.open_member(source, media_type, int(step.argument)), Item(0)))
    else:
        text = f"{step.kind}:{step.argument}" if step.argument else step.kind
        result = extract_picture(source.read_at(0, source.size), media_type)
        found = [e.data for e in result.embedded if e.step == text]
        if not found:
            raise Unreadable("corrupt", f"there is no {text} in this content")
        data = found[0]
    if len(data) > PICTURE_BYTES * 4:
        raise Unreadable("limit.bytes", "the member is too large to open from inside another one")
    return data
