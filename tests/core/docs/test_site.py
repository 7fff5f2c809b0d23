"""The site builds without a warning, and a built page asks nobody else for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
ELSEWHERE = re.compile(r"^(?:\w+:)?//")
LOADED_BY = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "object": ("data",),
}

pytestmark = pytest.mark.slow


class Requests(HTMLParser):
    """Collects what a browser loads for a page, and the texts of its style elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.mermaid = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.mermaid |= "mermaid" in (values.get("class") or "").split()
        if tag == "link" and values.get("rel") in ("canonical", "prev", "next"):
            return
        self.urls += [values[name] or "" for name in LOADED_BY.get(tag, ()) if name in values]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_every_page_of_the_docs_is_built(site: Path) -> None:
    for page in (REPOSITORY / "docs").rglob("*.md"):
        built = site / page.relative_to(REPOSITORY / "docs").with_suffix(".html")
        assert "<h1" in built.read_text(encoding="utf-8"), page


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        requests = Requests(page.read_text(encoding="utf-8"))
        assert requests.urls, page
        assert not [url for url in requests.urls if ELSEWHERE.match(url)], page
        assert not requests.mermaid, f"{page}: the theme loads mermaid from a CDN"


def test_no_style_loads_anything_from_elsewhere(site: Path) -> None:
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        content = style.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//", content), style


def test_every_diagram_is_drawn_in_a_page_with_a_description(site: Path) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
    for diagram in (REPOSITORY / "docs" / "assets").glob("*.svg"):
        label = re.search(r'aria-label="([^"]+)"', diagram.read_text(encoding="utf-8"))
        assert label, diagram
        assert f'role="img" aria-label="{label[1]}"' in pages, diagram


def test_the_reference_shows_what_it_is_about(site: Path) -> None:
    for page, name in [
        ("process", "civitas.process.AgentProcess.ask"),
        ("transport", "civitas.transport.protocol.Transport.publish"),
        ("envelope", "civitas.envelope.seal"),
        ("testing", "civitas.testing.transports.TransportConformance"),
    ]:
        assert f'id="{name}"' in (site / "api" / f"{page}.html").read_text(encoding="utf-8")
