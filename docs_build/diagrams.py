"""Diagrams of the pages: pictures in a clone, parts of the page on the site.

A page has a picture like any other, `![what it shows](assets/ladder.svg)`. The site puts the SVG
into the page instead, so that it follows the colour scheme and the text size. A picture by itself
has the colours of `STANDALONE`, whose rules hold for no SVG within a page. A wide one says in its
`style` from which `--diagram-width` on it scrolls on a phone instead of getting smaller.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

STANDALONE: Final = (
    "<style>"
    "svg:root { background: #fff }"
    " svg:root text { fill: #222; font: 14px sans-serif }"
    " svg:root .over { paint-order: stroke; stroke: #fff; stroke-width: 5px }"
    " svg:root .middle { text-anchor: middle }"
    " svg:root .small { font-size: 12px; fill: #555 }"
    " svg:root .mono { font: 12.5px monospace }"
    " svg:root .box { fill: #f4f4f4; stroke: #555; stroke-width: 1.5 }"
    " svg:root .later { stroke-dasharray: 5 4; fill: none }"
    " svg:root .crashed { stroke: #b3261e; stroke-width: 2.5 }"
    " svg:root .restarted { stroke: #1b7a6e; stroke-width: 2.5 }"
    " svg:root .crashed-text { fill: #b3261e; font-size: 12px }"
    " svg:root .restarted-text { fill: #1b7a6e; font-size: 12px }"
    " svg:root .line { fill: none; stroke: #555; stroke-width: 1.5 }"
    " svg:root .dashed { stroke-dasharray: 5 4 }"
    " svg:root .tip { fill: #555; stroke: none }"
    "</style>"
)
"""`:root` of an SVG in a page is the page: none of these rules holds there."""

PICTURE: Final = re.compile(
    r"^!\[(?P<shows>.*)\]\((?P<file>(?:\.\./)*assets/[\w-]+\.svg)\)$", re.MULTILINE
)


def inlined(page: str, folder: Path) -> str:
    """Return a page with the SVG itself in place of each picture of one.

    Args:
        page: markdown.
        folder: the folder of the page, from which it names its pictures.
    """

    def drawn(picture: re.Match[str]) -> str:
        svg = (folder / picture["file"]).read_text(encoding="utf-8").strip()
        return f'<div class="diagram" markdown="0">\n{svg}\n</div>'

    return PICTURE.sub(drawn, page)
