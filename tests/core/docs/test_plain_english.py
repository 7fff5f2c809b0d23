"""The pages are in plain English: short sentences, each with a noun as its subject.

No test can tell whether a sentence is good. This one finds two kinds that are read twice: those
that are long, and those whose subject is a clause ("What is lost is counted").
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.prose import begins_with_a_riddle, is_long, sentences

DOCS = Path(__file__).parents[3] / "docs"
PAGES = {
    page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8")
    for page in sorted(DOCS.rglob("*.md"))
    if page.parent.name != "api"
}


def faults(text: str) -> list[str]:
    return [each for each in sentences(text) if is_long(each) or begins_with_a_riddle(each)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_in_plain_english(page: str) -> None:
    found = faults(PAGES[page])
    assert len(found) <= len(list(sentences(PAGES[page]))) / 100, "\n".join(found)


@pytest.mark.parametrize(
    "sentence",
    [
        "What a node loses is counted.",
        "Whoever reaches the port can read everything.",
        "**What is left** is given back.",
        "But what waits is kept.",
        "Which of them wins is decided by the id.",
        f"A{' word' * 30}.",
        f"One{' word' * 15}; another{' word' * 15}.",
        "A node ends; what it has is kept.",
    ],
)
def test_a_sentence_that_is_read_twice_is_noticed(sentence: str) -> None:
    assert faults(f"A page begins. {sentence} It ends.") == [sentence]


@pytest.mark.parametrize(
    "text",
    [
        "What happens then? The node ends.",
        "A node counts what it loses.",
        "```text\nWhat stands in code is not read.\n```",
        "| What | stands in a table |\n|---|---|\n| what | comes |\n",
        "## What happens to a message\n\nIt is kept.",
        f"- {' '.join(['word'] * 20)}\n- {' '.join(['word'] * 20)}",
        f"`{' '.join(['word'] * 40)}` is one word.",
        f"<!-- generated: x -->\n\nWhat {' '.join(['word'] * 40)}.\n\n<!-- end of generated -->",
    ],
)
def test_what_is_no_such_sentence_is_left_alone(text: str) -> None:
    assert faults(text) == []
