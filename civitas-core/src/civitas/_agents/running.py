"""Which agent's code runs now, for log records, which know nothing of agents."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from civitas._bus.sender import Sender, sender_in_task
from civitas.trace import belongs_to


class RunningAgent(NamedTuple):
    """An agent, as far as the code that asks belongs to it."""

    name: str
    in_its_task: bool
    """Whether this is a task of its hooks; else one that it has started, or a thread."""
    trace_id: str | None
    """The trace of the message in hand; outside of the agent's tasks, of the message whose handler
    has started this code."""


def enter(sender: Sender) -> None:
    """From now on, let this task, and what it starts, be an agent's."""
    sender.task = asyncio.current_task()
    sender_in_task.set(sender)


def running_agent() -> RunningAgent | None:
    """Return the agent that this code belongs to, if it is one's."""
    sender = sender_in_task.get()
    if sender is None:
        return None
    try:
        in_its_task = asyncio.current_task() is sender.task
    except RuntimeError:  # in a thread
        in_its_task = False
    message = sender.current if in_its_task else belongs_to.get()
    return RunningAgent(sender.name, in_its_task, None if message is None else message.trace_id)
