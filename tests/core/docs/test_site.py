"""The site builds without a warning, its links lead somewhere, and it asks nobody for anything."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from docs_build.reference import workspace
from support.commands import completed
from support.site import Site, elsewhere

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
API = {
    re.findall(r"^title: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)[0]: page
    for page in sorted((DOCS / "api").glob("*.md"))
    if page.stem != "index"
}
"""The pages of the API reference, by the module that they are about."""

INTERNAL = {
    "civitas._authoring.scaffold",
    "civitas.transport.broker",
    "civitas.transport.dead_letters",
}
"""Packages whose names are for other modules of core, or are offered by one above them."""


def build(
    place: Path, config: Path = REPOSITORY / "mkdocs.yml"
) -> subprocess.CompletedProcess[str]:
    options = ["--strict", "--quiet", "--config-file", str(config), "--site-dir", str(place)]
    command = [sys.executable, "-m", "mkdocs", "build", *options]
    return completed(*command, cwd=REPOSITORY, NO_MKDOCS_2_WARNING="1")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    place = tmp_path_factory.mktemp("site")
    done = build(place)
    assert done.returncode == 0, done.stdout + done.stderr
    return Site(place)


@pytest.mark.packaging
def test_every_page_of_the_docs_is_built(site: Site) -> None:
    for page in DOCS.rglob("*.md"):
        built = site.folder / page.relative_to(DOCS).with_suffix(".html")
        text = built.read_text(encoding="utf-8")
        assert "<h1" in text, page
        assert "generated:" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL), page


@pytest.mark.packaging
def test_every_link_leads_to_a_file_and_an_anchor_that_exist(site: Site) -> None:
    links = [(page, link) for page in site.pages.values() for link in page.links]
    assert len(links) > 1000
    assert [wrong for page, link in links if (wrong := site.broken(page, link))] == []


@pytest.mark.packaging
def test_a_link_that_leads_nowhere_is_noticed(site: Site) -> None:
    page = site.pages["api/process.html"]
    assert site.broken(page, "../nats.html#tls") == ""
    assert site.broken(page, "../nats.html#ssl") == (
        "api/process.html: ../nats.html#ssl: there is no such anchor"
    )
    assert site.broken(page, "nats2.html") == "api/process.html: nats2.html: there is no such file"


@pytest.mark.packaging
def test_no_page_loads_anything_from_elsewhere_and_all_that_it_loads_is_there(site: Site) -> None:
    for page in site.pages.values():
        assert page.loads, page.path
        assert [url for url in page.loads if elsewhere(url)] == [], page.path
        assert [wrong for url in page.loads if (wrong := site.broken(page, url))] == []
        assert not page.mermaid, f"{page.path}: the theme loads mermaid from a CDN"


@pytest.mark.packaging
def test_no_style_loads_anything_from_elsewhere(site: Site) -> None:
    styles = list(site.folder.rglob("*.css"))
    assert styles
    for style in styles:
        content = style.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//", content), style


@pytest.mark.packaging
def test_links_to_other_sites_are_plain_links(site: Site) -> None:
    outside = {link for page in site.pages.values() for link in page.links if elsewhere(link)}
    assert {urlsplit(link).scheme for link in outside} <= {"https"}


@pytest.mark.packaging
def test_every_diagram_is_drawn_in_a_page_with_a_description(site: Site) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in site.folder.rglob("*.html"))
    for diagram in (DOCS / "assets").glob("*.svg"):
        label = re.search(r'aria-label="([^"]+)"', diagram.read_text(encoding="utf-8"))
        assert label, diagram
        assert f'role="img" aria-label="{label[1]}"' in pages, diagram


def public_names(module: str) -> list[str]:
    """Return what a module offers: `__all__`, or the classes and functions that it defines."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return list(loaded.__all__)
    return [
        name
        for name, each in vars(loaded).items()
        if name[0] != "_" and inspect.getmodule(each) is loaded and not isinstance(each, TypeVar)
    ]


@pytest.mark.packaging
@pytest.mark.parametrize("module", API)
def test_the_reference_has_every_public_name_of_a_module(module: str, site: Site) -> None:
    documented = site.documented()
    missing = [name for name in public_names(module) if f"{module}.{name}" not in documented]
    assert missing == []
    built = site.pages[f"api/{API[module].stem}.html"]
    homes = [name for name in built.anchors if name.startswith(f"{module}.")]
    assert homes, f"{API[module]} describes nothing of {module}"


def test_every_package_that_offers_names_has_a_page_in_the_reference() -> None:
    offering = {each.__name__ for each in workspace.modules() if hasattr(each, "__all__")}
    assert offering - INTERNAL <= {*API, "civitas"}
    assert {"civitas.plugins", "civitas.transport", "civitas_zmq", "civitas_nats"} <= offering


@pytest.mark.packaging
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("options zmq.curve", "options zmq.curvy"), "did you mean 'zmq.curve'?"),
        (("<!-- generated: options zmq.curve -->", ""), "options zmq.curve.server_public_key"),
    ],
    ids=["asks for too much", "shows too little"],
)
def test_a_page_with_a_wrong_marker_ends_the_build(
    change: tuple[str, str], told: str, tmp_path: Path
) -> None:
    page = shutil.copytree(DOCS, tmp_path / "docs") / "zmq.md"
    text = page.read_text(encoding="utf-8")
    assert change[0] in text
    page.write_text(text.replace(*change), encoding="utf-8")
    config = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    config = config.replace("docs_build/hooks.py", f"{REPOSITORY}/docs_build/hooks.py")
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert told in done.stdout + done.stderr
