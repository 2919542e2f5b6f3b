"""XMP packets as plain properties: no document type, no entities, bounded depth and size.

XMP is read for what tells people and devices apart (serials, document ids, tools, dates); structure is flattened to
`prefix:name` and the first value wins. A packet with a DTD is refused: it can only be an attack. Facts: ISO 16684-1.
"""

from __future__ import annotations

from xml.parsers import expat

MAX_BYTES = 4 << 20
MAX_DEPTH = 100
MAX_PROPERTIES = 300
MAX_TEXT = 4096

PREFIXES = {
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.google.com/photos/1.0/camera/": "GCamera",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
}
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


class Refused(Exception):
    """The packet was not read; kind (of problems.KINDS) and reason say why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class _Collector:
    """Callbacks of one packet."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.text: list[str] = []
        self.length = 0
        self.found: dict[str, str] = {}

    def keep(self, name: str, value: str) -> None:
        value = value.strip()
        if value and name and len(self.found) < MAX_PROPERTIES:
            self.found.setdefault(name, value[:MAX_TEXT])

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.path) >= MAX_DEPTH:
            raise Refused("limit.depth", f"XMP is nested deeper than {MAX_DEPTH}")
        self.path.append(name)
        self.text, self.length = [], 0
        for key, value in attributes.items():
            self.keep(short(key), value)

    def data(self, text: str) -> None:
        if self.length < MAX_TEXT:
            self.text.append(text)
            self.length += len(text)

    def end(self, name: str) -> None:
        self.path.pop()
        owner = next((n for n in [name, *reversed(self.path)] if not n.startswith(RDF)), "")
        self.keep(short(owner), "".join(self.text))
        self.text, self.length = [], 0

    def doctype(self, *_: object) -> None:
        raise Refused("metadata", "XMP with a document type declaration is refused")


def short(name: str) -> str:
    """Return `prefix:name` of a namespaced name; RDF, XML and unknown syntax names give an empty text."""
    space, _, local = name.rpartition(" ")
    if space in (RDF, "http://www.w3.org/XML/1998/namespace", "adobe:ns:meta/", ""):
        return ""
    return f"{PREFIXES.get(space, space.rstrip('/#').rpartition('/')[2])}:{local}"


def read_xmp(packet: bytes | memoryview) -> dict[str, str]:
    """Return the properties of a packet; raise `Refused` for DTDs, depth, size and broken XML."""
    if len(packet) > MAX_BYTES:
        raise Refused("limit.metadata", f"XMP of {len(packet)} bytes")
    collector = _Collector()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.data
    parser.StartDoctypeDeclHandler = collector.doctype
    parser.EntityDeclHandler = collector.doctype
    try:
        parser.Parse(bytes(packet).rstrip(b"\x00 \r\n\t"), True)
    except expat.ExpatError as error:
        raise Refused("metadata", f"XMP is not well formed: {expat.ErrorString(error.code)}") from None
    return collector.found
