"""Every planted copy is found, through the whole path from disk image to match: the recall that the documentation promises.

The list is made by the reference's own library (`pdqhash`), the images by mkfs; a third of the files lies in archives, some are deleted.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import recall_corpus as corpus
from command import Command
from images import blank, run
from safelight.native import pdq_twin


class Planted(NamedTuple):
    """The finished case: matches by SHA-256, links of the pictures, entries of the list by name."""

    matches: dict[str, list[dict[str, Any]]]
    links: dict[int, dict[str, dict[str, Any]]]
    copies: list[corpus.Copy]
    entries: dict[str, int]
    digests: dict[str, str]
    exhibits: dict[str, set[str]]


def by_reference(image: Image.Image) -> bytes:
    """Return the PDQ of a picture by the reference's own library."""
    import pdqhash

    bits, _ = pdqhash.compute(np.asarray(image.convert("RGB")))
    return np.packbits(bits.astype(np.uint8)).tobytes()


def by_twin(image: Image.Image) -> bytes:
    return pdq_twin.hashes(np.asarray(image.convert("L"), np.uint8))[0][0]


def the_list() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the entries of the list by name, and the files that belong to them alone."""
    entries = {f"picture-{n}": by_reference(corpus.drawn(n)) for n in range(corpus.COUNT)}
    files: dict[str, bytes] = {}
    for n in range(2):
        data, white = corpus.transparent(n)
        files[f"white-{n}.png"], entries[f"white-{n}"] = data, by_reference(white)
        larger = corpus.drawn(30 + n)
        files[f"nearest-{n}.png"] = corpus.coded(larger, "PNG", compress_level=1)
        entries[f"nearest-{n}"] = by_reference(corpus.nearest_512(larger))
    for bits in corpus.EDGES:
        for n in range(2):
            image = corpus.drawn(40 + 10 * n + bits).convert("L")
            files[f"edge-{bits}-{n}.png"] = corpus.coded(image, "PNG", compress_level=1)
            entries[f"edge-{bits}-{n}"] = corpus.flipped(by_twin(image), bits, n)
    return entries, files


def disk_images(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Put the files on a FAT disk and an ext4 disk: every third in an archive, every fifth of the first disk deleted again."""
    trees = [folder / "fat", folder / "ext"]
    for tree in trees:
        tree.mkdir()
    zips = [io.BytesIO(), io.BytesIO()]
    archives = [zipfile.ZipFile(z, "w", zipfile.ZIP_DEFLATED, compresslevel=1) for z in zips]
    for number, (name, data) in enumerate(sorted(files.items())):
        side = number % 2
        if number % 3 == 2:
            archives[side].writestr(zipfile.ZipInfo(f"in/{name}", (2016, 5, 17, 10, 0, 0)), data)
        else:
            (trees[side] / name).write_bytes(data)
    for tree, archive, packed in zip(trees, archives, zips, strict=True):
        archive.close()
        (tree / "packed.zip").write_bytes(packed.getvalue())
    fat, ext = folder / "fat.img", folder / "ext.img"
    run("mkfs.vfat", "-F", "32", blank(fat, 120 << 20))
    run("mcopy", "-i", fat, *sorted(trees[0].iterdir()), "::")
    for path in sorted(trees[0].glob("*.*"))[::5]:
        if path.suffix != ".zip":
            run("mdel", "-i", fat, f"::{path.name}")
    run("mke2fs", "-q", "-t", "ext4", "-d", trees[1], blank(ext, 160 << 20), "160M")
    return [fat, ext]


@pytest.fixture(scope="module")
def planted(module_safelight: Command, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The corpus on two disks, in one case, run once with a second look."""
    pytest.importorskip("pdqhash")
    folder = tmp_path_factory.mktemp("corpus")
    entries, files = the_list()
    planted = list(corpus.copies())
    files |= {c.name: c.data for c in planted}
    (folder / "corpus-pdq.txt").write_text("# PDQ\n" + "".join(f"{v.hex()}\n" for v in entries.values()))
    safelight = module_safelight
    safelight("hashset", "add", folder / "corpus-pdq.txt", "--as", "illegal")
    safelight("new", safelight.case)
    for image in disk_images(folder, files):
        safelight("add", safelight.case, image, "--exhibit", image.stem)
    safelight("run", safelight.case, "--features", "--workers", 2, "-q")
    items = safelight.find()
    matches = {i["sha256"]: i["matches"] for i in items if i["sha256"]}
    exhibits: dict[str, set[str]] = {}
    for item in items:
        exhibits.setdefault(item["sha256"], set()).add(item["exhibit"] + " " + item["state"])
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    links = {n: links_of(safelight, digests[f"{n}-lossless.png"]) for n in range(corpus.COUNT)}
    return Planted(matches, links, planted, {name: n for n, name in enumerate(entries)}, digests, exhibits)


def links_of(safelight: Command, sha256: str) -> dict[str, dict[str, Any]]:
    """Return what `why` says of the pictures that share a part with the stack of this one, by SHA-256."""
    facts = json.loads(safelight("why", safelight.case, sha256, "--format", "json").stdout)["contents"][0]
    found = {link["sha256"]: link for link in facts["alike"]}
    for member in facts["stack"]["members"]:
        own = json.loads(safelight("why", safelight.case, member["sha256"], "--format", "json").stdout)["contents"][0]
        found |= {link["sha256"]: link for link in own["alike"]}
    return found


def entry_numbers(planted: Planted, name: str) -> set[int]:
    """Return the positions of the entries that a file matches, counted from the first entry of the list."""
    rows = [m for m in planted.matches[planted.digests[name]] if m["method"] == "pdq"]
    return {m["entry"] for m in rows}


def test_every_planted_file_is_an_item(planted: Planted) -> None:
    """Files, members of archives and deleted files: each content is there, so a miss below is one of the matcher."""
    assert [name for name, digest in planted.digests.items() if digest not in planted.matches] == []
    states = {s.split()[1] for found in planted.exhibits.values() for s in found}
    assert {"live", "deleted", "embedded"} <= states


@pytest.mark.parametrize("number", range(corpus.COUNT))
def test_every_copy_matches_the_list_by_its_form(planted: Planted, number: int) -> None:
    """Re-encodings, sizes, turns, borders, screenshots and collages: the entry is found, by the form that the method promises."""
    first = min(entry_numbers(planted, f"{number}-lossless.png")) - planted.entries[f"picture-{number}"]
    lost = []
    for copy in planted.copies:
        if copy.of == number and copy.forms:
            rows = [m for m in planted.matches[planted.digests[copy.name]] if m["entry"] == first + planted.entries[f"picture-{number}"]]
            if not any(m["form"] in copy.forms and m["distance"] <= 31 for m in rows):
                lost.append((copy.name, [(m["form"], m["distance"]) for m in rows]))
    assert lost == []


@pytest.mark.parametrize("number", range(corpus.COUNT))
def test_every_edit_that_a_list_loses_is_linked_in_the_case(planted: Planted, number: int) -> None:
    """Crops to a quarter, turns, stickers, mirrored too: linked with the picture, with the relation that they have."""
    links = planted.links[number]
    lost = []
    for copy in planted.copies:
        if copy.of == number and copy.relations:
            link = links.get(planted.digests[copy.name])
            if link is None or link["relation"] not in copy.relations or ("mirrored" in copy.name) != link["mirrored"]:
                lost.append((copy.name, link and (link["relation"], link["mirrored"])))
    assert lost == []


def test_no_picture_is_linked_with_another(planted: Planted) -> None:
    """Pictures of the corpus that have nothing in common are not linked but through what shows both (collages) or the same app."""
    both = {planted.digests[c.name] for c in planted.copies if "collage" in c.name or "screenshot" in c.name}
    own = {n: {planted.digests[c.name] for c in planted.copies if c.of == n} for n in range(corpus.COUNT)}
    wrong = [(n, sha256) for n, links in planted.links.items() for sha256 in links if sha256 not in own[n] and sha256 not in both]
    assert wrong == []


@pytest.mark.parametrize("bits", list(corpus.EDGES))
@pytest.mark.parametrize("number", range(2))
def test_the_distance_edge_is_where_it_is(planted: Planted, bits: int, number: int) -> None:
    """An entry 0, 1, 30 or 31 bits away is found at just that distance; one 32 bits away is not."""
    name = f"edge-{bits}-{number}"
    rows = planted.matches[planted.digests[f"{name}.png"]]
    full = [m["distance"] for m in rows if m["form"] == "full"]
    assert full == ([bits] if corpus.EDGES[bits] else [])


@pytest.mark.parametrize("form", ["white", "nearest"])
@pytest.mark.parametrize("number", range(2))
def test_forms_that_need_a_list_of_their_own(planted: Planted, form: str, number: int) -> None:
    """A picture with transparency against its look on white, a large one against a list that was made from 512 x 512 pixels."""
    rows = planted.matches[planted.digests[f"{form}-{number}.png"]]
    assert any(m["distance"] <= 31 for m in rows)
    assert form in {m["form"] for m in rows} or min(m["distance"] for m in rows) <= 31


def test_the_images_are_sound() -> None:
    """The tools that made the disks are those of the system (a missing tool skips the corpus, it never passes it)."""
    assert subprocess.run(["mke2fs", "-V"], capture_output=True, check=False).returncode == 0
