"""The reference of the keys can't go stale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from civitas.topology.model import BLOCKS, Block

PAGE = Path(__file__).parents[3] / "docs" / "topology.md"
HEADINGS = {"": "Top level"}


def table(heading: str) -> list[str]:
    """Return the keys of the table under a heading."""
    section = re.split(r"^#+ ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = next(each for each in section if each.startswith(heading + "\n"))
    return re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name or "top" for name, _ in BLOCKS])
def test_the_page_has_every_key_of_the_model_and_no_other(name: str, block: type[Block]) -> None:
    assert table(HEADINGS.get(name, name.capitalize())) == list(block.model_fields)


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name or "top" for name, _ in BLOCKS])
def test_every_key_is_described(name: str, block: type[Block]) -> None:
    assert block.__doc__
    assert all(field.description for field in block.model_fields.values())
