"""How commands print: text and JSON to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from civitas.errors import printable


def prepare_streams() -> None:
    """Let stdout and stderr take everything: a character that can't be shown is escaped.

    Python has `None` for a stream that was closed before the process started.
    """
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - used to the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - used to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Print a line to stdout."""
    sys.stdout.write(text + "\n")


def write_error(text: str) -> None:
    """Print lines to stderr.

    What a terminal would obey is escaped: errors and log lines have texts of others.
    """
    lines = (printable(line, sys.maxsize) for line in text.split("\n"))
    sys.stderr.write("\n".join(lines) + "\n")


def write_notes(notes: Iterable[str]) -> None:
    """Print remarks to stderr, each in a line."""
    for note in notes:
        write_error(f"note: {note}")


def write_json(value: Any) -> None:
    """Print a JSON document to stdout; dataclasses are objects."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    write(json.dumps(value, indent=2, ensure_ascii=encoding != "utf8", default=asdict))


@contextmanager
def imports_print_to_stderr() -> Iterator[None]:
    """Send to stderr what plugins and agents' modules print to stdout when they are imported.

    So the output of a command is its result alone. What is written past `sys.stdout`, by C code or
    by a child process, goes to stderr as well.
    """
    sys.stdout.flush()
    result, errors = sys.stdout.fileno(), sys.stderr.fileno()
    kept = os.dup(result)
    os.dup2(errors, result)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, result)
        os.close(kept)
