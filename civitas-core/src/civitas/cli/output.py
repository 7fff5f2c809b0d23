"""How commands print: text and JSON to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from typing import Any


def prepare_streams() -> None:
    """Make stdout and stderr take everything: nothing that can't be shown is a failure.

    Python has `None` for a stream that was closed before it started.
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
    """Print a line to stderr."""
    sys.stderr.write(text + "\n")


def write_json(value: Any) -> None:
    """Print a JSON document to stdout."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = json.dumps(value, indent=2, ensure_ascii=encoding != "utf8")
    sys.stdout.write(text + "\n")


@contextmanager
def imports_print_to_stderr() -> Iterator[None]:
    """Keep what plugins and agents' modules print when they are imported out of a result.

    What they write past `sys.stdout`, from C or from a child process, goes to stderr as well.
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
