"""Markers of a page: where a generated part belongs, and which.

A marker is a comment. The part itself stands between it and a second comment, so a page reads in a
clone as on the site:

    <!-- generated: options zmq curve=#keys -->

    | option | type | ...

    <!-- end of generated -->

The first word says what kind of part it is, the next ones what it is about. `name=target` links an
entry of the part. What stands behind a colon are the entries to show, where not all are meant:

    <!-- generated: options nats: servers=#a-server jetstream -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

END: Final = "<!-- end of generated -->"
"""What stands behind a part that is written into its page."""

_MARKER: Final = re.compile(
    r"^(?P<marker><!-- generated: (?P<words>.*?)\s*-->)$"
    rf"(?:\n(?:(?!^<!-- generated: ).)*?^{END}$)?",
    re.MULTILINE | re.DOTALL,
)
_FENCE: Final = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#+ |^<!-- generated: ", re.MULTILINE)


class MarkerError(ValueError):
    """A page asks for what there is not, or lacks what it should say itself."""


class Marker(NamedTuple):
    """What a page asks for at one place.

    Attributes:
        kind: the kind of part, such as `options`.
        subject: what it is about, such as `zmq`; several words for a command.
        entries: the entries to show; empty for all.
        links: where an entry leads, by its name.
        follows: what the page itself says there, up to the next heading or marker.
        comment: the marker as the page has it.
    """

    kind: str
    subject: str
    entries: tuple[str, ...]
    links: Mapping[str, str]
    follows: str
    comment: str = ""


class Part(NamedTuple):
    """What is put in the place of a marker.

    Attributes:
        text: markdown.
        shows: names of what it shows, by which a page that lacks something is noticed.
        is_written: whether it stands in the page itself; a picture is on the site alone.
    """

    text: str
    shows: frozenset[str]
    is_written: bool = True


def markers(page: str) -> Iterator[tuple[Marker, tuple[int, int]]]:
    """Give each marker of a page with its place, that of its part included.

    Code blocks have none.
    """
    code = [block.span() for block in _FENCE.finditer(page)]
    for found in _MARKER.finditer(page):
        if not any(begin <= found.start() < end for begin, end in code):
            rest = page[found.end() :]
            heading = _HEADING.search(rest)
            follows = rest[: heading.start()] if heading else rest
            yield _marker(found["words"], found["marker"], follows.strip()), found.span()


def replaced(page: str, part: Callable[[Marker], str]) -> str:
    """Return a page with what `part` gives in the place of each marker and of its part."""
    pieces, at = [], 0
    for marker, (begin, end) in markers(page):
        pieces += [page[at:begin], part(marker)]
        at = end
    return "".join([*pieces, page[at:]])


def chosen(name: str, known: Iterable[str], what: str) -> str:
    """Return a name that is known.

    Args:
        name: the name that a page gives.
        known: the names that there are.
        what: what they are names of, for the message.

    Raises:
        MarkerError: it is not among them.
    """
    names = list(known)
    if name in names:
        return name
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
    raise MarkerError(f"there is no {what} {name!r}; {hint}")


def _marker(text: str, comment: str, follows: str) -> Marker:
    kind, *words = text.split()
    links = dict(word.split("=", 1) for word in words if "=" in word)
    end = next((at for at, word in enumerate(words) if word.endswith(":")), len(words))
    subject = [word.removesuffix(":") for word in words[: end + 1] if "=" not in word]
    entries = tuple(word.partition("=")[0] for word in words[end + 1 :])
    return Marker(kind, " ".join(subject), entries, links, follows, comment)
