"""Draw docs/pipeline.svg: the path from exhibits to what people look at. Text stays text, colours follow the reader's theme."""

from __future__ import annotations

from xml.sax.saxutils import escape

STEPS = (
    ("exhibits", "images and folders", "add"),
    ("items", "live and deleted", "list"),
    ("facts", "digests, types, pictures", "extract"),
    ("matches", "known: which, and why", "match"),
    ("stacks", "what looks the same", "stack"),
    ("people", "status, find, why, report", ""),
)
WALLED = (1, 2)
BOX, GAP, HEIGHT, TOP, LEFT = 150, 60, 72, 70, 20

STYLE = """
  text { font: 15px system-ui, sans-serif; fill: #1c2126; text-anchor: middle; }
  .small { font-size: 11.5px; fill: #4a545e; }
  .step { font-size: 12.5px; font-style: italic; fill: #0b5a8a; }
  .box { fill: #f5f7f9; stroke: #5a6672; stroke-width: 1.5; }
  .wall { fill: none; stroke: #9a5b00; stroke-width: 1.5; stroke-dasharray: 6 4; }
  .wall-text { font-size: 12px; fill: #8a4f00; }
  .arrow { stroke: #5a6672; stroke-width: 1.8; fill: none; }
  .head { fill: #5a6672; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8ecf0; } .small { fill: #aeb8c2; } .step { fill: #7cc4f0; } .box { fill: #20262c; stroke: #8b97a3; }
    .wall { stroke: #e0a040; } .wall-text { fill: #efb45c; } .arrow { stroke: #8b97a3; } .head { fill: #8b97a3; }
  }
"""


def pipeline_svg() -> str:
    """Return the picture as SVG with a title and a description for those who do not see it."""
    width = LEFT * 2 + len(STEPS) * BOX + (len(STEPS) - 1) * GAP
    described = (
        "Exhibits are listed into items, items are extracted into facts, facts are matched with the unit's hash sets, pictures are stacked, "
        "and people look at what is left. Evidence is parsed inside a sandbox in the list and extract steps. Every step is entered in the ledger."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 225" role="img" aria-labelledby="title description">',
        '<title id="title">The path of evidence through Safelight</title>',
        f'<desc id="description">{escape(described)}</desc>',
        f"<style>{STYLE}</style>",
    ]
    first, last = (_x(n) for n in WALLED)
    parts.append(f'<rect class="wall" x="{first - GAP + 6}" y="22" width="{last + BOX - first + GAP}" height="{HEIGHT + 74}" rx="10"/>')
    parts.append(
        f'<text class="wall-text" x="{(first + last + BOX) / 2 - 15}" y="41">sandbox: no network, no files, no new processes</text>'
    )
    for number, step in enumerate(STEPS):
        parts += _step(number, *step)
    parts += _below(width)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(number: int) -> int:
    return LEFT + number * (BOX + GAP)


def _step(number: int, name: str, words: str, leads: str) -> list[str]:
    x, middle, y = _x(number), _x(number) + BOX / 2, TOP + HEIGHT / 2
    parts = [
        f'<rect class="box" x="{x}" y="{TOP}" width="{BOX}" height="{HEIGHT}" rx="6"/>',
        f'<text x="{middle}" y="{y - 4}">{name}</text>',
        f'<text class="small" x="{middle}" y="{y + 17}">{escape(words)}</text>',
    ]
    if number < len(STEPS) - 1:
        start, end = x + BOX, x + BOX + GAP
        verb = STEPS[number + 1][2] if number + 1 < len(STEPS) - 1 else "look"
        parts += [
            f'<path class="arrow" d="M{start + 3} {y}H{end - 9}"/>',
            f'<path class="head" d="M{end - 3} {y}l-9 -5v10z"/>',
            f'<text class="step" x="{(start + end) / 2}" y="{TOP - 8}">{verb}</text>',
        ]
    return parts


def _below(width: int) -> list[str]:
    y, x = TOP + HEIGHT + 53, _x(3) + BOX / 2
    return [
        f'<rect class="box" x="{LEFT}" y="{y - 20}" width="{_x(2) + BOX - LEFT}" height="30" rx="6"/>',
        f'<text class="small" x="{(LEFT + _x(2) + BOX) / 2}" y="{y}">ledger: each step, each look, hash-linked</text>',
        f'<rect class="box" x="{_x(3) - 20}" y="{y - 20}" width="{BOX + 40}" height="30" rx="6"/>',
        f'<text class="small" x="{x}" y="{y}">library: the unit\'s hash sets</text>',
        f'<path class="arrow" d="M{x} {y - 22}V{TOP + HEIGHT + 10}"/><path class="head" d="M{x} {TOP + HEIGHT + 3}l-5 9h10z"/>',
        f'<rect class="box" x="{_x(4)}" y="{y - 20}" width="{width - LEFT - _x(4)}" height="30" rx="6"/>',
        f'<text class="small" x="{(_x(4) + width - LEFT) / 2}" y="{y}">case folder: Parquet and JSON, yours to read</text>',
    ]
