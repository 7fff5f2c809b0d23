"""Diagrams are pictures where a page is read as it stands, and parts of the page on the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs_build.diagrams import PICTURE, STANDALONE, inlined

DOCS = Path(__file__).parents[3] / "docs"
DIAGRAMS = [path for path in sorted((DOCS / "assets").glob("*.svg")) if path.stem != "top"]
PICTURES = [
    (page.relative_to(DOCS).as_posix(), found["shows"], page.parent / found["file"])
    for page in sorted(DOCS.rglob("*.md"))
    for found in PICTURE.finditer(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda path: path.stem)
def test_a_diagram_has_colours_when_it_stands_alone(diagram: Path) -> None:
    text = diagram.read_text(encoding="utf-8")
    assert text.count(STANDALONE) == 1
    used = {name for each in re.findall(r'class="([^"]*)"', text) for name in each.split()}
    assert used <= set(re.findall(r"\.([a-z][\w-]*) {", STANDALONE))


@pytest.mark.parametrize(("page", "shows", "file"), PICTURES, ids=lambda value: str(value)[-30:])
def test_a_picture_says_what_it_shows(page: str, shows: str, file: Path) -> None:
    assert f'aria-label="{shows}"' in file.read_text(encoding="utf-8")


def test_every_diagram_is_the_picture_of_a_page() -> None:
    assert {file for *_, file in PICTURES} == set((DOCS / "assets").glob("*.svg"))


def test_the_site_has_the_drawing_in_place_of_its_picture() -> None:
    page = inlined("Before.\n\n![one](assets/ladder.svg)\n\nAfter.\n", DOCS)
    svg = (DOCS / "assets" / "ladder.svg").read_text(encoding="utf-8").strip()
    drawn = f'<div class="diagram" markdown="0">\n{svg}\n</div>'
    assert page == f"Before.\n\n{drawn}\n\nAfter.\n"
