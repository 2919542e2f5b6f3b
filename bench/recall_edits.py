"""The edits of bench/recall.py: what people do to a picture, by code. Each takes the picture and another one (for collages)."""

from __future__ import annotations

import io
import math
import random
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Picture = Image.Image
Edit = Callable[[Picture, Picture], Picture]
mirror = ImageOps.mirror


def jpeg(im: Picture, quality: int) -> Picture:
    out = io.BytesIO()
    im.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


def scaled(im: Picture, factor: float) -> Picture:
    return im.resize((max(8, round(im.width * factor)), max(8, round(im.height * factor))), Image.Resampling.LANCZOS)


def cut(im: Picture, left: float, top: float, right: float, bottom: float) -> Picture:
    w, h = im.size
    return im.crop((round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom))))


def cut_to(im: Picture, area: float, x: float = 0.5, y: float = 0.5) -> Picture:
    rest = 1 - math.sqrt(area)
    return cut(im, rest * x, rest * y, rest * (1 - x), rest * (1 - y))


def turned(im: Picture, degrees: float) -> Picture:
    """Turned, and cut to the largest upright rectangle of the same shape without corners."""
    whole, a, (w, h) = im.rotate(degrees, Image.Resampling.BICUBIC, expand=True), math.radians(abs(degrees)), im.size
    k = min(w / (w * math.cos(a) + h * math.sin(a)), h / (w * math.sin(a) + h * math.cos(a)))
    x, y = whole.width / 2, whole.height / 2
    return whole.crop((round(x - w * k / 2), round(y - h * k / 2), round(x + w * k / 2), round(y + h * k / 2)))


def perspective(im: Picture, share: float) -> Picture:
    """Seen from the side: the corners move by up to `share` of the sides."""
    w, h = im.size
    dx, dy = share * w, share * h
    to = [(0, 0), (w, 0), (w, h), (0, h)]
    of = [(dx, dy * 0.5), (w, 0), (w - dx * 0.6, h - dy), (0, h - dy * 0.3)]
    rows, values = [], []
    for (x, y), (u, v) in zip(to, of, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    found = np.linalg.solve(np.array(rows, float), np.array(values, float))
    return im.transform((w, h), Image.Transform.PERSPECTIVE, list(found), Image.Resampling.BICUBIC)


def brightened(im: Picture, factor: float) -> Picture:
    return ImageEnhance.Brightness(im).enhance(factor)


def screen_photo(im: Picture) -> Picture:
    seen = scaled(perspective(im, 0.08), 0.8).filter(ImageFilter.GaussianBlur(1.2))
    return brightened(jpeg(seen, 60), 1.15)


def seed_of(im: Picture) -> int:
    """Another number for each picture: its sticker sits elsewhere, its chat says something else."""
    return zlib.crc32(im.convert("L").resize((16, 16)).tobytes())


def sticker(im: Picture, area: float) -> Picture:
    """A laughing face that covers `area` of the rectangle round it."""
    im, rng, s = im.copy(), random.Random(seed_of(im)), math.sqrt(area)
    w, h = im.width * s, im.height * s
    x, y, draw = rng.random() * (im.width - w), rng.random() * (im.height - h), ImageDraw.Draw(im)
    draw.ellipse((x, y, x + w, y + h), fill=(255, 210, 40), outline=(0, 0, 0), width=3)
    for k in (0.3, 0.7):
        draw.ellipse((x + w * (k - 0.07), y + h * 0.3, x + w * (k + 0.07), y + h * 0.45), fill=(0, 0, 0))
    draw.arc((x + w * 0.25, y + h * 0.3, x + w * 0.75, y + h * 0.8), 20, 160, fill=(0, 0, 0), width=5)
    return im


def black_box(im: Picture, area: float) -> Picture:
    im, s = im.copy(), math.sqrt(area) / 2
    ImageDraw.Draw(im).rectangle((im.width * (0.5 - s), im.height * (0.5 - s), im.width * (0.5 + s), im.height * (0.5 + s)), fill=0)
    return im


def caption(im: Picture, share: float) -> Picture:
    h = round(im.height * share)
    page = Image.new("RGB", (im.width, im.height + h), (255, 255, 255))
    page.paste(im, (0, h))
    ImageDraw.Draw(page).text((10, h * 0.2), "WHEN YOU SEE IT AGAIN", fill=0, font_size=max(8, h * 0.5))
    return page


def logo(im: Picture) -> Picture:
    im, w = im.copy(), im.width // 4
    draw = ImageDraw.Draw(im)
    draw.rectangle((im.width - w - 8, 8, im.width - 8, 8 + w * 0.4), fill=(200, 20, 30))
    draw.text((im.width - w, 8), "LOGO", fill=(255, 255, 255), font_size=max(8, w * 0.3))
    return im


def phone(im: Picture | None, dark: bool, seed: int, w: int = 1080, h: int = 2160) -> Picture:
    """A screen of one chat app; with a picture, or with messages only."""
    rng = random.Random(seed)
    paper, ink, shade = ((18, 18, 20), (230, 230, 230), 14) if dark else ((250, 250, 250), (20, 20, 20), -14)
    page, bar = Image.new("RGB", (w, h), paper), tuple(c + shade for c in paper)
    draw = ImageDraw.Draw(page)
    draw.text((40, 20), f"{rng.randint(0, 23)}:{rng.randint(10, 59)}", fill=ink, font_size=36)
    draw.rectangle((w - 120, 28, w - 60, 54), outline=ink, width=3)
    draw.rectangle((0, 80, w, 210), fill=bar)
    draw.text((150, 115), rng.choice(("Anna", "Ben", "Holiday group", "Mum")), fill=ink, font_size=48)
    draw.ellipse((40, 100, 130, 190), fill=(90, 140, 200))
    y = 260
    if im is not None:
        inner = scaled(im, min(w / im.width, (h - 700) / im.height))
        page.paste(inner, ((w - inner.width) // 2, 300))
        y = 340 + inner.height
    while y < h - 260:
        words = " ".join(rng.choices(WORDS, k=rng.randint(2, 7)))
        x = 40 if rng.random() < 0.5 else max(40, w - 80 - len(words) * 19)
        draw.rounded_rectangle((x, y, x + len(words) * 19 + 40, y + 80), 24, fill=(60, 90, 70) if dark else (215, 240, 215))
        draw.text((x + 20, y + 18), words, fill=ink, font_size=36)
        y += 110
    draw.rectangle((0, h - 150, w, h), fill=bar)
    draw.text((60, h - 110), "Message", fill=ink, font_size=40)
    return page


def desktop(im: Picture) -> Picture:
    page = Image.new("RGB", (1600, 900), (58, 110, 165))
    draw = ImageDraw.Draw(page)
    draw.rectangle((200, 60, 1480, 840), fill=(240, 240, 240))
    draw.rectangle((200, 60, 1480, 100), fill=(200, 205, 210))
    draw.text((220, 66), "viewer - photo.jpg", fill=0, font_size=24)
    for n, word in enumerate(("File", "Edit", "View", "Image", "Help")):
        draw.text((220 + n * 90, 108), word, fill=0, font_size=22)
    inner = scaled(im, min(1240 / im.width, 660 / im.height))
    page.paste(inner, (840 - inner.width // 2, 150))
    draw.rectangle((0, 860, 1600, 900), fill=(30, 30, 30))
    return page


def grid(parts: list[Picture], columns: int, gap: int, cell: int = 512) -> Picture:
    """A collage of squares; each picture is cut to a square."""
    rows = -(-len(parts) // columns)
    page = Image.new("RGB", (columns * cell + gap * (columns + 1), rows * cell + gap * (rows + 1)), (255, 255, 255))
    for n, part in enumerate(parts):
        inner = ImageOps.fit(part, (cell, cell), Image.Resampling.LANCZOS)
        page.paste(inner, (gap + n % columns * (cell + gap), gap + n // columns * (cell + gap)))
    return page


def side_by_side(a: Picture, b: Picture, gap: int = 0, height: int = 600) -> Picture:
    a, b = scaled(a, height / a.height), scaled(b, height / b.height)
    page = Image.new("RGB", (a.width + b.width + gap, height), (255, 255, 255))
    page.paste(a, (0, 0))
    page.paste(b, (a.width + gap, 0))
    return page


def one_below(a: Picture, b: Picture, gap: int = 12, width: int = 700) -> Picture:
    a, b = scaled(a, width / a.width), scaled(b, width / b.width)
    page = Image.new("RGB", (width + 2 * gap, a.height + b.height + 3 * gap), (255, 255, 255))
    page.paste(a, (gap, gap))
    page.paste(b, (gap, a.height + 2 * gap))
    return page


def barred(im: Picture, share: float) -> Picture:
    bar = round(im.height * share)
    page = Image.new("RGB", (im.width, im.height + 2 * bar))
    page.paste(im, (0, bar))
    return page


WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she "
    "there would their we him been has when who will no more if out so up said what its about than into them can only other time new some"
).split()


def text_page(seed: int, size: int) -> Picture:
    """A printed page of A4."""
    rng, page = random.Random(seed), Image.new("RGB", (1240, 1754), (255, 255, 255))
    draw, y = ImageDraw.Draw(page), 100
    while y < 1630:
        line = " ".join(rng.choices(WORDS, k=16))[: int(1020 / (size * 0.5))]
        draw.text((110, y), line, fill=0, font_size=size)
        y += round(size * 1.5) + (size if rng.random() < 0.1 else 0)
    return page


def framed(im: Picture) -> Picture:
    """A picture in the frame of one web page: head, side bar, foot."""
    page = Image.new("RGB", (900, 900), (245, 245, 248))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 900, 90), fill=(120, 20, 60))
    draw.text((20, 15), "PICTURE BOARD", fill=(255, 255, 255), font_size=54)
    for n, word in enumerate(("Home", "Newest", "Popular", "Random", "Upload", "Rules", "Contact", "Log in", "About")):
        draw.rounded_rectangle((700, 120 + n * 80, 880, 180 + n * 80), 8, fill=(220, 225, 235))
        draw.text((712, 132 + n * 80), word, fill=(60, 60, 90), font_size=28)
    draw.text((20, 850), "Terms  Privacy  Imprint  Picture Board 2016", fill=(90, 90, 90), font_size=24)
    inner = im.copy()
    inner.thumbnail((660, 720))
    page.paste(inner, (20, 110))
    return page


EDITS: dict[str, Edit] = {
    "JPEG q50": lambda im, o: jpeg(im, 50),
    "JPEG q20": lambda im, o: jpeg(im, 20),
    "resized to 50 %": lambda im, o: scaled(im, 0.5),
    "resized to 25 %": lambda im, o: scaled(im, 0.25),
    "stretched to a square": lambda im, o: im.resize((600, 600)),
    "grey": lambda im, o: im.convert("L").convert("RGB"),
    "brighter × 1.4": lambda im, o: brightened(im, 1.4),
    "darker × 0.6": lambda im, o: brightened(im, 0.6),
    "blurred, r = 2": lambda im, o: im.filter(ImageFilter.GaussianBlur(2)),
    "mirrored": lambda im, o: mirror(im),
    "turned by 90°": lambda im, o: im.transpose(Image.Transpose.ROTATE_90),
    "white border 5 %": lambda im, o: ImageOps.expand(im, round(0.05 * min(im.size)), (255, 255, 255)),
    "black bars 12 %": lambda im, o: barred(im, 0.12),
    "crop 2 % a side": lambda im, o: cut(im, 0.02, 0.02, 0.02, 0.02),
    "crop 5 % a side": lambda im, o: cut(im, 0.05, 0.05, 0.05, 0.05),
    "crop 10 % a side": lambda im, o: cut(im, 0.1, 0.1, 0.1, 0.1),
    "crop 20 % of one side": lambda im, o: cut(im, 0.2, 0, 0, 0),
    "crop to 1/2 of the area": lambda im, o: cut_to(im, 0.5, 0.3, 0.6),
    "crop to 1/4, middle": lambda im, o: cut_to(im, 0.25),
    "crop to 1/4, near a corner": lambda im, o: cut_to(im, 0.25, 0.1, 0.9),
    "crop to 1/4, mirrored": lambda im, o: mirror(cut_to(im, 0.25)),
    "turned by 1°": lambda im, o: turned(im, 1),
    "turned by 3°": lambda im, o: turned(im, 3),
    "turned by 5°, corners black": lambda im, o: im.rotate(5, Image.Resampling.BICUBIC, expand=True),
    "turned by 10°": lambda im, o: turned(im, 10),
    "turned by 10°, mirrored": lambda im, o: mirror(turned(im, -10)),
    "perspective 5 %": lambda im, o: perspective(im, 0.05),
    "perspective 5 %, mirrored": lambda im, o: mirror(perspective(im, 0.05)),
    "photo of a screen": lambda im, o: screen_photo(im),
    "sticker 15 %": lambda im, o: sticker(im, 0.15),
    "sticker 15 %, mirrored": lambda im, o: mirror(sticker(im, 0.15)),
    "black box 15 % in the middle": lambda im, o: black_box(im, 0.15),
    "caption 15 %": lambda im, o: caption(im, 0.15),
    "logo": lambda im, o: logo(im),
    "phone screenshot, dark": lambda im, o: phone(im, True, seed_of(im)),
    "phone screenshot, light": lambda im, o: phone(im, False, seed_of(im)),
    "phone screenshot, mirrored": lambda im, o: phone(mirror(im), True, seed_of(im)),
    "desktop screenshot": lambda im, o: desktop(im),
    "collage of 2": lambda im, o: side_by_side(im, o),
    "collage of 2, gap, below": lambda im, o: one_below(o, im),
    "collage of 2, mirrored": lambda im, o: side_by_side(o, mirror(im), 10),
    "collage of 4 squares": lambda im, o: grid([o, im, o.rotate(180), mirror(o)], 2, 0),
    "collage of 4 squares, gaps": lambda im, o: grid([im, o, mirror(o), o.rotate(180)], 2, 16),
}
GOALS = tuple(
    name for name in EDITS if name.startswith(("crop", "turned by", "perspective", "sticker", "phone", "desktop", "collage of 2"))
)
"""Edits of which 95 % are to be found."""
