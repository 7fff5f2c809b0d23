"""The pages are called what the navigation calls them, and each says where to go next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
OTHER_PARTS = {"Develop Civitas", "API reference"}
"""The parts of the navigation that are not for users."""


class _Loader(yaml.SafeLoader):
    """Reads the configuration of the site, whose tags are for mkdocs."""


_Loader.add_constructor("!relative", lambda loader, node: loader.construct_scalar(node))


def entries(part: list[Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give each page of the navigation with the titles that lead to it; one may have none."""
    for entry in part:
        if isinstance(entry, str):
            yield above, entry
            continue
        ((title, below),) = entry.items()
        if isinstance(below, str):
            yield (*above, title), below
        else:
            yield from entries(below, (*above, title))


NAVIGATION = list(
    entries(yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)["nav"])
)
FOR_USERS = [page for titles, page in NAVIGATION if titles[0] not in OTHER_PARTS]


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def links_of_next(page: str) -> list[str]:
    """Return the links in the last section of a page, if that says where to go next."""
    *_, last = re.split(r"^## ", text(page), flags=re.MULTILINE)
    heading, _, body = last.partition("\n")
    return re.findall(r"\]\(([^)]+)\)", body) if heading == "Next" else []


@pytest.mark.parametrize(("titles", "page"), NAVIGATION, ids=[page for _, page in NAVIGATION])
def test_a_page_has_the_title_that_the_navigation_gives_it(
    titles: tuple[str, ...], page: str
) -> None:
    (heading,) = re.findall(r"^# (.+)$", re.sub(r"(?ms)^```.*?^```$", "", text(page)), re.MULTILINE)
    assert heading.replace("`", "") == titles[-1]


def test_every_page_is_in_the_navigation_once() -> None:
    pages = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
    assert sorted(page for _, page in NAVIGATION) == pages


@pytest.mark.parametrize("page", FOR_USERS)
def test_a_page_for_users_says_at_its_end_where_to_go_next(page: str) -> None:
    links = links_of_next(page)
    assert 2 <= len(links) <= 4
    assert all(not link.startswith(("#", "http")) for link in links)


@pytest.mark.parametrize("page", FOR_USERS)
def test_a_page_reads_in_a_clone_as_on_the_site(page: str) -> None:
    """An admonition is a block of code to anybody who reads the file."""
    assert not re.search(r"^(?:!!!|\?\?\?)", text(page), re.MULTILINE)
