"""The disk-image formats, in the order in which they are asked, and `open_image`, the way from segments to a logical stream.

A format is one module with `name`, `detect` and `open` (see `safelight.evidence.source.Container`) and one line in `CONTAINERS`.
`detect` looks at magic numbers only; the libraries that a format needs are imported inside `open` or by `warm_up`.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from importlib import import_module
from typing import cast

from safelight.evidence.source import Container, Image, Segment, Unreadable

CONTAINERS: tuple[str, ...] = (
    "ewf",
    "qcow2",
    "qcow1",
    "vmdk",
    # VHD before raw: a fixed VHD is the raw disk with a footer of 512 bytes and would be taken for a longer disk.
    "vhd",
    "vdi",
    "dmg",
    # Formats that are known but not read: they must not be taken for a raw disk.
    "unsupported",
    # Raw last: it has no signature and takes everything.
    "raw",
)
"""Modules of this package, first match wins."""


def container(name: str) -> Container:
    """Return the member called `name` of `CONTAINERS`."""
    if name not in CONTAINERS:
        raise KeyError(name)
    return cast("Container", import_module(f"{__name__}.{name}"))


def open_image(segments: Sequence[Segment]) -> tuple[str, Image]:
    """Open the logical stream of an exhibit: (name of the container, image).

    `segments` in the order of `segments.collect_segments`; for a differencing image the parents follow the child. A member asks
    its second reader itself, and says so by a `second-reader` problem of the image. Raise `Unreadable` naming the format.
    """
    if not segments:
        raise Unreadable("missing-part", "no segment given")
    if not any(s.source.size for s in segments):
        raise Unreadable("empty", "the image has no bytes")
    for name in CONTAINERS:
        member = container(name)
        if not member.detect(segments):
            continue
        try:
            return member.name, member.open(segments)
        except ImportError as error:
            raise Unreadable("reader-missing", f"{member.name}: {error.name or error} is not installed") from error
        except Unreadable as error:
            words = str(error) if name == "unsupported" else f"{name}: {error}"
            raise Unreadable(error.kind, words, error.offset, error.size) from error
    raise AssertionError("raw takes everything")


def warm_up() -> None:
    """Import all members and the libraries and character sets they need, before the sandbox closes `open`."""
    for codec in ("utf-16", "utf-16-be"):
        codecs.lookup(codec)
    for name in CONTAINERS:
        member = import_module(f"{__name__}.{name}")
        prepare = getattr(member, "warm_up", None)
        if prepare is None:
            continue
        try:
            prepare()
        except ImportError:  # a missing library costs its format only: `open_image` then raises reader-missing
            continue
