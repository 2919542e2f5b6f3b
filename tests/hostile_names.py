"""Names and values that would act if any place took them for more than text. All harmless: at most they would set `window.taken`."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

NAMES: tuple[bytes, ...] = tuple(
    n if isinstance(n, bytes) else n.encode()
    for n in (
        "<script>window.taken=1<script>.jpg",
        "<img src=x onerror=window.taken=1>.jpg",
        "'\"><svg onload=window.taken=1>.jpg",
        "<style>*{display:none}<style>.jpg",
        "<iframe srcdoc=x>.jpg",
        "javascript:window.taken=1",
        "{{constructor.constructor('window.taken=1')()}}.jpg",
        "{@html '<b>x<b>'}{#each x}.jpg",
        "${window.taken=1}`<%= 7*191 %>#{7*191}.jpg",
        "&lt;b&gt;&amp;&#60;i&#62;.jpg",
        "%3Cscript%3E%00%0d%0a.jpg",
        "=cmd|' C calc'!A0",
        "+1+1.jpg",
        "-1+1.jpg",
        "@SUM(1,1).jpg",
        "x;=1+1.jpg",
        'x","=1+1.jpg',
        "evil\u202egpj.exe.jpg",
        "\u2066x\u2069\u200f\u061c.jpg",
        "line\nbreak\r\nSet-Cookie: taken=1.jpg",
        "\x1b]0;taken\x07\x1b[31m.jpg",
        "\x01\x02\x7f\ttab.jpg",
        "\ufeff\u00ad\u2028\u2029\U000e0041.jpg",
        "\U0001f5bc\U00020000\U0010fffd.jpg",
        "Z" + "\u0301\u0489\u20dd" * 25 + ".jpg",
        "شهادة.jpg",
        "L" * 251 + ".jpg",
        b"\xff\xfe\x80 no utf-8.jpg",
        "__proto__",
        "constructor",
        "..\\..\\up.jpg",
        " blank at both ends .jpg ",
        "'; drop table items; --.jpg",
    )
)
"""Names of files on a Unix file system, as bytes: up to 255 of them, no NUL and no slash."""

FOLDER = "<b onmouseover=window.taken=1>=1+1\u202e"
WORDS = tuple(n.decode("utf-8", "replace")[:200] for n in NAMES)


def picture(shade: int) -> Image.Image:
    """A picture that looks like none of the others: rings and bars by number."""
    image = Image.effect_mandelbrot((320, 240), (-2.2 + shade / 30, -1.2 + shade / 50, 0.4 + shade / 40, 1.0), 30)
    return image.rotate(7 * shade).convert("RGB")


def exif(number: int, word: str) -> Image.Exif:
    """What a camera is said to have written: a word everywhere where text may stand, a day, and a place."""
    found = Image.Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298):  # description, make, model, software, artist, copyright
        found[tag] = word.encode()
    found.get_ifd(0x8769).update({0x9003: f"2016:05:{1 + number % 28:02d} 10:10:10", 0xA431: word.encode(), 0xA435: word.encode()})
    found.get_ifd(0x8825).update({1: "N", 2: (50.0 + number % 9, 10.0, 0.0), 3: "E", 4: (10.0, 5.0 * (number % 9), 0.0)})
    return found


def write(folder: Path) -> list[bytes]:
    """Write a picture under each name below a hostile folder, and a broken one beside each third; return the paths below `folder`."""
    below = os.fsencode(FOLDER)
    (folder / FOLDER).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        target = os.path.join(os.fsencode(folder), below, name)
        with open(target, "wb") as out:
            picture(number).save(out, "JPEG", quality=80, exif=exif(number, WORDS[number]))
        if number % 3 == 0 and len(name) < 200:
            whole = Path(os.fsdecode(target)).read_bytes()
            with open(target + b".cut", "wb") as out:
                out.write(whole[: len(whole) // 3])
    return [os.path.join(below, name) for name in sorted(os.listdir(os.path.join(os.fsencode(folder), below)))]
