"""Nothing is missed: what The Sleuth Kit's own programs say of the shared images is what the command finds, from container to digest."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import Command

IMAGES = (
    "ext2.E01 ext2.qcow2 ext2.splitraw.000 ext2.vhd ext2.vmdk hfsplus_zlib.dmg iso9660.raw vsstest.qcow2 image.E01 tsk_volume_system.raw "
    "6-fat-undel.dd daylight.dd fat-img-kw.dd iso-dirtree1.iso fat32.img ext4k.img ntfs_cp.img"
).split()
OTHERS = ("apfs.raw", "ewf.E01", "fat-differential.vhd")
GONE = ("deleted", "orphan", "overwritten")


@pytest.fixture(scope="module")
def found(module_safelight: Command, evidence: Callable[[str], Path]) -> dict[str, list[dict[str, Any]]]:
    """All shared images in one case, run once: items by exhibit."""
    run = module_safelight
    run("new", run.case)
    evidence("ext2.splitraw.001")
    for name in (*IMAGES, *OTHERS):
        run("add", run.case, evidence(name))
    run("run", run.case, "--workers", 2, "-q")
    items = defaultdict(list)
    for item in run.find():
        items[item["exhibit"]].append(item)
    return items


def as_fls_prints(raw: bytes) -> str:
    """Return a name as `fls` prints it (control characters as ^) and as truth.json stores it."""
    shown = re.sub(rb"[\x00-\x1f\x7f]", b"^", raw)
    return shown.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize("image", IMAGES)
def test_each_entry_of_fls_is_an_item_with_the_digest_of_icat(image: str, found: dict[str, list[dict[str, Any]]], shared: Path) -> None:
    """Every line of `fls -r -p` is an item with its address, path, state and the MD5 of `icat`."""
    truth = json.loads((shared / "evidence" / "truth.json").read_text())[image]
    items = defaultdict(list)
    for item in found[image]:
        if item["parent_id"] is None and "/vss:" not in item["origin"]:
            address = item["origin"].rsplit("/", 1)[-1].split(":", 1)[1].split("@")[0]
            items[address, as_fls_prints(bytes.fromhex(item["path_raw_hex"]))].append(item)
    differences, entries = [], 0
    for volume in truth["volumes"]:
        for deleted, kind, address, path, size, md5 in volume["entries"]:
            entries += 1
            same = items[address.rstrip("r"), path]
            if not same:
                differences.append(f"missing: {kind} {address} {path!r}")
                continue
            item = same.pop(0)
            if (item["state"] in GONE) != deleted:
                differences.append(f"state: {path!r} is {item['state']}")
            if md5 is not None and item["md5"] != md5:
                differences.append(f"digest: {path!r} {size} bytes {md5}, not {item['md5']} ({item['problem']})")

    assert differences == []
    assert entries == sum(1 for i in found[image] if i["parent_id"] is None and "/vss:" not in i["origin"])


def test_apfs_is_listed_and_read(found: dict[str, list[dict[str, Any]]]) -> None:
    """The APFS image holds the same small tree as the ext2 images (dfVFS' test data): the passwords file with its content."""
    passwords = [i for i in found["apfs.raw"] if i["path"].endswith("passwords.txt")]

    assert [i["md5"] for i in passwords] == [i["md5"] for i in found["ext2.vmdk"] if i["path"] == "passwords.txt"]


def test_shadow_copies_are_volumes_of_their_own(found: dict[str, list[dict[str, Any]]]) -> None:
    """vsstest.qcow2 has two shadow copies (vshadowinfo says so), each listed as an NTFS volume."""
    volumes = {i["origin"].rsplit("/", 1)[0] for i in found["vsstest.qcow2"] if i["parent_id"] is None}

    assert volumes == {"qcow2/whole", "qcow2/whole/vss:1", "qcow2/whole/vss:2"}


def test_what_cannot_be_opened_is_a_problem_that_names_it(module_safelight: Command, found: dict[str, Any]) -> None:
    """The differential VHD without its parent is a problem of kind missing-part, and the run went on."""
    status = module_safelight.status()

    assert status["problems"]["missing-part"] == 1
    assert {v["exhibit"] for v in status["volumes"]} >= set(IMAGES)
