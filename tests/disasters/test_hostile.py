"""The whole folder of hostile files through the real command, in the sandbox: each ends as the manifest says, and the run goes on.

The table is written by hand from shared/data/hostile/MANIFEST.md, file by file. `kinds`: any of them must stand at the file or at
a member of it ("": none is asked for); `children`: the number of its members; `picture`: small pictures of it were made.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

CANARY = "safelight-escape-canary"
NOT_EVIDENCE = {"MANIFEST.md", "make_hostile.py"}


class Want(NamedTuple):
    """What must come out of one file."""

    kinds: str
    media_type: str
    children: int | None = 0
    picture: bool | None = None


JPEG, PNG, GIF, TIFF, SVG = "image/jpeg", "image/png", "image/gif", "image/tiff", "image/svg+xml"
ZIP, GZIP, SEVEN, TAR = "application/zip", "application/gzip", "application/x-7z-compressed", "application/x-tar"
MP4, MOV, PDF, SQLITE = "video/mp4", "video/quicktime", "application/pdf", "application/vnd.sqlite3"
M3U, JSON, TEXT = "application/vnd.apple.mpegurl", "application/json", "text/plain"

EXPECTED: dict[str, Want] = {
    "aes256.zip": Want("encrypted", ZIP, 1),
    "bmp_claims_2gpx.bmp": Want("limit.pixels", "image/bmp", 0, False),
    "concat_script.ffconcat": Want("external-reference", TEXT),
    "csv_formula.csv": Want("", "text/csv"),
    "eml_deep_mime.eml": Want("limit.depth", "message/rfc822"),
    "empty.jpg": Want("empty", "application/x-empty"),
    "gif_100000_frames.gif.gz": Want("limit.frames limit.pixels", GZIP, 1),
    "gif_claims_65535.gif": Want("limit.pixels", GIF, 0, False),
    "gif_no_trailer.gif": Want("truncated", GIF),
    "gz_bomb.gz": Want("", GZIP, 1),
    "gz_of_gz_of_gz.gz": Want("", GZIP, None),
    "headers_encrypted.7z": Want("encrypted", SEVEN),
    "heic_claims_huge_grid.heic": Want("corrupt limit.pixels", "image/heic", 0, False),
    "html_named.jpg": Want("type-mismatch", "text/html"),
    "jpeg_claims_65500.jpg": Want("limit.pixels", JPEG, 0, False),
    "jpeg_exif_65k_x200.jpg.gz": Want("limit.metadata", GZIP, 1),
    "jpeg_exif_all_types_bad.jpg": Want("metadata", JPEG, 0, True),
    "jpeg_exif_ifd_loop.jpg": Want("metadata", JPEG, 0, True),
    "jpeg_exif_stored_xss.jpg": Want("", JPEG, 0, True),
    "jpeg_named.txt": Want("type-mismatch", JPEG, 0, True),
    "jpeg_only_soi.jpg": Want("corrupt", JPEG, 0, False),
    "jpeg_progressive_many_scans.jpg.gz": Want("limit.time", GZIP, 1),
    "jpeg_truncated_in_scan.jpg": Want("truncated", JPEG),
    "jpeg_with_html_tail.jpg": Want("trailing-data", JPEG, 0, True),
    "jpeg_xmp_billion_laughs.jpg": Want("metadata", JPEG, 0, True),
    "jpeg_xmp_deep.jpg": Want("limit.depth metadata", JPEG, 0, True),
    "jpeg_xmp_xxe.jpg": Want("metadata", JPEG, 0, True),
    "json_big_number.json": Want("corrupt", JSON),
    "json_deep.json": Want("limit.depth", JSON),
    "mov_external_dref.mov": Want("external-reference", MOV),
    "mp4_box_exabyte.mp4": Want("truncated", MP4),
    "mp4_box_size_zero_loop.mp4": Want("corrupt", MP4),
    "mp4_claims_1e9_seconds.mp4": Want("corrupt", MP4),
    "mp4_deep_boxes.mp4": Want("limit.depth corrupt", MP4),
    "mp4_stts_4e9_entries.mp4": Want("corrupt", MP4),
    "mz_named.jpg": Want("type-mismatch", "application/vnd.microsoft.portable-executable"),
    "names_visible.7z": Want("encrypted", SEVEN, 1),
    "no_extension": Want("", JPEG, 0, True),
    "pdf_flate_bomb.pdf": Want("limit.bytes limit.pixels", PDF),
    "pdf_javascript_launch.pdf": Want("active-content", PDF),
    "pdf_no_xref.pdf": Want("corrupt", PDF),
    "pdf_page_tree_loop.pdf": Want("corrupt limit.frames", PDF),
    "playlist_named.mp4": Want("external-reference", M3U),
    "playlist_reads_local_file.m3u8": Want("external-reference", M3U),
    "png_apng_million_frames.png": Want("limit.frames", PNG, 0, True),
    "png_bad_crc.png": Want("corrupt", PNG),
    "png_bomb_12000_rgb.png": Want("", PNG, 0, None),
    "png_bomb_20000_1bit.png": Want("limit.pixels", PNG, 0, False),
    "png_claims_60000.png": Want("limit.pixels", PNG, 0, False),
    "png_iccp_bomb.png": Want("limit.metadata", PNG, 0, True),
    "png_named.jpg": Want("type-mismatch", PNG, 0, True),
    "png_trailing_zip.png": Want("trailing-data", PNG, 2, True),
    "png_truncated.png": Want("truncated", PNG),
    "png_zero_width.png": Want("corrupt", PNG, 0, False),
    "png_ztxt_bomb.png": Want("limit.metadata", PNG, 0, True),
    "polyglot_gif_zip.gif": Want("trailing-data", GIF, 3, True),
    "polyglot_pdf_jpeg.pdf": Want("type-mismatch", JPEG, 0, True),
    "sqlite_bad_page_size.db": Want("corrupt", SQLITE),
    "sqlite_endless_view.db": Want("active-content limit.time", SQLITE),
    "sqlite_page_garbage.db": Want("corrupt", SQLITE),
    "sqlite_truncated.db": Want("corrupt", SQLITE),
    "svg_billion_laughs.svg": Want("unsupported", SVG, 0, False),
    "svg_claims_huge.svg": Want("unsupported limit.pixels", SVG, 0, None),
    "svg_external_refs.svg": Want("external-reference", SVG, 0, False),
    "svg_script.svg": Want("active-content", SVG, 0, None),
    "svg_use_bomb.svg": Want("unsupported limit.time", SVG, 0, False),
    "tar_claims_8GB.tar": Want("truncated", TAR, 1),
    "tar_links_and_devices.tar.gz": Want("unsafe-name", GZIP, 7),
    "tar_odd_names.tar.gz": Want("", GZIP, 18),
    "tar_symlink_escape.tar.gz": Want("link", GZIP, 6),
    "text_nul_and_bad_utf8.txt": Want("", TEXT),
    "tiff_500_pages_then_loop.tif": Want("limit.frames corrupt", TIFF, 0, True),
    "tiff_count_overflow.tif": Want("corrupt", TIFF, 0, False),
    "tiff_ifd_cycle_of_two.tif": Want("corrupt", TIFF, 0, True),
    "tiff_ifd_points_to_itself.tif": Want("corrupt", TIFF, 0, True),
    "tiff_strip_offset_outside.tif": Want("corrupt", TIFF, 0, False),
    "tiff_subifd_cycle.tif": Want("corrupt", TIFF, 0, True),
    "truncated.7z": Want("truncated", SEVEN),
    "zip64_claims_exabyte.zip": Want("corrupt limit.bytes", ZIP, 1),
    "zip_42_like.zip": Want("limit.depth limit.bytes limit.ratio", ZIP, None),
    "zip_bad_crc.zip": Want("corrupt", ZIP, 2),
    "zip_encrypted_flag.zip": Want("encrypted", ZIP, 2),
    "zip_local_central_differ.zip": Want("unsafe-name", ZIP, 2),
    "zip_names.zip": Want("", ZIP, 15),
    "zip_nested_60.zip": Want("limit.depth", ZIP, 8),
    "zip_overlap_125GB_claim.zip": Want("corrupt limit.bytes limit.ratio", ZIP, 2000),
    "zip_quoted_overlap_4GB.zip": Want("corrupt limit.bytes limit.ratio", ZIP, 250),
    "zip_ratio_1000.zip": Want("", ZIP, 1),
    "zip_slip.zip": Want("unsafe-name", ZIP, 7),
    "zip_truncated.zip": Want("truncated", ZIP, 2),
    "zipcrypto.zip": Want("encrypted", ZIP, 1),
}

SPECIAL = {  # files of corpus/ for which the manifest asks for one thing
    "rar3-comment-hpsw.rar": "encrypted",
    "rar5-hpsw.rar": "encrypted",
    "quine.gz": "limit.depth limit.bytes limit.ratio",
    "droste.zip": "limit.depth limit.bytes limit.ratio",
    "vips_17000x17000.avif": "limit.pixels",
    "pillow_decompression_bomb.gif": "limit.pixels",
    "pillow_truncated_jpeg.jpg": "truncated",
    "vips_truncated.jpg": "truncated",
    "pillow_zero_height.j2k": "corrupt",
}

ALLOWED = set(
    "corrupt truncated unsupported encrypted unsafe-name link metadata type-mismatch trailing-data empty external-reference active-content "
    "limit.pixels limit.bytes limit.ratio limit.depth limit.entries limit.frames limit.metadata limit.time limit.memory".split()
)
"""What a file may end in; `crashed` and `protocol` are not among them: today's libraries die of none of these files."""

TAR_NAMES = [
    b"new\nline.jpg", b"bell\x07.jpg", b"esc\x1b[31mred.jpg", "photo\u202egpj.exe".encode(), b"back\\slash.jpg", b"quote'\".jpg", b"-rf",
    b"$(id).jpg", b" lead", b"trail ", b"a/" * 300 + b"deep.jpg", b"x" * 255, "\u00e9.jpg".encode(), "e\u0301.jpg".encode(),
    b"<script>.jpg", b"%2e%2e%2fx", b"\xff\xfe-not-utf8.jpg",
]  # fmt: skip
ZIP_NAMES = [
    b"dup.txt", b"dup.txt", b"DUP.TXT", b"a" * 5000, b"con", b"nul.jpg", "photo\u202egpj.exe".encode(), b"new\nline.jpg",
    b"<img src=x onerror=alert(1)>.jpg", b"tab\there", "e\u0301.jpg".encode(), "\u00e9.jpg".encode(), b"trail. ", b"-rf", b"$(id).jpg",
]  # fmt: skip


class Run:
    """The case after the run, as the command and the tables give it."""

    def __init__(self, folder: Path, hostile: Path) -> None:
        self.folder, self.hostile, self.case = folder, hostile, folder / "hostile.case"
        self.environment = {**os.environ, "SAFELIGHT_LIBRARY": str(folder / "library"), "HOME": str(folder)}
        assert self.command("new", self.case) == 0
        assert self.command("add", self.case, hostile, "--exhibit", "H") == 0
        self.code = self.command("run", self.case, "--quiet")
        self.lines = self.output("find", self.case, "--format", "jsonl").splitlines()
        self.items = [json.loads(line) for line in self.lines]
        self.by_id = {item["item_id"]: item for item in self.items}
        self.files = {item["path"]: item for item in self.items if item["type"] == "file"}
        self.below: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for item in self.items:
            if item["type"] != "file" and (top := self._top(item)):
                self.below[top].append(item)
        self.problems: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.incomplete = 0
        self.renditions: dict[str, int] = {}
        self._tables()

    def _top(self, item: dict[str, Any]) -> str:
        """Return the path of the listed file that holds a member; "" for what is no member."""
        for _ in range(16):
            if item["parent_id"] is None:
                return str(item["path"]) if item["type"] == "file" else ""
            item = self.by_id[item["parent_id"]]
        raise AssertionError("members are nested deeper than the budget")

    def _tables(self) -> None:
        from safelight.case import Case
        from safelight.facts.reader import Facts

        con = Facts(Case(self.case)).con
        for key, kind, reason, complete in con.execute(
            "select item_id, kind, reason, complete from problems order by ordinal, member, number"
        ).fetchall():
            self.incomplete += not complete
            item = self.by_id[key.hex()]
            self.problems[item["path"] if item["type"] == "file" else self._top(item)].append((kind, reason))
        for sha256, size in con.execute("select sha256, small_size from pictures").fetchall():
            self.renditions[sha256.hex()] = size or 0

    def command(self, *arguments: object) -> int:
        return self._run(*arguments).returncode

    def output(self, *arguments: object) -> bytes:
        return self._run(*arguments).stdout

    def _run(self, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", "safelight.cli.main", *map(str, arguments)]
        return subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, check=False, timeout=800)

    def kinds(self, path: str) -> set[str]:
        return {kind for kind, _ in self.problems[path]}

    def member(self, path: str, name: bytes) -> dict[str, Any]:
        """Return the one member whose raw path ends with a name."""
        found = [m for m in self.below[path] if bytes.fromhex(m["path_raw_hex"]).endswith(b"/" + name)]
        assert len(found) == 1, (path, name, len(found))
        return found[0]


@pytest.fixture(scope="module")
def run(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One run over the folder, with the sandbox."""
    yield Run(tmp_path_factory.mktemp("hostile"), shared / "hostile")


def _files(hostile: Path) -> dict[str, Path]:
    return {str(p.relative_to(hostile)): p for p in sorted(hostile.rglob("*")) if p.is_file()}


def test_the_run_ends_with_problems_listed(run: Run) -> None:
    """The command ends with code 1: done, with problems; none of the files stops it."""
    assert run.code == 1


def test_the_table_names_every_file(shared: Path) -> None:
    """No file of the folder is without an expectation, and no expectation without a file."""
    here = {p.name for p in (shared / "hostile").iterdir() if p.is_file()} - NOT_EVIDENCE
    assert set(EXPECTED) == here
    assert {name for name in SPECIAL if not (shared / "hostile" / "corpus" / name).is_file()} == set()


def test_no_file_is_lost(run: Run) -> None:
    """Every file of the folder is an item, and its digests are those that hashlib gives."""
    files = _files(run.hostile)
    assert set(run.files) == set(files)
    for name, path in files.items():
        data = path.read_bytes()
        item = run.files[name]
        wanted = (hashlib.sha256(data).hexdigest(), hashlib.sha1(data).hexdigest(), hashlib.md5(data).hexdigest(), len(data))
        assert (item["sha256"], item["sha1"], item["md5"], item["size"]) == wanted, name


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_file_ends_as_the_manifest_says(run: Run, name: str) -> None:
    """Type, kind of problem, number of members, picture or none."""
    want, item = EXPECTED[name], run.files[name]
    kinds = run.kinds(name)
    assert item["media_type"] == want.media_type
    assert kinds <= ALLOWED, run.problems[name]
    if want.kinds:
        assert kinds & set(want.kinds.split()), (want.kinds, run.problems[name])
    if want.children is not None:
        assert len(run.below[name]) == want.children
    if want.picture is not None:
        assert (run.renditions.get(item["sha256"], 0) > 0) is want.picture


def test_each_file_of_the_corpus_ends_in_a_result_or_a_problem(run: Run) -> None:
    """Fuzzer files of other projects: digests and a type for each, only known kinds of problems, pictures of some."""
    names = [name for name in run.files if name.startswith("corpus/")]
    assert len(names) > 150
    for name in names:
        assert run.kinds(name) <= ALLOWED, (name, run.problems[name])
        assert run.files[name]["media_type"], name
    for name, kinds in SPECIAL.items():
        assert run.kinds(f"corpus/{name}") & set(kinds.split()), (name, run.problems[f"corpus/{name}"])
    assert sum(run.renditions.get(run.files[name]["sha256"], 0) > 0 for name in names) >= 8


def test_nothing_died_twice(run: Run) -> None:
    """Only the picture of many scans uses up its CPU seconds; no item crashes a parser or fools the protocol."""
    spent = {path for path, problems in run.problems.items() if any(kind in ("limit.time", "limit.memory") for kind, _ in problems)}
    assert spent == {"jpeg_progressive_many_scans.jpg.gz"}
    assert not [p for problems in run.problems.values() for p in problems if p[0] in ("crashed", "protocol")]


def test_nothing_escapes(run: Run) -> None:
    """No file called as the canary lies beside the case, in a folder above it, or where the archives point to."""
    above = [*run.case.parents, Path("/var/tmp"), Path("/tmp"), Path.home(), Path.cwd(), Path(__file__).parent]
    assert not [p for p in above if (p / CANARY).exists() or (p / f"C:\\Windows\\{CANARY}").exists()]
    assert not [p for p in run.folder.rglob("*") if CANARY in p.name or p.is_symlink() or p.is_fifo()]


def test_no_file_of_the_host_is_in_the_facts(run: Run) -> None:
    """What /etc/hostname holds, which six of the files name, is no content, no part of a reason and no value of a picture."""
    file = Path("/etc/hostname")
    if not file.exists():
        pytest.skip("this host has no /etc/hostname")
    data = file.read_bytes()
    assert hashlib.sha256(data).hexdigest() not in {item["sha256"] for item in run.items}
    host = data.decode().strip()
    words = re.compile(rf"(?<![\w.]){re.escape(host)}(?![\w.])")
    assert not [reason for problems in run.problems.values() for _, reason in problems if words.search(reason)]
    assert not [item["path"] for item in run.items if item["exif"] and words.search(json.dumps(item["exif"]))]


def test_the_neighbours_are_complete(run: Run) -> None:
    """What stands beside a trap is read: contents of members equal what was packed."""
    contents = {
        ("zip_bad_crc.zip", b"two.txt"): b"second",
        ("zip_slip.zip", b"ok.txt"): b"fine",
        ("zip_truncated.zip", b"ok.txt"): b"fine" * 50,
        ("zip_truncated.zip", b"two.txt"): b"second",
        ("zip_local_central_differ.zip", b"ok.txt"): b"fine" * 50,
        ("tar_symlink_escape.tar.gz", b"ok.txt"): b"fine",
        ("polyglot_gif_zip.gif", b"in.jpg"): (run.hostile / "no_extension").read_bytes(),
        ("png_trailing_zip.png", b"hidden.jpg"): (run.hostile / "no_extension").read_bytes(),
    }
    for (path, name), data in contents.items():
        assert run.member(path, name)["sha256"] == hashlib.sha256(data).hexdigest(), (path, name)
    slipped = [m for m in run.below["zip_slip.zip"] if bytes.fromhex(m["path_raw_hex"]).endswith(CANARY.encode())]
    assert [m["sha256"] for m in slipped] == [hashlib.sha256(b"x").hexdigest()] * 6
    assert run.incomplete == 0


def test_limits_hold_for_the_tree_and_not_for_each_archive(run: Run) -> None:
    """Of 8 TiB, 125 GiB and 4 GiB that small archives claim, what was read stays far below a GiB, and the rest has a problem."""
    for name in ("zip_42_like.zip", "zip_overlap_125GB_claim.zip", "zip_quoted_overlap_4GB.zip"):
        read = sum(m["size"] for m in run.below[name] if m["sha256"] is not None)
        assert read < 1 << 30, (name, read)


def test_links_are_data(run: Run) -> None:
    """Links and devices keep their target and have no content; nothing was followed."""
    links = {
        m["path"].rsplit("/", 1)[-1]: m for m in run.below["tar_links_and_devices.tar.gz"] if m["link"] or m["type"] in ("fifo", "device")
    }
    assert {name: m["link"] for name, m in links.items()} == {"passwd": "/etc/passwd", "loop": "loop", "fifo": None, "zero": None}
    assert [m["sha256"] for m in links.values()] == [None] * 4
    assert run.member("corpus/rar5-evil-symlink-traversal.rar", b"up")["link"] == ".."


@pytest.mark.parametrize(("path", "holder", "names"), [("tar_odd_names.tar.gz", b"/gz:1/", TAR_NAMES), ("zip_names.zip", b"/", ZIP_NAMES)])
def test_names_are_kept_byte_for_byte(run: Run, path: str, holder: bytes, names: list[bytes]) -> None:
    """Each name of the archive stands in path_raw_hex as it was stored, doubles as often as they are there."""
    found = [bytes.fromhex(m["path_raw_hex"]) for m in run.below[path]]
    prefix = path.encode() + holder
    assert sorted(f[len(prefix) :] for f in found if f.startswith(prefix)) == sorted(names)


def test_what_is_shown_of_a_name_cannot_act(run: Run) -> None:
    """Readable paths and reasons hold no control, bidi or surrogate character; the table for people has no escape sequence."""
    shown = [item["path"] for item in run.items] + [reason for problems in run.problems.values() for _, reason in problems]
    bad = [text for text in shown if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)]
    assert not bad
    table = run.output("find", run.case, "--path", "*tar_odd_names*")
    assert b"red.jpg" in table and b"\x1b" not in table and b"\x07" not in table and "\u202e".encode() not in table


def test_stored_scripts_are_kept_verbatim(run: Run) -> None:
    """What EXIF fields say is evidence: it is stored as it is, and escaped only where it is shown."""
    exif = run.files["jpeg_exif_stored_xss.jpg"]["exif"]
    assert exif["make"] == "<img src=x onerror=alert(1)>"
    assert exif["model"] == "{{7*7}}${7*7}<%= 7*7 %>"
