"""The prose of a page, sentence by sentence: no code, tables, headings or generated parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 30
"""Words of a sentence that may be read once."""

_LEFT_OUT: Final = (
    re.compile(r"\A---\n.*?^---$", re.MULTILINE | re.DOTALL),
    re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL),
    re.compile(
        r"^<!-- generated: .*?-->$(?:\n(?:(?!^<!-- generated: ).)*?^<!-- end of generated -->$)?",
        re.MULTILINE | re.DOTALL,
    ),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^<div.*?^</div>$", re.MULTILINE | re.DOTALL),
    re.compile(r"^\|.*$", re.MULTILINE),
    re.compile(r"^#+ .*$", re.MULTILINE),
    re.compile(r"^(?:!!!|:::) .*$", re.MULTILINE),
)
_PARAGRAPH: Final = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )")
_ITEM: Final = re.compile(r"^\s*(?:[-*]|\d+\.) ")
_SPAN: Final = re.compile(r"`[^`]*`")
_LINK: Final = re.compile(r"\[([^]]*)\](?:\([^)]*\)|\[[^]]*\])")
_END: Final = re.compile(r"(?<=[.!?])[)*]*\s+(?=[(*]*[A-Z])|(?<=:)[)*]*\s+")
_CLAUSE: Final = re.compile(r"(?<=;)\s+")
_RIDDLE: Final = re.compile(
    r"^\W*(?:(?:So|And|But|Then|Otherwise|Here|There|For)\s+)?"
    r"(?:what|whatever|whoever|whichever|who|which)\b(?!.*\?\W*$)",
    re.IGNORECASE,
)


def sentences(page: str) -> Iterator[str]:
    """Give each sentence of a page's prose, with a word for each piece of code.

    A colon ends a sentence: a list or an explanation begins. A semicolon does not.
    """
    for pattern in _LEFT_OUT:
        page = pattern.sub("\n\n", page)
    for paragraph in _PARAGRAPH.split(page):
        text = _SPAN.sub("CODE", _LINK.sub(r"\1", _ITEM.sub("", " ".join(paragraph.split()))))
        yield from (each for each in _END.split(text) if each.strip())


def is_long(sentence: str) -> bool:
    """Return whether a sentence has more words than one keeps in mind."""
    return len(sentence.split()) > LONGEST


def begins_with_a_riddle(sentence: str) -> bool:
    """Return whether the subject is a clause: `What a node loses ...`. A question is none."""
    return any(_RIDDLE.match(clause) for clause in _CLAUSE.split(sentence))
