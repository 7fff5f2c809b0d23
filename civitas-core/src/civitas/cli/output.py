"""How commands print: text and JSON to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from typing import Any


def write(text: str) -> None:
    """Print a line to stdout."""
    sys.stdout.write(text + "\n")


def write_error(text: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(text + "\n")


def write_json(value: Any) -> None:
    """Print a JSON document to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
