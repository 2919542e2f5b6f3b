"""Make the evidence and the hash sets of the demo by code: harmless pictures, a laptop, a stick, a phone.

    python tools/make_demo_evidence.py FOLDER

FOLDER gets `evidence/` (laptop.E01 with ext4, stick.dd with FAT32, phone/), `lists/` (a VICS 2.0 file, a list of PDQ hashes, a small
NSRL RDS 3) and `truth.json`: what must be found. Needs mke2fs and debugfs, mkfs.vfat and mtools; ewfacquirestream where it is there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
import zlib
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from drawings import MOTIFS
from PIL import Image, ImageOps

DAY = int(datetime(2016, 5, 17, 9, 30, tzinfo=UTC).timestamp())
STICK_MIB, LAPTOP_MIB = 40, 48
FIRST_SECTOR = 2048


class Truth:
    """What lies where, and what must be found: filled while the evidence is made."""

    def __init__(self) -> None:
        self.deleted: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.alike: dict[str, str] = {}
        self.inside: dict[str, str] = {}

    def as_json(self) -> dict[str, dict[str, str]]:
        return {"deleted": self.deleted, "known": self.known, "alike": self.alike, "inside": self.inside}


def main(folder: Path) -> Truth:
    """Make everything below `folder` and return what must be found."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    truth, work = Truth(), folder / "work"
    for name in ("evidence", "lists", "work"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    laptop(work, folder / "evidence", truth)
    stick(work, folder / "evidence", truth)
    phone(folder / "evidence" / "phone", truth)
    lists(folder / "lists", truth)
    shutil.rmtree(work)
    (folder / "truth.json").write_text(json.dumps(truth.as_json(), indent=1) + "\n")
    return truth


def jpeg(picture: Image.Image, quality: int = 88, exif: Image.Exif | None = None) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, **({"exif": exif} if exif else {}))
    return out.getvalue()


def drawn(motif: str, number: int, **options: Any) -> bytes:
    return jpeg(MOTIFS[motif](number), **options)


def camera(taken: str, north: float, east: float) -> Image.Exif:
    """Return the EXIF of an imaginary camera."""
    exif = Image.Exif()
    exif[271], exif[272], exif[305] = "Demo", "Pinhole 1", "drawings.py"
    exif.get_ifd(0x8769).update({0x9003: taken, 0x9011: "+02:00", 0xA431: "DEMO-000123"})
    exif.get_ifd(0x8825).update(
        {1: "N", 2: (float(int(north)), (north % 1) * 60, 0.0), 3: "E", 4: (float(int(east)), (east % 1) * 60, 0.0)}
    )
    return exif


def put(root: Path, path: str, data: bytes, minutes: int = 0) -> bytes:
    """Write a file with a fixed time and return its bytes."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    os.utime(target, (DAY + 60 * minutes, DAY + 60 * minutes))
    return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def known(truth: Truth, path: str, data: bytes) -> bytes:
    truth.known[path] = sha256(data)
    return data


def tool(*command: str, **options: Any) -> None:
    """Run a tool in silence; its words are shown where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout.decode(errors='replace')}")


# --- the laptop: ext4 in an E01 -----------------------------------------------------------------------------------------------


def laptop(work: Path, target: Path, truth: Truth) -> None:
    """Make a home folder, delete pictures from it, and acquire it."""
    root, image = work / "laptop", work / "laptop.dd"
    gone = _laptop_files(root, truth)
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            os.utime(path, (DAY, DAY))
    with image.open("wb") as f:
        f.truncate(LAPTOP_MIB << 20)
    fixed = {**os.environ, "E2FSPROGS_FAKE_TIME": str(DAY + 86_400)}
    uuid = "5afe1196-0000-4000-8000-000000000001"
    tool("mke2fs", "-q", "-t", "ext4", "-L", "laptop", "-U", uuid, "-E", f"hash_seed={uuid}", "-d", str(root), str(image), env=fixed)
    for name in gone:
        tool("debugfs", "-w", "-R", f"rm /{name}", str(image), env=fixed)
    if shutil.which("ewfacquirestream"):
        with image.open("rb") as stream:
            facts = ("-C", "harbour", "-D", "laptop of the demo", "-e", "demo", "-E", "2016-041-A", "-N", "made by code")
            tool("ewfacquirestream", *facts, "-c", "deflate:fast", "-m", "fixed", "-q", "-t", str(target / "laptop"), stdin=stream)
    else:
        image.rename(target / "laptop.dd")


def _laptop_files(root: Path, truth: Truth) -> list[str]:
    home = "home/anna"
    for n in range(6):
        put(root, f"{home}/Pictures/mountains-{n}.jpg", drawn("mountains", n), n)
    for n in range(3):
        path = f"{home}/Pictures/stamps/stamp-{n}.png"
        out = io.BytesIO()
        MOTIFS["stamp"](n).convert("P", palette=Image.Palette.ADAPTIVE).save(out, "PNG")
        put(root, path, out.getvalue(), 10 + n)
    put(root, f"{home}/Downloads/harbour.jpg", known(truth, "harbour.jpg", drawn("boats", 0)), 20)
    copy = jpeg(ImageOps.mirror(MOTIFS["boats"](1)).resize((640, 480)), 70)
    truth.alike["boat-mirrored.jpg"] = sha256(put(root, f"{home}/Downloads/boat-mirrored.jpg", copy, 21))
    nested = _zip({"letter.txt": b"The stamps are in the other archive.\n", "stamps.zip": _zip({"inner/stamp.jpg": drawn("stamp", 7)})})
    truth.known["stamps.zip/inner/stamp.jpg"] = truth.inside["stamps.zip/inner/stamp.jpg"] = sha256(drawn("stamp", 7))
    put(root, f"{home}/Documents/archive.zip", nested, 22)
    put(root, f"{home}/Documents/notes.txt", b"Sails, paint, 40 m rope. Ask at the harbour on Friday.\n", 23)
    put(root, f"{home}/Documents/damaged.jpg", drawn("flower", 9)[:40_000], 24)
    put(root, f"{home}/Documents/photo.jpg", b"This is text that calls itself a picture.\n", 25)
    put(root, f"{home}/Mail/inbox.eml", _mail(), 26)
    for n in range(12):
        put(root, f"usr/share/demo/part-{n:02d}.dat", system_file(n), 30)
    gone = []
    for n in range(3):
        path = f"{home}/Pictures/mountains-{6 + n}.jpg"
        truth.deleted[f"laptop:{path}"] = sha256(put(root, path, drawn("mountains", 6 + n), 40 + n))
        gone.append(path)
    truth.known[f"laptop:{gone[0]}"] = truth.deleted[f"laptop:{gone[0]}"]
    return gone


def system_file(number: int) -> bytes:
    """Return bytes that stand for a file of the operating system."""
    return hashlib.shake_256(f"part {number} of the demo system".encode()).digest(4096)


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2016, 5, 17, 9, 30, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _mail() -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Anna <anna@example.org>", "Bo <bo@example.org>", "The boats"
    mail["Date"], mail["Message-ID"] = "Tue, 17 May 2016 11:30:00 +0200", "<demo-1@example.org>"
    mail.set_content("Hello Bo,\n\nhere is the boat we spoke of.\n\nAnna\n")
    mail.add_attachment(drawn("boats", 8), maintype="image", subtype="jpeg", filename="boat.jpg")
    mail.set_boundary("demo-boundary")
    return mail.as_bytes()


# --- the stick: FAT32 behind an MBR -------------------------------------------------------------------------------------------


def stick(work: Path, target: Path, truth: Truth) -> None:
    """Make a stick as a camera leaves it, and delete some of its pictures."""
    root, image = work / "stick", target / "stick.dd"
    sectors = STICK_MIB * 2048
    with image.open("wb") as f:
        f.truncate((FIRST_SECTOR + sectors) * 512)
        entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0x0C, b"\xfe\xff\xff", FIRST_SECTOR, sectors)
        f.seek(440)
        f.write(b"DEMO\0\0" + entry + bytes(48) + b"\x55\xaa")
    blocks = str(STICK_MIB * 1024)
    offset = ("--offset", str(FIRST_SECTOR), "-h", str(FIRST_SECTOR))
    tool("mkfs.vfat", "-F", "32", "-s", "1", "-n", "STICK", "-i", "5AFE1196", "--invariant", *offset, str(image), blocks)
    drive = f"{image}@@{FIRST_SECTOR * 512}"
    quiet = {"env": {**os.environ, "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}}
    gone = _stick_files(root, truth)
    tool("mcopy", "-s", "-m", "-i", drive, str(root / "DCIM"), "::", **quiet)
    for path in gone:
        tool("mdel", "-i", drive, f"::{path}", **quiet)


def _stick_files(root: Path, truth: Truth) -> list[str]:
    gone = []
    for n in range(8):
        path = f"DCIM/100DEMO/Holiday picture {n}.jpg"
        data = put(root, path, drawn("flower" if n % 2 else "boats", 20 + n), 100 + n)
        if n in (1, 2, 4, 5, 7):
            gone.append(path)
            truth.deleted[f"stick:{path}"] = sha256(data)
        if n in (2, 5, 6):
            known(truth, f"stick:{path}", data)
    return gone


# --- the phone: a folder ------------------------------------------------------------------------------------------------------


def phone(root: Path, truth: Truth) -> None:
    """Make the folder that a logical acquisition of a phone leaves."""
    for n in range(5):
        exif = camera(f"2016:05:{17 + n} 11:30:00", 59.9 + n / 100, 10.7)
        put(root, f"DCIM/Camera/IMG_2016051{n}.jpg", drawn("mountains" if n % 2 else "flower", 40 + n, exif=exif), 200 + n)
    put(root, "Download/harbour (1).jpg", known(truth, "harbour.jpg", drawn("boats", 0)), 210)
    smaller = jpeg(MOTIFS["mountains"](2).resize((800, 600)), 60)
    truth.alike["small.jpg"] = sha256(put(root, "Download/small.jpg", smaller, 211))
    put(root, "Download/boats.webp", _webp(MOTIFS["boats"](3)), 212)
    messages = [{"from": "Anna", "to": "Bo", "text": "See you at the harbour", "at": "2016-05-17T09:31:00Z"}]
    put(root, "messages/thread-1.json", json.dumps(messages, indent=1).encode() + b"\n", 213)
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            os.utime(path, (DAY, DAY))


def _webp(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=80)
    return out.getvalue()


# --- the hash sets ------------------------------------------------------------------------------------------------------------


def lists(folder: Path, truth: Truth) -> None:
    """Make the hash sets; each holds entries that are in no exhibit as well."""
    _vics(folder / "demo-known.json", _bytes_of_known())
    _pdq(folder / "demo-lookalikes.pdq.txt")
    _nsrl(folder / "demo-nsrl.db")


def _bytes_of_known() -> list[bytes]:
    there = [drawn("boats", 0), drawn("stamp", 7), drawn("mountains", 6), drawn("boats", 22), drawn("flower", 25), drawn("boats", 26)]
    return there + [hashlib.sha256(f"elsewhere {n}".encode()).digest() * 8 for n in range(30)]


def _vics(path: Path, contents: list[bytes]) -> None:
    """Write a VICS 2.0 list. Category 4 is `Comparison Images`: nothing here is a picture of anything but boats."""
    media = [
        {"MediaID": n, "Category": 4, "MD5": _hex("md5", c), "SHA1": _hex("sha1", c), "MediaSize": len(c)}
        for n, c in enumerate(contents, 1)
    ]
    context = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media"
    path.write_text(json.dumps({"@odata.context": context, "value": media}, indent=1) + "\n")


def _pdq(path: Path) -> None:
    """Write the PDQ hashes of two originals whose altered copies are in the evidence, and of two that are not."""
    from safelight.extract.pictures import extract_picture

    lines = ["# PDQ hashes, one a line"]
    for motif, number in (("boats", 1), ("mountains", 2), ("flower", 90), ("boats", 91)):
        picture = extract_picture(drawn(motif, number), "image/jpeg").picture
        assert picture is not None and picture.pdq is not None
        lines.append(picture.pdq.hex())
    path.write_text("\n".join(lines) + "\n")


def _nsrl(path: Path) -> None:
    """Write a small RDS 3: the tables that NIST publishes, with the demo's system files."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            CREATE TABLE FILE (sha256 VARCHAR NOT NULL, sha1 VARCHAR NOT NULL, md5 VARCHAR NOT NULL, crc32 VARCHAR NOT NULL,
                file_name VARCHAR NOT NULL, file_size INTEGER NOT NULL, package_id INTEGER NOT NULL,
                CONSTRAINT PK_FILE__FILE PRIMARY KEY (sha256, sha1, md5, crc32, file_name, file_size, package_id));
            CREATE TABLE PKG (package_id INTEGER NOT NULL, name VARCHAR NOT NULL, version VARCHAR NOT NULL,
                operating_system_id INTEGER NOT NULL, manufacturer_id INTEGER NOT NULL, language VARCHAR NOT NULL, application_type VARCHAR NOT NULL);
            CREATE TABLE VERSION (version VARCHAR UNIQUE NOT NULL, build_set VARCHAR NOT NULL, build_date TIMESTAMP NOT NULL,
                release_date TIMESTAMP NOT NULL, description VARCHAR NOT NULL);
            INSERT INTO PKG VALUES (1, 'Demo system', '1.0', 1, 1, 'English', 'Operating System');
            INSERT INTO VERSION VALUES ('2016.05.1', 'demo', '2016-05-01 00:00:00', '2016-05-01 00:00:00', 'made by code');
            """
        )
        for n in range(200):
            data = system_file(n)
            row = (
                _hex("sha256", data),
                _hex("sha1", data),
                _hex("md5", data),
                f"{zlib.crc32(data):08X}",
                f"part-{n:02d}.dat",
                len(data),
                1,
            )
            db.execute("INSERT INTO FILE VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _hex(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest().upper()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
