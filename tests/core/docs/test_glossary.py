"""One word for each thing, on every page: that of the glossary.

A list here has the words that the glossary has replaced. They may stand in code, and nowhere else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

REPOSITORY = Path(__file__).parents[3]
PAGES = {
    page.relative_to(REPOSITORY).as_posix(): page.read_text(encoding="utf-8")
    for folder in ("docs", ".")
    for page in sorted((REPOSITORY / folder).glob("**/*.md" if folder == "docs" else "*/README.md"))
} | {"README.md": (REPOSITORY / "README.md").read_text(encoding="utf-8")}

REPLACED: Final = {
    "questions?": "Ask",
    "who(?:ever)? asks?(?:ed)?": "Asker",
    "asking (?:agent|process|one)": "Asker",
    "whoever": "Asker",
    "callers?": "Asker",
    "receivers?": "Recipient",
    "outbox(?:es)?": "Sender",
    "letterbox(?:es)?": "Mailbox",
    "strangers?": "Outsider",
    "(?:main|master) process(?:es)?": "Primary",
    "(?:child|slave) process(?:es)?": "Worker",
    "(?:master|slave|daughter)s?": "Primary",
    "(?:config|configuration) files?": "Topology",
    "(?:give|gives|gave|given|giving)(?: (?:it|them|a|the)(?: \\w+)?)? again": "Delivery",
    "re-?deliver\\w*": "Delivery",
    "graveyards?": "Dead letter",
    "(?:condemned|cast out)": "Fenced",
    "respawn\\w*": "Restart",
    "inflows?": "Lost",
}
"""Words that no page uses, and the word of the glossary for the same thing."""

_CODE = re.compile(r"^ *```.*?^ *```$|<!--.*?-->|`[^`]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)


def words(page: str) -> str:
    """Return a page without its code and without the addresses of its links, in one line."""
    return " ".join(_CODE.sub(" ", page).split())


def terms() -> list[str]:
    return re.findall(r"^\*\*(.+)\*\*\n: ", PAGES["docs/glossary.md"], re.MULTILINE)


def replaced_words(page: str) -> list[str]:
    """Return the words of a page that the glossary has replaced, with what stands around them."""
    return [
        f"...{text[max(0, match.start() - 30) : match.end() + 30]}...: see {term}"
        for text in [words(page)]
        for word, term in REPLACED.items()
        for match in re.finditer(rf"\b{word}\b", text, re.IGNORECASE)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_uses_the_words_of_the_glossary(page: str) -> None:
    assert replaced_words(PAGES[page]) == []


def test_the_glossary_has_each_word_that_replaces_another() -> None:
    assert set(REPLACED.values()) <= set(terms())


def test_the_terms_of_a_section_are_sorted_and_none_is_there_twice() -> None:
    sections = PAGES["docs/glossary.md"].split("\n## ")[1:]
    for section in sections:
        found = re.findall(r"^\*\*(.+)\*\*\n: ", section, re.MULTILINE)
        assert found == sorted(found, key=str.casefold)
    assert len(terms()) == len(set(terms())) > 50


@pytest.mark.parametrize(
    "text",
    [
        "The third question crashes the agent.",
        "A failed message is given\nagain.",
        "| message | **whoever** asked |",
        "## A stranger on the wire",
    ],
)
def test_a_word_that_was_replaced_is_noticed(text: str) -> None:
    assert replaced_words(text) != []


@pytest.mark.parametrize(
    "text", ["```sh\nask '{\"question\": 1}'\n```", "`question`", "[ask](security.md#a-stranger)"]
)
def test_code_and_addresses_are_left_alone(text: str) -> None:
    assert replaced_words(text) == []
