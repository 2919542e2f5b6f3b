"""Test disks by code, the same every time, made once and kept below the temporary folder (delete it to make them anew).

Each function returns a `Disk`: the folder of the files and a raw ext4 image of it. Nothing here is evidence of anything:
landscapes of noise, random bytes, lists of words.
"""

from __future__ import annotations

import io
import math
import random
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VERSION = 2
ROOT = Path(tempfile.gettempdir()) / f"safelight-bench-{VERSION}"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
MB = 1_000_000
TIME = b"2020:01:02 03:04:05"
WORDS = "the of a to in is you that it he was for on are as with his they at be this have from or one had by word but not what all".split()


@dataclass(frozen=True)
class Disk:
    """A folder of files and a raw image that holds them; `size` in bytes is that of the files."""

    folder: Path
    image: Path
    files: int
    size: int


def made(name: str, fill: Callable[[Path], None], image: bool = True) -> Disk:
    """Return the disk of this name; fill its folder at the first use."""
    folder, disk = ROOT / name, ROOT / f"{name}.img"
    if not folder.exists():
        working = ROOT / f".{name}"
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir(parents=True)
        fill(working)
        working.rename(folder)
    files = [p.stat() for p in folder.rglob("*") if p.is_file()]
    size = sum(f.st_size for f in files)
    if image and not disk.exists():
        _ext4(folder, disk, size, len(files))
    return Disk(folder, disk, len(files), size)


def _ext4(folder: Path, disk: Path, size: int, files: int) -> None:
    working = disk.with_suffix(".part")
    working.unlink(missing_ok=True)
    blocks = (size + files * 4096) * 11 // 10 // 4096 + 20_000
    inodes = files * 11 // 10 + 1_000
    command = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-N", str(inodes), "-d", str(folder), str(working), str(blocks)]
    subprocess.run(command, check=True, capture_output=True)
    working.rename(disk)


def e01(disk: Disk) -> Path:
    """Return the first segment of a compressed E01 (deflate, fast) of a disk."""
    target = disk.image.with_suffix(".E01")
    if not target.exists():
        command = ["ewfacquirestream", "-q", "-t", str(target.with_suffix("")), "-c", "fast", "-f", "encase6", "-S", "1.4G"]
        command += ["-e", "E", "-D", "d", "-N", "n", "-C", "1", "-E", "1"]
        with disk.image.open("rb") as stream:
            subprocess.run(command, stdin=stream, check=True, capture_output=True)
    return target


def mixed_sizes(megabytes: int) -> Disk:
    """Files of 100 B to 40 MB, sizes log-uniform, half of them noise and half text."""

    def fill(folder: Path) -> None:
        noise, total, number = random.Random(1), 0, 0
        text = words(noise, 1 << 20)
        while total < megabytes * MB:
            size = int(math.exp(noise.uniform(math.log(100), math.log(40e6))))
            place = folder / f"d{number // 100:03}"
            place.mkdir(exist_ok=True)
            data = noise.randbytes(size) if number % 2 else (text[noise.randrange(1 << 19) :] * (size // len(text) + 2))[:size]
            (place / f"f{number:06}.{'bin' if number % 2 else 'txt'}").write_bytes(data)
            total, number = total + size, number + 1

    return made(f"sizes-{megabytes}", fill)


def photos(count: int) -> Disk:
    """Photos of 3 to 12 megapixels, JPEG of quality 90, with EXIF and a thumbnail as cameras write them.

    There are at most 60 landscapes; a further photo of one has another time in its EXIF, so it is another content.
    """

    def fill(folder: Path) -> None:
        scenes = min(count, 60)
        for scene in range(scenes):
            data = photo(scene, 3e6 + 9e6 * scene / max(1, scenes - 1))
            for number in range(scene, count, scenes):
                (folder / f"DSC{number:05}.jpg").write_bytes(data.replace(TIME, b"2020:01:02 %02d:04:05" % (number // scenes), 1))

    return made(f"photos-{count}", fill)


def photo(seed: int, pixels: float) -> bytes:
    """Return a JPEG of a landscape of so many pixels."""
    picture, out, small = landscape(seed, pixels), io.BytesIO(), io.BytesIO()
    picture.resize((160, 120), Image.Resampling.BOX).save(small, "JPEG", quality=75)
    picture.save(out, "JPEG", quality=90, exif=_exif(small.getvalue()))
    return out.getvalue()


def landscape(seed: int, pixels: float) -> Image.Image:
    """A sky over hills of noise at all scales, with the grain of a sensor."""
    noise = np.random.default_rng(seed)
    height = int(math.sqrt(pixels * 3 / 4)) // 16 * 16
    width = height * 4 // 3
    relief = np.zeros((height, width), np.float32)
    for scale in (4, 16, 64, 256, 1024):
        rough = Image.fromarray(noise.random((scale * 3 // 4 + 2, scale + 2), dtype=np.float32))
        relief += np.asarray(rough.resize((width, height), Image.Resampling.BICUBIC)) * (120 / scale**0.5)
    ridge = height * 0.3 + relief.mean(0) * 2
    ground = np.arange(height, dtype=np.float32)[:, None] > ridge[None, :]
    grain = noise.normal(0, 4, (height, width)).astype(np.float32)
    colours = ((0.9, 150), (1.0, 185), (0.5, 230)), ((0.8, 20), (1.0, 30), (0.5, 10))
    planes = []
    for sky, soil in zip(*colours, strict=True):
        planes.append(np.where(ground, relief * soil[0] + soil[1], relief * 0.15 * sky[0] + sky[1]) + grain)
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


def _exif(thumbnail: bytes) -> bytes:
    """EXIF with make, model and time in IFD0 and a JPEG thumbnail in IFD1 (EXIF 2.32, 4.5)."""
    texts = {0x010F: b"Bench\0", 0x0110: b"Landscape 1\0", 0x0132: TIME + b"\0"}
    first, second = 8, 8 + 2 + 12 * len(texts) + 4
    body = second + 2 + 12 * 2 + 4
    entries, store = b"", b""
    for tag, text in texts.items():
        entries += struct.pack("<HHII", tag, 2, len(text), body + len(store))
        store += text
    at = body + len(store)
    ifd1 = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, at, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", first, len(texts)) + entries + struct.pack("<I", second) + ifd1 + store + thumbnail


def words(noise: random.Random, size: int) -> bytes:
    """Text of so many bytes."""
    return " ".join(noise.choices(WORDS, k=size // 3)).encode()[:size]


def mixed(megabytes: int) -> Disk:
    """A bit of everything: pictures of many formats, archives, documents, databases, text, films and bytes like films."""

    def fill(folder: Path) -> None:
        noise = random.Random(3)
        for source in ("photos", "video"):
            if (SHARED / source).is_dir():
                shutil.copytree(SHARED / source, folder / f"given-{source}", copy_function=shutil.copyfile)
        number = total = 0
        while total < megabytes * MB:
            place = folder / f"part{number:03}"
            place.mkdir()
            _part(place, noise, number)
            total += sum(p.stat().st_size for p in place.rglob("*"))
            number += 1

    return made(f"mixed-{megabytes}", fill)


def _part(place: Path, noise: random.Random, number: int) -> None:
    """About 30 MB: 1 film, 2 archives, 4 photos, 5 pictures of other formats, 5 documents, 1 database, 150 texts."""
    (place / "film.mp4").write_bytes(_film(noise, 12 * MB))
    for i in range(4):
        (place / f"photo{i}.jpg").write_bytes(photo(1000 + 10 * number + i, 3e6 + 2.5e6 * i))
    picture = landscape(5000 + number, 1.2e6)
    kinds: dict[str, dict[str, Any]] = {"png": {}, "webp": {"quality": 85}, "gif": {}, "tif": {}, "bmp": {}}
    for ending, options in kinds.items():
        picture.save(place / f"picture.{ending}", **options)
    with zipfile.ZipFile(place / "pictures.zip", "w") as archive:
        for i in range(20):
            archive.writestr(f"holiday/p{i}.jpg", photo(9000 + 100 * number + i, 2e5))
    with tarfile.open(place / "texts.tar.gz", "w:gz", compresslevel=6) as tar:
        for i in range(60):
            data = words(noise, noise.randrange(1_000, 60_000))
            info = tarfile.TarInfo(f"notes/n{i}.txt")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    for i in range(5):
        _document(place / f"letter{i}.docx", noise)
    database = sqlite3.connect(place / "messages.db")
    database.execute("create table message (id integer primary key, body text)")
    database.executemany("insert into message (body) values (?)", [(words(noise, 80).decode(),) for _ in range(8_000)])
    database.commit()
    database.close()
    for i in range(150):
        (place / f"note{i:03}.txt").write_bytes(words(noise, int(math.exp(noise.uniform(math.log(100), math.log(60_000))))))


def _film(noise: random.Random, size: int) -> bytes:
    """The frame of an MP4 around random bytes."""
    head = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp41")
    return head + struct.pack(">I4s", size + 8, b"mdat") + noise.randbytes(size)


def _document(path: Path, noise: random.Random) -> None:
    kind = b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", kind)
        archive.writestr("word/document.xml", b"<w:document><w:t>" + words(noise, 120_000) + b"</w:t></w:document>")
        archive.writestr("word/media/image1.jpeg", photo(noise.randrange(1 << 30), 1e5))


def many(count: int, per_folder: int, image: bool = False) -> Disk:
    """So many small files (100 B to 2 kB, all different), this many in one folder."""

    def fill(folder: Path) -> None:
        noise = random.Random(4)
        text = words(noise, 1 << 16)
        for number in range(count):
            place = folder / f"d{number // per_folder:05}"
            if number % per_folder == 0:
                place.mkdir()
            start, size = noise.randrange(60_000), noise.randrange(100, 2_000)
            (place / f"IMG_{number:07}.txt").write_bytes(b"%08d " % number + text[start : start + size])

    return made(f"many-{count}-{per_folder}", fill, image)
