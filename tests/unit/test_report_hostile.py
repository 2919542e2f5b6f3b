"""Nothing that comes from evidence acts in the report: not in the markup, not in a browser, not on paper. And it can be read by all."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from test_report import MadeCase, report, text_of

from command import Command

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
HTML_TAGS = frozenset(
    "html head meta title style body header main footer section article nav h1 h2 h3 p ul ol li dl dt dd div span strong br a code bdi table "
    "caption colgroup col thead tbody tfoot tr th td figure figcaption img".split()
)
ATTRIBUTES = frozenset(
    "lang charset http-equiv content name id class href src alt scope colspan style start role tabindex aria-label aria-labelledby".split()
)
HOSTILE = (
    "<script>document.title='OWNED'</script>",
    '"><img src=x onerror="document.title=\'OWNED\'">',
    "<img src={url}/img>",
    "<link rel=stylesheet href={url}/css>",
    "<style>@import '{url}/import';</style>",
    "</style><svg/onload=document.title='OWNED'>",
    "</title><iframe src={url}/frame></iframe>",
    "<meta http-equiv=refresh content='0;url={url}/refresh'>",
    "<a href=\"javascript:document.title='OWNED'\">click</a>",
    "<form action={url}/form><input autofocus onfocus=document.title='OWNED'>",
    "{{{{ 7 * 191 }}}} {{% include '/etc/passwd' %}} ${{7*191}}",
    "gpj.\u202eexe.\u2066\u2069\u200f",
    "\x1b]0;OWNED\x07\x1b[31m\r\n\x00\x9b",
    "'; background: url({url}/bg); content: '",
    "&lt;script&gt; &amp;&#60;script&#62; &colon;",
    "\U000e0041\ufeff\u00ad\u2028\u2029",
    "Z" + "\u0301\u0489\u20dd" * 300 + "algo",
    "شهادة.jpg",
    "L" * 5000,
)


class Page(HTMLParser):
    """Collects what a document is made of."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data[:50]}")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def hostile_case(folder: Path, url: str = "http://127.0.0.1:9") -> MadeCase:
    """Make a case in which every text that anyone may choose is hostile."""
    names = [n.format(url=url) for n in HOSTILE]
    made = MadeCase(folder, title=names[5] + names[13])
    matches: list[dict[str, Any]] = []
    for label in ("A", names[9].replace("/", "|")[:90]):
        made.exhibit(label, path="/evidence/" + names[1])
        for number, name in enumerate(names):
            exif = {"exif_make": name, "exif_model": name, "exif_serial": name, "exif": [("note", name)]}
            sha256 = made.item(
                label, name, name.encode("utf-8", "surrogateescape") + label.encode(), exif=exif, origin=name, note=name, state="deleted"
            )
            made.problem(label, "corrupt", name, number, origin=name)
            made.problem(label, "truncated", name, None, origin=name)
            matches.append({"sha256": sha256, "set": name[:200].replace("\0", ""), "as": "illegal", "category": name, "version": name[:9]})
    made.finish(matches)
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the hostile case, with pictures."""
    folder = tmp_path_factory.mktemp("hostile")
    return report(hostile_case(folder), folder / "r.html", "--pictures", "--purpose", HOSTILE[0])


def test_only_our_markup_is_in_it(page: str) -> None:
    """Every element and attribute is one that the templates write: no script, no handler, no frame, no form."""
    read = Page(page)
    assert {t for t, _ in read.tags} <= HTML_TAGS
    assert {a for _, attributes in read.tags for a in attributes} <= ATTRIBUTES
    assert 1 == page.lower().count("<style>")
    assert not re.search(r"<\s*script", page, re.I)


def test_nothing_outside_is_named(page: str) -> None:
    """Links lead to places in the file, pictures are data, styles are widths; the policy forbids the rest and stands before any of it."""
    read = Page(page)
    assert POLICY == read.all("meta")[1]["content"]
    assert page.index("Content-Security-Policy") < page.index("<title>")
    assert all((a["href"] or "").startswith("#") for a in read.all("a"))
    assert all(re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", i["src"] or "") for i in read.all("img"))
    assert {"span"} == {t for t, a in read.tags if "style" in a}
    assert all(re.fullmatch(r"width:\d{1,3}\.\d%", a["style"] or "") for _, a in read.tags if "style" in a)
    sheet = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\s*\(|@import|@font-face|expression|</", sheet, re.I)


def test_names_stand_there_as_text(page: str) -> None:
    """Hostile names are readable as what they are; templates in them are not evaluated."""
    text = "".join(Page(page).text)
    for name in HOSTILE[:11]:
        assert name.format(url="http://127.0.0.1:9") in text
    assert "1337" not in re.sub(r"[0-9a-f]{16,}", "", text)
    assert "شهادة.jpg" in text
    assert "\\u202e" in text
    assert "\\x1b]0;OWNED\\x07\\x1b[31m" in text


def test_no_invisible_character_is_left(page: str) -> None:
    """No control, bidi, tag or other invisible character of a name reaches the file."""
    left = set(
        re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]", page)
    )
    assert set() == left


def test_long_names_are_cut_with_their_length(page: str) -> None:
    """A name of 5,000 letters does not fill pages, and the report says how long it is."""
    assert "L" * 400 not in page
    assert "[… 5,000 characters …]" in page


def test_structure_can_be_read_aloud(page: str) -> None:
    """Language, one h1, no skipped heading, unique ids, links that lead somewhere, captions and scopes in tables, words for pictures."""
    read = Page(page)
    assert "en" == read.all("html")[0]["lang"]
    levels = [int(t[1]) for t, _ in read.tags if re.fullmatch(r"h\d", t)]
    assert 1 == levels.count(1) and 1 == levels[0]
    assert all(b - a <= 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))
    named = {(a["href"] or "")[1:] for a in read.all("a")} | {a["aria-labelledby"] for _, a in read.tags if "aria-labelledby" in a}
    assert named <= set(ids)
    assert len(read.all("table")) == len(read.all("caption"))
    assert all(a.get("scope") in ("col", "row", "colgroup", "rowgroup") for a in read.all("th"))
    assert all(a.get("alt") for a in read.all("img"))


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1])
def test_contrast_is_enough(theme: int) -> None:
    """Text in each theme has a contrast of 4.5 or more (WCAG 2.2, 1.4.3) against paper and wash."""
    sheet = files("safelight.report").joinpath("report.css").read_text()
    block = re.findall(r":root \{(.*?)\}", sheet, re.S)[theme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    for ink in ("ink", "soft", "accent"):
        for paper in ("paper", "wash"):
            light, dark = sorted((_luminance(colours[ink]), _luminance(colours[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


class _Counting(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 (one server at a time)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server that hostile names point to; it notes whoever asks."""
    made = HTTPServer(("127.0.0.1", 0), _Counting)
    _Counting.asked.clear()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}", _Counting.asked
    made.shutdown()


def browser(target: Path, profile: Path, *words: str) -> bytes:
    """Open a page in a browser of its own and return what it printed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    quiet = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync".split()
    line = [CHROMIUM, *quiet, f"--user-data-dir={profile}", "--hide-scrollbars", *words, target.as_uri()]
    return subprocess.run(line, capture_output=True, timeout=180, check=True).stdout


@pytest.mark.slow
def test_a_browser_shows_and_prints_it_and_asks_nobody(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    """Chromium draws the page and prints pages of A4; no script runs and not one request leaves."""
    url, asked = server
    target = tmp_path / "r.html"
    report(hostile_case(tmp_path, url), target, "--pictures")
    seen = browser(target, tmp_path / "one", "--dump-dom").decode()
    assert _title(target.read_text("utf-8")) == _title(seen)
    assert {t for t, _ in Page(seen).tags} <= HTML_TAGS
    browser(target, tmp_path / "two", f"--screenshot={tmp_path / 'r.png'}", "--window-size=1280,2000")
    assert (tmp_path / "r.png").stat().st_size > 20_000
    browser(target, tmp_path / "three", f"--print-to-pdf={tmp_path / 'r.pdf'}", "--no-pdf-header-footer")
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "r.pdf").read_bytes())
    assert len(pages) > 3
    assert [] == asked
    (tmp_path / "control.html").write_text(f"<img src={url}/control>")  # the server would have noticed
    browser(tmp_path / "control.html", tmp_path / "four", "--dump-dom")
    assert ["/control"] == asked


def _title(page: str) -> str:
    found = re.search("<title>(.*?)</title>", page, re.S)
    assert found is not None
    return unescape(found[1])


@pytest.mark.slow
def test_a_name_does_not_run_over_its_neighbours(tmp_path: Path) -> None:
    """At the width of a telephone the page is not wider than the window, whatever the names are."""
    target = tmp_path / "r.html"
    page = report(hostile_case(tmp_path), target)
    measured = tmp_path / "measured.html"
    script = "<script>document.title = document.documentElement.scrollWidth + '/' + innerWidth</script></body>"
    measured.write_text(page.replace(f'content="{POLICY}"', 'content=""').replace("</body>", script))
    seen = browser(measured, tmp_path / "profile", "--window-size=700,1000", "--dump-dom").decode()
    width, window = map(int, re.search(r"<title>(\d+)/(\d+)</title>", seen).groups())  # type: ignore[union-attr]
    assert width <= window


@pytest.mark.slow
def test_the_hostile_folder_is_reported(safelight: Command, shared: Path) -> None:
    """A real run over the hostile folder, with scripts in EXIF and in names, gives a page in which none of them acts."""
    listed = safelight.folder / "list.md5"
    stored = hashlib.md5((shared / "hostile" / "jpeg_exif_stored_xss.jpg").read_bytes()).hexdigest()
    listed.write_text(f"{stored}  x.jpg\n")
    safelight("hashset", "add", listed, "--as", "illegal", "--name", "<script>alert(1)</script>")
    safelight.made(shared / "hostile")
    target = safelight.folder / "r.html"
    safelight("report", safelight.case, "--output", target, "--pictures")
    page = target.read_text("utf-8")
    read = Page(page)
    assert {t for t, _ in read.tags} <= HTML_TAGS
    assert {a for _, attributes in read.tags for a in attributes} <= ATTRIBUTES
    assert "jpeg_exif_ifd_loop.jpg" in text_of(page)
    text = "".join(read.text)
    assert "<script>alert(1)</script>" in text  # the set
    assert "<img src=x onerror=alert(1)>" in text  # the maker of the camera
    assert "{{7*7}}${7*7}<%= 7*7 %>" in text  # its model
