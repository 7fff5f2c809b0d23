"""Keys: what a terminal sends when they are pressed, made into names. No I/O.

A character is its own name. A terminal sends ESC and more for a key that is none, in one piece; an
ESC that comes alone is the key itself.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O[ -~])")
_NAMES: Final = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "5~": "page up",
    "6~": "page down",
    "7~": "home",
    "8~": "end",
}
_CHARACTERS: Final = {
    "\r": "enter",
    "\n": "enter",
    "\x1b": "escape",
    "\x7f": "backspace",
    "\x08": "backspace",
}


class KeyReader:
    """Makes keys of the bytes that a terminal sends."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that were pressed; one that is not known is left out."""
        return list(_keys(self._decoder.decode(data)))


def _keys(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        sequence = _SEQUENCE.match(text, at)
        if sequence is not None:
            at = sequence.end()
            name = _NAMES.get(sequence.group()[2:])
            if name is not None:
                yield name
            continue
        character = text[at]
        at += 1
        yield _CHARACTERS.get(character, character)
