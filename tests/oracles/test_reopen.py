"""An origin alone opens the bytes again: every item with content, of images and folders, members and embedded pictures too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command import Command
from safelight.case import Case
from safelight.cli.cat import read
from safelight.facts.reader import Facts


def reopened(run: Command, limit: int = 10_000) -> list[str]:
    """Return the origins whose bytes are not those of the facts."""
    case, wrong = Case(run.case), []
    rows: list[dict[str, Any]] = Facts(case).rows(
        "select exhibit, source, origin, path, sha256 from items where sha256 is not null and size < 4000000 order by exhibit, source, ordinal, member"
    )
    assert len(rows) > 20
    for row in rows[:limit]:
        digest = hashlib.sha256()
        for chunk in read(case, row, True):
            digest.update(chunk)
        if digest.digest() != bytes(row["sha256"]):
            wrong.append(row["origin"])
    return wrong


def test_entries_of_file_systems_open_again(safelight: Command, evidence: Callable[[str], Path]) -> None:
    """Deleted FAT files, NTFS streams and shadow copies: what was extracted is what `cat` gives."""
    safelight.made(evidence("6-fat-undel.dd"), evidence("ntfs_cp.img"), evidence("image.E01"))

    assert [] == reopened(safelight)


def test_members_and_embedded_pictures_open_again(safelight: Command, shared: Path, tmp_path: Path) -> None:
    """Members of nested archives, thumbnails, previews and what hangs behind the end of a picture."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    hostile = (
        "zip_nested_60.zip gz_of_gz_of_gz.gz png_trailing_zip.png polyglot_gif_zip.gif tar_odd_names.tar.gz zip_bad_crc.zip zip_names.zip"
    )
    photos = "frozenpond.mpo canon_s40.jpg et_FLIR.jpg own_bayer.dng"
    for name in hostile.split():
        (folder / name).write_bytes((shared / "hostile" / name).read_bytes())
    for name in photos.split():
        (folder / name).write_bytes((shared / "photos" / name).read_bytes())
    safelight.made(folder)
    origins = [i["origin"] for i in safelight.find() if i["parent_id"]]

    assert {"zip", "gz", "tar", "tail"} <= {o.rsplit("/", 1)[-1].split(":")[0] for o in origins}
    assert [] == reopened(safelight)
