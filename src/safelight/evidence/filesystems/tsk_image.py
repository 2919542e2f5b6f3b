"""The bridge to pytsk3: a volume of ours as a Sleuth Kit image, and the bytes of one attribute as a byte source.

pytsk3 itself cannot open E01 or VMDK (it reads such a container as raw, without an error), so it never sees a path: it reads
through `read_at` of the layer below. What that layer could not read is kept and raised again with its own kind, since pytsk3
turns every failure into an `OSError` with a text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

from safelight.evidence.bytesource import readable_part
from safelight.evidence.source import ByteSource, Unreadable

LIBRARY_ERRORS = (OSError, RuntimeError, MemoryError, SystemError, OverflowError, ValueError, AttributeError)
"""What pytsk3 and the libyal bindings raise on bad data."""
BAD_CLUSTERS = 8
"""NTFS record whose stream `$Bad` is as long as the volume and has no content of its own (`icat` gives none either)."""
OPEN_FILES = 64
"""Opened records kept for reading again. An opened record costs some KiB in the library."""


@cache
def _image_class() -> Any:
    import pytsk3

    class Image(pytsk3.Img_Info):  # type: ignore[misc]
        """A volume as an external Sleuth Kit image; `error` is the last failure of the layer below."""

        def __init__(self, volume: ByteSource) -> None:
            self.volume = volume
            self.error: Unreadable | None = None
            super().__init__(url="", type=pytsk3.TSK_IMG_TYPE_EXTERNAL)

        def read(self, offset: int, size: int) -> bytes:
            try:
                return self.volume.read_at(offset, size)
            except Unreadable as e:
                self.error = e
                # The library asks for 64 KiB from the sector on that it needs: what stands before the bad place is enough for most.
                data = readable_part(self.volume, offset, size)
                if not data:
                    raise OSError(str(e)) from e
                return data

        def get_size(self) -> int:
            return self.volume.size

        def close(self) -> None:
            return None

    return Image


def open_image(volume: ByteSource) -> Any:
    """Return a pytsk3 image over `volume`; keep a reference to it as long as the file system is used."""
    return _image_class()(volume)


def failure(image: Any, error: BaseException, offset: int = 0, size: int = 0) -> Unreadable:
    """Turn a failure of the library into `Unreadable`; the error of the layer below goes first, once."""
    below: Unreadable | None = image.error
    image.error = None
    if below is not None:
        return Unreadable(below.kind, str(below), below.offset, below.size)
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return Unreadable("corrupt", words, offset, size)


class TskContent:
    """The bytes of one attribute, read by the Sleuth Kit (sparse and compressed attributes as their reader sees them)."""

    def __init__(self, image: Any, file: Any, attribute: tuple[int, int] | None, size: int) -> None:
        self.size = size
        self._image, self._file, self._attribute = image, file, attribute

    def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if offset < 0 or size <= 0:
            return b""
        self._image.error = None
        try:
            if self._attribute is None:
                data: bytes = self._file.read_random(offset, size)
            else:
                data = self._file.read_random(offset, size, *self._attribute)
        except LIBRARY_ERRORS as e:
            raise failure(self._image, e, offset, size) from e
        if len(data) != size:
            short = OSError(f"{len(data)} of {size} bytes could be read")
            raise failure(self._image, short, offset, size)
        return data


class OpenFiles:
    """Records of one file system by number, the last used ones kept open."""

    def __init__(self, fs: Any, image: Any) -> None:
        self._fs, self._image = fs, image
        self.is_possible: Callable[[int], bool] | None = None  # asked before a record is opened
        self.cut = False  # FAT: a chain may be shorter than the size
        self._kept: OrderedDict[int, Any] = OrderedDict()

    def open(self, number: int) -> Any:
        """Return the pytsk3 file of a record; raise `Unreadable` when the library refuses it."""
        file = self._kept.get(number)
        if file is not None:
            self._kept.move_to_end(number)
            return file
        self._image.error = None
        if self.is_possible is not None and not self.is_possible(number):
            raise Unreadable("corrupt", f"the size in record {number} is impossible")
        try:
            file = self._fs.open_meta(number)
            if file.info.meta is None:
                raise OSError(f"record {number} has no metadata")
        except LIBRARY_ERRORS as e:
            raise failure(self._image, e) from e
        self._kept[number] = file
        if len(self._kept) > OPEN_FILES:
            self._kept.popitem(last=False)
        return file

    def content(self, address: str) -> TskContent:
        """Open an address as `fls` prints it: `12`, or `42-128-3` with attribute type and id."""
        parts = address.split("-")
        if len(parts) not in (1, 3) or not all(p.isdecimal() and len(p) < 20 for p in parts):
            raise Unreadable("corrupt", f"no such address: {address[:60]!r}")
        numbers = [int(p) for p in parts]
        file = self.open(numbers[0])
        if len(parts) == 1:
            return TskContent(self._image, file, None, min(self._default_size(file), self._clusters(file)))
        wanted = (numbers[1], numbers[2])
        try:
            sizes = [
                0 if numbers[0] == BAD_CLUSTERS and a.info.name == b"$Bad" else int(a.info.size)
                for a in file
                if (int(a.info.type), int(a.info.id)) == wanted
            ]
        except LIBRARY_ERRORS as e:
            raise failure(self._image, e) from e
        if not sizes:
            raise Unreadable("corrupt", f"record {numbers[0]} has no attribute {numbers[1]}-{numbers[2]}")
        return TskContent(self._image, file, wanted, sizes[0])

    def _clusters(self, file: Any) -> int:
        """Bytes for which a FAT file has clusters: what is missing at the end is a problem of its entry, the rest can be read."""
        if not self.cut:
            return 1 << 62
        try:
            known = [(int(a.info.flags), sum(int(r.len) for r in a)) for a in file]
        except LIBRARY_ERRORS as e:
            raise failure(self._image, e) from e
        return 1 << 62 if not known or known[0][0] & 4 else known[0][1] * int(self._fs.info.block_size)

    def _default_size(self, file: Any) -> int:
        """Bytes of the default attribute: type 1, or 128 without a name, or the HFS+ data fork (4352)."""
        try:
            found = {}
            for a in file:
                kind = int(a.info.type)
                if kind in (1, 128, 4352) and not (kind == 128 and a.info.name) and kind not in found:
                    found[kind] = int(a.info.size)
        except LIBRARY_ERRORS as e:
            raise failure(self._image, e) from e
        if not found:
            if int(file.info.meta.size) == 0:
                return 0
            raise Unreadable("corrupt", "the record has no content attribute")
        return next(iter(found.values()))
