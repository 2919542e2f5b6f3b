"""CASE/UCO as JSON-LD: an investigation with its exhibits, one file object for each place of each decided content, and the act of deciding.

Written so that `case_validate` (CASE 1.5.0) finds it conforming; tests hold this. Each node has an `@id` that ends in a UUID made from
case and content, so that the same decisions give the same file. Nodes are written as they come; memory holds their ids only.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from safelight.exports.records import Exported, Header, Place, Sink
from safelight.exports.times import instant

NAME, SUFFIX = "case", ".jsonld"
CONTEXT = {
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "kb": "http://example.org/kb/",
    "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
    "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
    "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
    "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
    "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


class _Ids:
    """Ids of nodes: what they are, and a UUID made from the case and their place in it."""

    def __init__(self, case_id: str) -> None:
        self._space = uuid.uuid5(uuid.NAMESPACE_URL, f"safelight:{case_id}")

    def __call__(self, what: str, *parts: str) -> str:
        return f"kb:{what}-{uuid.uuid5(self._space, chr(0).join((what, *parts)))}"


def write(header: Header, records: Iterable[Exported], out: Sink) -> int:
    """Write the graph and return the number of contents."""
    name = _Ids(header.case_id)
    out.write(b'{"@context":' + msgspec.json.encode(CONTEXT) + b',"@graph":[\n')
    members: dict[str, list[str]] = {label: [] for label in header.exhibits}
    files, rows, latest = list[str](), 0, ""
    for r in records:
        rows += 1
        latest = max(latest, r.decided_at)
        for p in r.places:
            node = _file(name, header, r, p)
            files.append(node["@id"])
            members[p.exhibit].append(node["@id"])
            _put(out, node)
            _put(out, _within(name, node["@id"], p))
    for label in header.exhibits:
        _put(out, _image(name, label, header.images[label]))
        _put(out, _provenance(name, label, members[label]))
    _put(out, {"@id": name("tool"), "@type": "uco-tool:Tool", "uco-core:name": "Safelight", "uco-tool:version": header.version})
    if files:
        _put(out, _action(name, header, files, latest))
    out.write(msgspec.json.encode(_investigation(name, header, files)) + b"\n]}\n")
    return rows


def _put(out: Sink, node: dict[str, Any]) -> None:
    out.write(msgspec.json.encode(node) + b",\n")


def _refs(ids: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": i} for i in ids]


def _hash(name: _Ids, owner: str, method: str, value: str) -> dict[str, Any]:
    return {
        "@id": name("hash", owner, method),
        "@type": "uco-types:Hash",
        "uco-types:hashMethod": method,
        "uco-types:hashValue": {"@type": "xsd:hexBinary", "@value": value},
    }


def _time(ns: int | None, basis: str | None) -> dict[str, str] | None:
    text = instant(ns, basis)
    return {"@type": "xsd:dateTime", "@value": f"{text[:-1]}+00:00"} if text and text.endswith("Z") else None


def _file(name: _Ids, header: Header, r: Exported, p: Place) -> dict[str, Any]:
    key = p.item_id.hex()
    facet: dict[str, Any] = {
        "@id": name("file-facet", key),
        "@type": "uco-observable:FileFacet",
        "uco-observable:fileName": p.path.rsplit("/", 1)[-1],
        "uco-observable:filePath": f"/{p.path.lstrip('/')}",
        "uco-observable:sizeInBytes": r.size,
    }
    for member, value in (("modifiedTime", p.mtime), ("accessedTime", p.atime), ("observableCreatedTime", p.btime)):
        if (stamp := _time(value, p.time_basis)) is not None:
            facet[f"uco-observable:{member}"] = stamp
    digests = (("MD5", r.md5), ("SHA1", r.sha1), ("SHA256", r.sha256))
    data: dict[str, Any] = {
        "@id": name("content-data-facet", key),
        "@type": "uco-observable:ContentDataFacet",
        "uco-observable:hash": [_hash(name, key, method, value.hex()) for method, value in digests],
    }
    if r.media_type:
        data["uco-observable:mimeType"] = r.media_type
    tags = [f"{header.scheme.name} {r.category.code}: {r.category.label}".rstrip(": "), f"state: {p.state}"]
    return {
        "@id": name("file", key),
        "@type": "uco-observable:File",
        "uco-core:tag": [*tags, *(f"flag: {f}" for f in r.flags), *r.tags],
        "uco-core:hasFacet": [facet, data],
    }


def _within(name: _Ids, file: str, p: Place) -> dict[str, Any]:
    return {
        "@id": name("relationship", p.item_id.hex()),
        "@type": "uco-observable:ObservableRelationship",
        "uco-core:source": {"@id": file},
        "uco-core:target": {"@id": name("image", p.exhibit)},
        "uco-core:isDirectional": True,
        "uco-core:kindOfRelationship": "Contained_Within",
    }


def _image(name: _Ids, label: str, digests: list[str]) -> dict[str, Any]:
    node: dict[str, Any] = {"@id": name("image", label), "@type": "uco-observable:ObservableObject", "uco-core:name": label}
    if digests:
        facet = {"@id": name("content-data-facet", "image", label), "@type": "uco-observable:ContentDataFacet"}
        node["uco-core:hasFacet"] = [
            {**facet, "uco-observable:hash": [_hash(name, f"image {label} {n}", "SHA256", d) for n, d in enumerate(digests)]}
        ]
    return node


def _provenance(name: _Ids, label: str, files: list[str]) -> dict[str, Any]:
    return {
        "@id": name("provenance-record", label),
        "@type": "case-investigation:ProvenanceRecord",
        "case-investigation:exhibitNumber": label,
        "uco-core:object": _refs([name("image", label), *files]),
    }


def _action(name: _Ids, header: Header, files: list[str], latest: str) -> dict[str, Any]:
    return {
        "@id": name("action"),
        "@type": "case-investigation:InvestigativeAction",
        "uco-core:name": "categorisation",
        "uco-action:instrument": _refs([name("tool")]),
        "uco-action:object": _refs(name("image", label) for label in header.exhibits),
        "uco-action:result": _refs(files),
        "uco-action:endTime": {"@type": "xsd:dateTime", "@value": f"{latest[:19]}+00:00"},
    }


def _investigation(name: _Ids, header: Header, files: list[str]) -> dict[str, Any]:
    parts = [name("provenance-record", label) for label in header.exhibits] + ([name("action")] if files else [])
    return {
        "@id": name("investigation"),
        "@type": "case-investigation:Investigation",
        "uco-core:name": header.title,
        "uco-core:object": _refs([*parts, *files]),
    }
