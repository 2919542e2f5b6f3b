"""Playlists and session descriptions in text: what they name lies outside the file, and players open it.

M3U8 (RFC 8216), ffconcat (FFmpeg concat script), PLS, SDP (RFC 8866), MPEG-DASH (ISO/IEC 23009-1). Nothing is opened; that
FFmpeg opens them under any name was measured (docs/methods/structure.md). Other text is silent.
"""

from __future__ import annotations

import re

from safelight.extract.structure.reading import Found, Reader, listed

LOOKED_AT = 256 << 10
MAX_NAMES = 10_000

_URI = re.compile(rb'URI="([^"\r\n]{1,2000})"')
_FILE = re.compile(rb"^[ \t]*(?:file|include)[ \t]+(?:'([^'\r\n]*)'|([^\r\n]+))", re.M)
_PLS = re.compile(rb"^File\d{1,6}=([^\r\n]{1,2000})", re.M | re.I)
_SDP = re.compile(rb"v=0\r?\n(?:[a-z]=[^\r\n]{0,1000}\r?\n){0,200}?m=(?:video|audio) ")
_SDP_HOST = re.compile(rb"^[co]=[^\r\n]{0,200}\bIP[46] ([^\r\n /]{1,200})", re.M)
_DASH = re.compile(rb"\s*(?:<\?xml[^>]{0,256}\?>\s*)?(?:<!--.{0,1024}?-->\s*)?<(?:\w{1,20}:)?MPD[\s>]", re.S)
_DASH_NAME = re.compile(
    rb"""<(?:\w{1,20}:)?BaseURL[^>]{0,200}>([^<]{1,2000})<|\b(?:media|initialization|sourceURL)\s*=\s*["']([^"']{1,2000})["']"""
)


def check(reader: Reader, found: list[Found]) -> None:
    """Say what a playlist names."""
    head = reader.at(0, 4096).removeprefix(b"\xef\xbb\xbf")
    for is_one, names_of, what in _FORMATS:
        if is_one(head):
            names = names_of(reader.piece(0, LOOKED_AT).removeprefix(b"\xef\xbb\xbf"))[:MAX_NAMES]
            if names:
                found.append(("external-reference", f"{what} names {listed(names)}"))
            return


def _m3u(text: bytes) -> list[bytes]:
    names = []
    for line in text.splitlines()[:MAX_NAMES]:
        line = line.strip()
        if line.startswith(b"#EXT"):
            names += _URI.findall(line)
        elif line and not line.startswith(b"#"):
            names.append(line)
    return names


def _concat(text: bytes) -> list[bytes]:
    return [a or b for a, b in _FILE.findall(text)]


def _sdp(text: bytes) -> list[bytes]:
    return list(dict.fromkeys(_SDP_HOST.findall(text)))


def _dash(text: bytes) -> list[bytes]:
    return [a or b for a, b in _DASH_NAME.findall(text)]


_FORMATS = (
    (lambda head: head.startswith(b"#EXTM3U"), _m3u, "the playlist"),
    (lambda head: head.startswith(b"ffconcat version"), _concat, "the concat script"),
    (lambda head: head[:10].lower() == b"[playlist]", lambda text: _PLS.findall(text), "the playlist"),
    (lambda head: _SDP.match(head) is not None, _sdp, "the session description"),
    (lambda head: _DASH.match(head) is not None, _dash, "the DASH manifest"),
)
