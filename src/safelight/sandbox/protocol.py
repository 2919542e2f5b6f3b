"""The messages between the trusted parent and a worker: msgpack frames with a length, checked on arrival, never pickle.

Answers are hostile: a worker that was taken over may say anything. So each frame has a maximum, decodes into exactly these
records or is refused, and the parent believes nothing that it can check (see `parent.py`).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from safelight.evidence.source import Accounts, Entry
from safelight.problems import Problem
from safelight.records import PictureResult, SecondLook
from safelight.sandbox.limits import MAX_FRAME

# ---- what the parent asks ----------------------------------------------------------------------------------------------------


class Segments(msgspec.Struct, tag_field="what", tag=True):
    """Take these segments of an image (their descriptors come along, in order); more may follow. Answers `End`."""

    names: list[bytes]


class Open(msgspec.Struct, tag_field="what", tag=True):
    """Open the segments that were given as the image to work on. Answers `Opened`."""


class List(msgspec.Struct, tag_field="what", tag=True):
    """List the open image: answers `Listed` frames, `Volume` frames, then `End`."""


class Task(msgspec.Struct, array_like=True):
    """One listed item to extract: its ordinal, origin, path and size; `descriptor` is the number of a passed descriptor or -1.

    `careful`: members on which a worker died; they are digested and not looked into (0 is the item itself).
    """

    ordinal: int
    origin: str
    path: bytes
    size: int | None
    descriptor: int = -1
    careful: list[int] = msgspec.field(default_factory=list)


class Extract(msgspec.Struct, tag_field="what", tag=True):
    """Extract these items in order: for each `Item` frames (its own, its members'), perhaps `Late`, then `Done`; then `End`.

    An `Item` that is `whole` stands for itself and for the `Done`: most files are one, and each message costs a switch of processes.

    `only` is `everything`, `digests`, `features` or `descriptor` (a `Model` was given before).
    """

    tasks: list[Task]
    only: str = "everything"


class Read(msgspec.Struct, tag_field="what", tag=True):
    """Give the bytes of one origin: `Chunk` frames, then `End`."""

    origin: str
    descriptor: int = -1


class Model(msgspec.Struct, tag_field="what", tag=True):
    """Load this descriptor model (its descriptor comes along), for all that is extracted from now on. Answers `Examined`."""


class DigestImage(msgspec.Struct, tag_field="what", tag=True):
    """Digest the logical stream of the open image: answers `ImageDigests`."""


class Import(msgspec.Struct, tag_field="what", tag=True):
    """Parse a hash set (one passed descriptor, or the bound file): answers `Chunk` frames of events, then `End`.

    `name` is that of the format, `options` the JSON of `match.entries.Options`.
    """

    name: str
    options: bytes


# ---- what a worker answers ---------------------------------------------------------------------------------------------------


class Opened(msgspec.Struct, tag_field="what", tag=True):
    """The image is open: the container, the size of its stream, and the digests that it carries."""

    container: str
    size: int
    stored: list[tuple[str, str]]
    problems: list[Problem]


class Examined(msgspec.Struct, tag_field="what", tag=True):
    """What a model is that could be loaded (`facts.models.Model`)."""

    width: int
    height: int
    numbers: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    threshold: float
    runtime: str


class Listed(msgspec.Struct, tag_field="what", tag=True):
    """A run of entries in canonical order; origins and paths are complete."""

    entries: list[tuple[str, Entry]]
    problems: list[Problem]


class Volume(msgspec.Struct, tag_field="what", tag=True):
    """A volume and its accounts, after its entries."""

    origin: str
    filesystem: str | None
    label: str
    offset: int
    size: int
    accounts: Accounts | None


class Item(msgspec.Struct, tag_field="what", tag=True, omit_defaults=True):
    """What was found in one item or member. `member` is 0 for the task itself; `parent` the member number of what holds it.

    `whole`: the task ends with it, no `Done` follows.
    """

    ordinal: int
    member: int = 0
    parent: int = -1
    step: str = ""
    name: bytes = b""
    type: str = ""
    size: int | None = None
    mtime: int | None = None
    time_basis: str = ""
    link: bytes = b""
    note: str = ""
    sha256: bytes | None = None
    sha1: bytes | None = None
    md5: bytes | None = None
    length: int = 0
    media_type: str = ""
    kind: str = ""
    typed_by: str = ""
    picture: PictureResult | None = None
    second: SecondLook | None = None
    vector: bytes = b""
    problems: list[tuple[str, str]] = msgspec.field(default_factory=list)
    whole: bool = False


class Late(msgspec.Struct, tag_field="what", tag=True):
    """Problems of an item that was already answered: an archive tells them only while its members are read."""

    ordinal: int
    member: int
    problems: list[tuple[str, str]]


class Done(msgspec.Struct, tag_field="what", tag=True):
    """The task with this ordinal is finished."""

    ordinal: int


class Chunk(msgspec.Struct, tag_field="what", tag=True):
    """Bytes of a stream."""

    data: bytes


class ImageDigests(msgspec.Struct, tag_field="what", tag=True):
    """Digests of the logical stream, lower-case hex."""

    md5: str
    sha1: str
    sha256: str


class Failed(msgspec.Struct, tag_field="what", tag=True):
    """The request could not be met; the worker lives on."""

    kind: str
    reason: str


class End(msgspec.Struct, tag_field="what", tag=True):
    """The request is answered completely. `cpu_ms`: CPU that the worker has used since its start, in milliseconds."""

    cpu_ms: int = 0


class Ready(msgspec.Struct, tag_field="what", tag=True):
    """The worker has imported everything and closed its walls."""


Request = Segments | Open | List | Extract | Read | Model | DigestImage | Import
Answer = Opened | Examined | Listed | Volume | Item | Late | Done | Chunk | ImageDigests | Failed | End | Ready

_LENGTH = struct.Struct("<I")
_RECEIVED = 1 << 16
"""Bytes asked for at a time: a larger block would be mapped and unmapped for each small message."""

_encoder = msgspec.msgpack.Encoder()


class BadFrame(Exception):
    """A frame that is too long, cut off, or not one of the messages."""


class CutOff(BadFrame):
    """The channel ended inside a frame: the other side has died."""


def pack(message: Any) -> bytes:
    """Return a message as one frame."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise BadFrame(f"a message of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


_items = msgspec.msgpack.Decoder(Item)


def unpack_items(file: IO[bytes]) -> Iterator[Item]:
    """Yield the `Item` frames of a file that `pack` filled."""
    while header := file.read(_LENGTH.size):
        yield _items.decode(file.read(_LENGTH.unpack(header)[0]))


class Channel:
    """One end of the socket pair: buffered frames in, frames (with descriptors) out."""

    def __init__(self, sock: socket.socket, expected: Any, takes_descriptors: bool = False) -> None:
        self.sock = sock
        self._decoder = msgspec.msgpack.Decoder(expected)
        self._takes_descriptors = takes_descriptors
        self._buffer, self._at = bytearray(), 0
        self.descriptors: list[int] = []

    def send(self, message: Any, descriptors: list[int] | None = None) -> None:
        """Send one frame; descriptors travel with its first byte."""
        frame = pack(message)
        if descriptors:
            sent = socket.send_fds(self.sock, [frame], descriptors)
            frame = frame[sent:]
        if frame:
            self.sock.sendall(frame)

    def receive(self) -> Any | None:
        """Return the next message, or None at the end. Raise `BadFrame` for anything else. Descriptors that came along are
        appended to `descriptors`."""
        if not self._await(_LENGTH.size):
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, self._at)
        if length > MAX_FRAME:
            raise BadFrame(f"a frame of {length} bytes")
        self._await(_LENGTH.size + length)
        start = self._at + _LENGTH.size
        self._at = start + length
        try:
            return self._decoder.decode(self._buffer[start : self._at])
        except (msgspec.DecodeError, ValueError) as e:
            raise BadFrame(str(e)) from e

    def _await(self, count: int) -> bool:
        """Read until the frame that begins at `_at` has so many bytes; False at an end between two frames."""
        while len(self._buffer) - self._at < count:
            del self._buffer[: self._at]
            self._at = 0
            if self._takes_descriptors:
                data, fds, _, _ = socket.recv_fds(self.sock, _RECEIVED, 253)
                self.descriptors += fds
            else:  # without room for them the kernel drops descriptors that a worker might send
                data = self.sock.recv(_RECEIVED)
            if not data:
                if self._buffer:
                    raise CutOff("a frame that is cut off")
                return False
            self._buffer += data
        return True
