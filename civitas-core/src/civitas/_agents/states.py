"""States of an agent as others hear of them, where `ProcessStatus` does not say enough."""

from __future__ import annotations

from typing import Final

CRASHED_AGAIN: Final = "CRASHED_AGAIN"
"""The state of an agent that crashed on a message which its transport had given before."""

DOWN: Final = "DOWN"
"""The state of an agent that its supervisor has stopped, and may start again."""


class CancelledFromOutsideError(RuntimeError):
    """Neither its supervisor nor its handler has ended the agent's task."""
