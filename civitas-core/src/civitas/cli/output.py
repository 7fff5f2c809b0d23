"""How commands print: text and JSON to stdout, everything else to stderr.

All of it has names, texts and values of others in it. So each line goes through `printable`: what
a terminal would obey is escaped, newlines too, and who has two lines to print gives two. JSON stays
JSON: there the same characters are escaped as JSON has it.
"""

from __future__ import annotations

import json
import math
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from civitas.cli import streams
from civitas.errors import printable

_MAX_DEPTH: Final = 100
_SHORTEST_HIDDEN: Final = 6
_secrets: Final[set[str]] = set()
_error_forms: Final[list[Callable[[Iterable[str]], str]]] = []
"""What makes texts of lines for stderr; the last one counts."""


def write(*lines: str) -> None:
    """Print lines to stdout."""
    streams.out().write(_joined(lines))


def write_error(*lines: str) -> None:
    """Print lines to stderr, without logins of URLs and what `hide` was given."""
    write_to_stderr(error_text(lines))


def write_to_stderr(text: str) -> None:
    """Print what is ready to be printed; where it can't be, nobody can be told that either."""
    with suppress(OSError):  # a full disk, a reader that has gone: what a command does goes on
        streams.err().write(text)


def error_text(lines: Iterable[str]) -> str:
    """Return lines as `write_error` would print them."""
    form = _error_forms[-1] if _error_forms else _joined
    return form(map(without_secrets, lines))


def without_secrets(text: str) -> str:
    """Return a text without logins of URLs and what `hide` was given."""
    from civitas.plugins.masking import mask_text

    return mask_text(text, _secrets.copy())  # another thread may hide more meanwhile


def write_errors_as(form: Callable[[Iterable[str]], str]) -> None:
    """From now on, let lines for stderr have another form: what this makes of them."""
    _error_forms.append(form)


def hide(secrets: Iterable[str]) -> None:
    """From now on, let nothing that goes to stderr have these texts in it.

    Short ones are left alone: they may be words or numbers, and all lines would lack them.
    """
    _secrets.update(each for each in secrets if len(each) >= _SHORTEST_HIDDEN)


def write_notes(notes: Iterable[str]) -> None:
    """Print remarks to stderr, each in a line."""
    for note in notes:
        write_error(f"note: {note}")


def write_json(value: Any) -> None:
    """Print JSON to stdout: dataclasses are objects, and numbers that JSON lacks are text."""
    encoding = (streams.out().encoding or "").lower().replace("-", "")
    encode = partial(json.dumps, indent=2, ensure_ascii=encoding != "utf8", default=asdict)
    try:
        text = encode(value, allow_nan=False)
    except ValueError:
        text = encode(json.loads(encode(value), parse_constant=lambda each: str(float(each))))
    lines = (line if line.isprintable() else _escaped_json(line) for line in text.split("\n"))
    streams.out().write("\n".join(lines) + "\n")


def write_json_line(value: Any) -> None:
    """Print JSON that is known to have no other numbers than JSON has to stdout, in one line.

    It is ASCII, so no terminal obeys it, and goes out at once.
    """
    streams.out().write(json.dumps(value) + "\n")
    streams.out().flush()


def jsonable(value: Any, depth: int = 0) -> Any:
    """Return a value of a payload as a value for JSON: bytes as Base64, keys as text."""
    if depth > _MAX_DEPTH:
        return f"(nested more than {_MAX_DEPTH} levels deep)"
    if isinstance(value, dict):
        return {str(key): jsonable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{printable(line, sys.maxsize)}\n" for line in lines)


def _escaped_json(line: str) -> str:
    """Escape what is not printable: it stands in a string of JSON, so that means the same."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)
