"""VICS 2.0 (Project VIC, CAID): the shape Cases, as `docs/methods/decisions.md` describes it.

Digests in upper case, MediaSize a number, flags as the texts "true" and "false", one MediaFiles for each place, times in UTC with Z (a local
time has no place in VICS and is left out). Category is a number where the code is one, else the code.

`write_onto` gives a VICS file back: MediaIDs, order and every member that is not ours stay as they are; of a record that is decided
only Category, Comments, Tags, flags and DateUpdated change. What is decided and not in the file is added behind, with new MediaIDs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from safelight.errors import Refused
from safelight.exports.records import Exported, Header, Place, Sink
from safelight.exports.times import instant
from safelight.match.formats.vics import URI
from safelight.match.schemes import scheme_of

NAME, SUFFIX = "vics", ".json"
REGIONS = {"vics-us": "US", "vics-uk": "UK"}
FLAG_MEMBERS = {"victim": "VictimIdentified", "offender": "OffenderIdentified", "distributed": "IsDistributed"}
SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp", "image/heic": "heic", "video/mp4": "mp4"}
MOST_ONTO = 1 << 30
"""Largest file that is given back: it is held in memory."""


def write(header: Header, records: Iterable[Exported], out: Sink) -> int:
    """Write a file of our own and return the number of Media."""
    region = REGIONS.get(header.scheme.name, header.scheme.name)
    context = f"http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/{region}/$metadata#Cases"
    about = {
        "CaseID": header.case_id,
        "CaseNumber": header.title,
        "SourceApplicationName": "Safelight",
        "SourceApplicationVersion": header.version,
    }
    out.write(b'{"@odata.context":' + msgspec.json.encode(context) + b',"value":[' + msgspec.json.encode(about)[:-1] + b',"Media":[')
    count = 0
    for count, r in enumerate(records, 1):
        out.write((b",\n" if count > 1 else b"\n") + msgspec.json.encode(_media(r, count)))
    out.write(b'\n],"TotalMediaFiles":%d}]}\n' % count)
    return count


def write_onto(header: Header, records: Iterable[Exported], source: Path, out: Sink) -> int:
    """Write a VICS file again with what was decided since, and return the number of Media that are ours or changed."""
    document = _read(source)
    _check_scheme(document, header, source)
    medias = list(_medias(document))
    by_digest: dict[str, list[dict[str, Any]]] = {}
    for media in medias:
        for name in ("MD5", "SHA1"):
            if isinstance(media.get(name), str):
                by_digest.setdefault(media[name].upper(), []).append(media)
    last = max((m["MediaID"] for m in medias if isinstance(m.get("MediaID"), int)), default=0)
    changed, added = 0, list[dict[str, Any]]()
    for r in records:
        known = {id(m): m for m in chain(by_digest.get(r.md5.hex().upper(), ()), by_digest.get(r.sha1.hex().upper(), ()))}
        for media in known.values():
            media.update(_verdict(r))
        if not known:
            last += 1
            added.append(_media(r, last))
        changed += len(known) or 1
    home = _home(document)
    home.extend(added)
    if added and isinstance(document.get("value"), list) and document["value"] and "TotalMediaFiles" in document["value"][-1]:
        stated = document["value"][-1]["TotalMediaFiles"]
        document["value"][-1]["TotalMediaFiles"] = str(len(home)) if isinstance(stated, str) else len(home)
    out.write(_json(document))
    return changed


def _read(source: Path) -> dict[str, Any]:
    try:
        if source.stat().st_size > MOST_ONTO:
            raise Refused(f"{source} is larger than 1 GiB. No export was written; export without --onto and merge in the receiving tool.")
        raw = source.read_bytes().removeprefix(b"\xef\xbb\xbf")
        document: Any = msgspec.json.decode(raw)
    except (OSError, msgspec.DecodeError) as e:
        raise Refused(f"{source} cannot be read as a VICS file ({e}). No export was written.") from None
    if not isinstance(document, dict) or not isinstance(document.get("value"), list):
        raise Refused(f"{source} is no VICS file: it has no list `value`. No export was written.")
    return document


def _check_scheme(document: dict[str, Any], header: Header, source: Path) -> None:
    """Raise `Refused` where the file speaks of another scheme: codes of two schemes are never mixed."""
    uri = URI.search(str(document.get("@odata.context", "")))
    theirs = scheme_of(uri[1], uri[2]) if uri else None
    if theirs is not None and theirs != header.scheme.name:
        raise Refused(f"{source} has categories of {theirs}, this case decides by {header.scheme.name}. No export was written.")


def _medias(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the records of both shapes: Cases hold Media, Media stand for themselves."""
    for entry in document["value"]:
        if isinstance(entry, dict) and isinstance(entry.get("Media"), list):
            yield from (m for m in entry["Media"] if isinstance(m, dict))
        elif isinstance(entry, dict) and ("MD5" in entry or "SHA1" in entry or "MediaID" in entry):
            yield entry


def _home(document: dict[str, Any]) -> list[Any]:
    """Return the list that new records go to."""
    cases = [e for e in document["value"] if isinstance(e, dict) and isinstance(e.get("Media"), list)]
    home: list[Any] = cases[-1]["Media"] if cases else document["value"]
    return home


def _verdict(r: Exported) -> dict[str, Any]:
    """Return the members that say what was decided."""
    said: dict[str, Any] = {"Category": int(r.category.code) if r.category.code.isdigit() else r.category.code}
    said |= {member: "true" for flag, member in FLAG_MEMBERS.items() if r.has(flag)}
    if r.note:
        said["Comments"] = r.note
    if r.tags:
        said["Tags"] = ", ".join(r.tags)
    said["DateUpdated"] = f"{r.decided_at[:19]}.000Z"
    return said


def _media(r: Exported, number: int) -> dict[str, Any]:
    media: dict[str, Any] = {
        "MediaID": number,
        "Category": None,
        "MD5": r.md5.hex().upper(),
        "SHA1": r.sha1.hex().upper(),
        "MediaSize": r.size,
    }
    if r.media_type:
        media["MimeType"] = r.media_type
    media["RelativeFilePath"] = f"VIC_Files\\{r.md5.hex()}.{SUFFIXES.get(r.media_type or '', 'bin')}"
    media |= dict.fromkeys(FLAG_MEMBERS.values(), "false")
    media |= _verdict(r)
    media["MediaFiles"] = [_file(r, p) for p in r.places]
    return media


def _file(r: Exported, p: Place) -> dict[str, Any]:
    found = {"MD5": r.md5.hex().upper(), "FileName": p.path.rsplit("/", 1)[-1], "FilePath": f"/{p.path.lstrip('/')}"}
    for name, value in (("Created", p.btime), ("Written", p.mtime), ("Accessed", p.atime)):
        text = instant(value, p.time_basis)
        if text and text.endswith("Z"):
            found[name] = f"{text[:-1]}.000Z"
    if p.state in ("deleted", "orphan", "overwritten"):
        found["Deleted"] = "true"
    found["SourceID"] = p.exhibit
    return found


def _json(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
