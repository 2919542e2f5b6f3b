"""Read a hash set in a sandbox worker: its bytes are as untrusted as evidence. Both sides of the border stand here.

The worker sends runs of events; the importer checks each of them again. SQLite formats need a file with a name: that one file is
bound into a worker that may open it and nothing else.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from safelight.match.entries import Block, Event, HashSetFormat, Options, Refused
from safelight.match.formats import by_name, events_of
from safelight.match.importer import Reader

BATCH = 2_000
"""Events in one frame."""

INPUT = "/input"
"""Where the worker sees the one file that was bound for it."""

_events = msgspec.msgpack.Decoder(list[Event])
_encoder = msgspec.msgpack.Encoder()


def sandboxed_reader(walls: bool = True) -> Reader:
    """Return a reader for `importer.import_set` that parses in a worker. Raise `Refused` where the worker ends or refuses."""

    def read(path: Path, known: HashSetFormat, options: Options) -> Iterator[Event]:
        from safelight.sandbox import protocol
        from safelight.sandbox.parent import RequestFailed, Sandbox, WorkerDied

        if known.needs_path and walls and os.geteuid() == 0 and not path.stat().st_mode & stat.S_IROTH:
            raise Refused(f"{path} can be read by its owner only; the sandbox is nobody. Make it readable (chmod o+r) and try again")
        profile, shown = ("hashset-file", path) if known.needs_path else ("hashset", None)
        inside = msgspec.structs.replace(options, path=(INPUT if walls else str(path.resolve())) if known.needs_path else None)
        descriptors = [] if known.needs_path else [os.open(path, os.O_RDONLY | os.O_CLOEXEC)]
        try:
            with Sandbox(profile, walls, shown) as worker:
                for answer in worker.ask(protocol.Import(known.name, msgspec.json.encode(inside)), descriptors):
                    yield from _events.decode(answer.data)
        except (RequestFailed, WorkerDied, msgspec.DecodeError) as e:
            raise Refused(f"{path.name} cannot be read as {known.name}: {getattr(e, 'reason', e)}") from None
        finally:
            for fd in descriptors:
                os.close(fd)

    return read


def event_frames(name: str, options: bytes, descriptors: Sequence[int]) -> Iterator[bytes]:
    """Parse inside the worker and yield runs of events as msgpack."""
    known, chosen = by_name(name), msgspec.json.decode(options, type=Options)
    with _stream(descriptors, chosen) as stream:
        batch: list[Event] = []
        for event in events_of(known, stream, chosen):
            batch.append(event)
            if len(batch) >= BATCH or isinstance(event, Block):
                yield _encoder.encode(batch)
                batch = []
        yield _encoder.encode(batch)


def _stream(descriptors: Sequence[int], options: Options) -> BinaryIO:
    """Return the bytes to parse, without opening anything where a descriptor came along."""
    if descriptors:
        return io.BufferedReader(io.FileIO(descriptors[0], "rb", closefd=False), 1 << 20)
    return open(options.path or INPUT, "rb")
