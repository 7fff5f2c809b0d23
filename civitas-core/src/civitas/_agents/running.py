"""Which agent's code runs now, for log records, which know nothing of agents."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from civitas.trace import belongs_to

if TYPE_CHECKING:
    from civitas._agents.message_loop import MessageLoop

_message_loop: Final[ContextVar[MessageLoop | None]] = ContextVar("message_loop", default=None)
"""Set once for each object, since each message would be on the hot path."""


class RunningAgent(NamedTuple):
    """An agent, as far as the code that asks belongs to it."""

    name: str
    in_its_task: bool
    """Whether this is the task of its hooks; else one that it has started, or a thread."""
    trace_id: str | None
    """The trace of the message in hand; outside of the agent's task, of the message whose handler
    has started this code."""


def enter(message_loop: MessageLoop) -> None:
    """From now on, let this task, and what it starts, be an agent's."""
    _message_loop.set(message_loop)


def running_agent() -> RunningAgent | None:
    """Return the agent that this code belongs to, if it is one's."""
    message_loop = _message_loop.get()
    if message_loop is None:
        return None
    try:
        in_its_task = asyncio.current_task() is message_loop.task
    except RuntimeError:  # in a thread
        in_its_task = False
    message = message_loop.sender.current if in_its_task else belongs_to.get()
    return RunningAgent(
        message_loop.sender.name, in_its_task, None if message is None else message.trace_id
    )
