"""The exit codes of the command line, as `docs/command-line.md` lists them."""

from __future__ import annotations

from typing import Final

FAILURE: Final = 1
BAD_INPUT: Final = 2
"""A restart does not mend it."""
CANNOT_START: Final = 126
"""A program could not be started, as in a shell."""
BY_SIGNAL: Final = 128
"""The number of a signal is added to it."""
