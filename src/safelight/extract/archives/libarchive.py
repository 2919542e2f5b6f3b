"""libarchive, called directly: 7z, RAR, TAR and the rarer formats, entry by entry, never creating a file.

The Python binding is not used for reading: on ARCHIVE_WARN (a wrong checksum) its `get_blocks` yields a slice of a stale buffer
without an error (libarchive-c 5.3, measured). Here every negative answer of libarchive ends the member as `Unreadable`.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import locale
from collections.abc import Iterator
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_int64, c_long, c_size_t, c_ssize_t, c_void_p
from typing import Any

from safelight.evidence.source import ByteSource, Unreadable

OK, EOF, RETRY, WARN, FAILED, FATAL = 0, 1, -10, -20, -25, -30
"""Answers of libarchive (archive.h)."""

READ_SIZE = 1 << 18
BLOCK = 1 << 18
MAX_RETRIES = 16
SONAMES = ("libarchive.so.13", "libarchive.13.dylib", "libarchive.so")

READ_CALLBACK = CFUNCTYPE(c_ssize_t, c_void_p, c_void_p, POINTER(c_void_p))
SEEK_CALLBACK = CFUNCTYPE(c_int64, c_void_p, c_void_p, c_int64, c_int)
SKIP_CALLBACK = CFUNCTYPE(c_int64, c_void_p, c_void_p, c_int64)

TYPES = {
    0o100000: "file",
    0o040000: "directory",
    0o120000: "symlink",
    0o020000: "device",
    0o060000: "device",
    0o010000: "fifo",
    0o140000: "socket",
}
"""AE_IFREG and so on (archive_entry.h) to our names."""

_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "archive_read_new": (c_void_p, ()),
    "archive_read_free": (c_int, (c_void_p,)),
    "archive_read_set_callback_data": (c_int, (c_void_p, c_void_p)),
    "archive_read_set_read_callback": (c_int, (c_void_p, READ_CALLBACK)),
    "archive_read_set_seek_callback": (c_int, (c_void_p, SEEK_CALLBACK)),
    "archive_read_set_skip_callback": (c_int, (c_void_p, SKIP_CALLBACK)),
    "archive_read_open1": (c_int, (c_void_p,)),
    "archive_read_next_header": (c_int, (c_void_p, POINTER(c_void_p))),
    "archive_read_data": (c_ssize_t, (c_void_p, c_void_p, c_size_t)),
    "archive_read_has_encrypted_entries": (c_int, (c_void_p,)),
    "archive_error_string": (c_char_p, (c_void_p,)),
    "archive_version_number": (c_int, ()),
    "archive_entry_pathname": (c_char_p, (c_void_p,)),
    "archive_entry_pathname_utf8": (c_char_p, (c_void_p,)),
    "archive_entry_symlink": (c_char_p, (c_void_p,)),
    "archive_entry_hardlink": (c_char_p, (c_void_p,)),
    "archive_entry_filetype": (ctypes.c_uint, (c_void_p,)),
    "archive_entry_size": (c_int64, (c_void_p,)),
    "archive_entry_size_is_set": (c_int, (c_void_p,)),
    "archive_entry_mtime": (c_int64, (c_void_p,)),
    "archive_entry_mtime_nsec": (c_long, (c_void_p,)),
    "archive_entry_mtime_is_set": (c_int, (c_void_p,)),
    "archive_entry_is_data_encrypted": (c_int, (c_void_p,)),
    "archive_entry_is_metadata_encrypted": (c_int, (c_void_p,)),
}

_library: Any = None


def library() -> Any:
    """Load libarchive once; raise `Unreadable("reader-missing")` where it is not installed."""
    global _library
    if _library is None:
        for soname in SONAMES:
            try:
                loaded = ctypes.CDLL(soname)
            except OSError:
                continue
            for function, (result, arguments) in _PROTOTYPES.items():
                getattr(loaded, function).restype = result
                getattr(loaded, function).argtypes = arguments
            _library = loaded
            break
        else:
            raise Unreadable("reader-missing", "libarchive is not installed")
        # libarchive converts names of 7z, RAR and pax to the character set of the process; in the C locale it would put "?".
        if locale.nl_langinfo(locale.CODESET).upper() not in ("UTF-8", "UTF8"):
            locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    return _library


def warm_up() -> None:
    """Load the library and make the callbacks, before the sandbox closes."""
    library()
    _callbacks()


def version() -> str:
    """Version of libarchive as text, e.g. 3.6.2."""
    number = library().archive_version_number()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


class Entry:
    """What libarchive says about an entry; valid until the next one is asked for."""

    def __init__(self, lib: Any, handle: int) -> None:
        self.name: bytes = lib.archive_entry_pathname(handle) or lib.archive_entry_pathname_utf8(handle) or b""
        self.hardlink: bytes | None = lib.archive_entry_hardlink(handle)
        self.symlink: bytes | None = lib.archive_entry_symlink(handle)
        self.type = TYPES.get(lib.archive_entry_filetype(handle), "unknown")
        self.size: int | None = lib.archive_entry_size(handle) if lib.archive_entry_size_is_set(handle) else None
        self.mtime: int | None = None
        if lib.archive_entry_mtime_is_set(handle):
            self.mtime = lib.archive_entry_mtime(handle) * 1_000_000_000 + lib.archive_entry_mtime_nsec(handle)
        self.encrypted = lib.archive_entry_is_data_encrypted(handle) > 0
        self.names_encrypted = lib.archive_entry_is_metadata_encrypted(handle) > 0


_open_readers: dict[int, Reader] = {}
_numbers = itertools.count(1)


@functools.cache
def _callbacks() -> tuple[Any, Any, Any]:
    """The three functions that libarchive calls, made once: a ctypes callback needs executable memory, which the sandbox refuses
    after its walls are closed. The number that libarchive hands back says which reader is meant."""
    return (
        READ_CALLBACK(lambda archive, number, out: _open_readers[number]._read(archive, number, out)),
        SEEK_CALLBACK(lambda archive, number, offset, whence: _open_readers[number]._seek(archive, number, offset, whence)),
        SKIP_CALLBACK(lambda archive, number, count: _open_readers[number]._skip(archive, number, count)),
    )


class Reader:
    """An archive over a byte source: `entries`, then `data` of the current entry. Close it with `close`."""

    def __init__(self, source: ByteSource, formats: tuple[str, ...], filters: tuple[str, ...] = ()) -> None:
        self._lib = library()
        self._number = next(_numbers)
        self._source, self._at = source, 0
        self._failure: Unreadable | None = None
        self._buffer: Any = None
        self._archive = self._lib.archive_read_new()
        if not self._archive:
            raise Unreadable("limit.memory", "libarchive gave no reader")
        try:
            self._open(formats, filters)
        except BaseException:
            self.close()
            raise

    def _open(self, formats: tuple[str, ...], filters: tuple[str, ...]) -> None:
        lib, archive = self._lib, self._archive
        for words in (*(f"archive_read_support_format_{f}" for f in formats), *(f"archive_read_support_filter_{f}" for f in filters)):
            function = getattr(lib, words)
            function.restype, function.argtypes = c_int, (c_void_p,)
            if function(archive) not in (OK, WARN):
                raise Unreadable("unsupported", f"libarchive {version()} has no {words.rsplit('_', 1)[-1]}")
        read, seek, skip = _callbacks()
        lib.archive_read_set_read_callback(archive, read)
        lib.archive_read_set_seek_callback(archive, seek)
        lib.archive_read_set_skip_callback(archive, skip)
        _open_readers[self._number] = self
        lib.archive_read_set_callback_data(archive, self._number)
        if lib.archive_read_open1(archive) != OK:
            raise self._error()

    def close(self) -> None:
        """Free the reader; safe to call twice."""
        archive, self._archive = self._archive, None
        if archive:
            self._lib.archive_read_free(archive)
        _open_readers.pop(self._number, None)

    def _read(self, _archive: int, _data: int, out: Any) -> int:
        try:
            data = self._source.read_at(self._at, READ_SIZE)
        except Unreadable as error:
            self._failure = error
            return -1
        self._at += len(data)
        self._buffer = ctypes.create_string_buffer(data, len(data)) if data else None
        out[0] = ctypes.cast(self._buffer, c_void_p) if data else None
        return len(data)

    def _seek(self, _archive: int, _data: int, offset: int, whence: int) -> int:
        to = offset + (0, self._at, self._source.size)[whence]
        if to < 0:
            return FATAL
        self._at = to
        return to

    def _skip(self, _archive: int, _data: int, count: int) -> int:
        # Never beyond the end: libarchive would take the missing bytes for skipped ones.
        step = max(0, min(count, self._source.size - self._at))
        self._at += step
        return step

    def _error(self) -> Unreadable:
        below, self._failure = self._failure, None
        if below is not None:
            return below
        text = (self._lib.archive_error_string(self._archive) or b"").decode("utf-8", "backslashreplace") or "no reason given"
        return Unreadable(kind_of(text), f"libarchive: {text}")

    def entries(self) -> Iterator[Entry]:
        """Entries in the order of the archive; a damaged chain of headers ends in `Unreadable`."""
        handle = c_void_p()
        retries = 0
        while True:
            answer = self._lib.archive_read_next_header(self._archive, byref(handle))
            if answer == EOF:
                if self._failure is not None:
                    raise self._error()
                return
            if answer == RETRY and retries < MAX_RETRIES:
                retries += 1
                continue
            if answer not in (OK, WARN) or handle.value is None:
                raise self._error()
            yield Entry(self._lib, handle.value)

    def data(self, size: int = BLOCK) -> Iterator[bytes]:
        """Bytes of the current entry; holes of sparse files are zeros, as the archive says they are."""
        buffer = ctypes.create_string_buffer(size)
        retries = 0
        while True:
            got = self._lib.archive_read_data(self._archive, buffer, size)
            if got > 0:
                yield ctypes.string_at(buffer, got)
            elif got == 0:
                return
            elif got == RETRY and retries < MAX_RETRIES:
                retries += 1
            else:
                raise self._error()

    def has_encrypted_entries(self) -> bool:
        """Whether some entry met so far, or the headers themselves, are encrypted."""
        return bool(self._lib.archive_read_has_encrypted_entries(self._archive) > 0)


def kind_of(text: str) -> str:
    """The problem kind of a libarchive message: it has codes for severity only, the words tell the cause."""
    lower = text.lower()
    for words, kind in (
        (("encrypt", "passphrase", "password"), "encrypted"),
        (("truncat", "unexpected end", "end of file", "premature"), "truncated"),
        (("unsupported", "not supported", "unrecognized", "unknown codec", "can't decompress", "cannot decompress"), "unsupported"),
        (("allocate", "out of memory", "memory"), "limit.memory"),
    ):
        if any(word in lower for word in words):
            return kind
    return "corrupt"
