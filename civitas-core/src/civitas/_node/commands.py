"""Commands: carries out what the primary wants done to the agents of a node, each command once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from civitas._agents.slot import AgentSlot
from civitas._cluster.protocol import Command, Result
from civitas.errors import SpawnError, describe
from civitas.transport.tasks import Failed, cancel_task, start_task

_REMEMBERED: Final = 1000
"""Commands that are remembered, so that one that comes twice is carried out once."""


class Commands:
    """The commands of the primary to one node.

    Args:
        slots: the node's agents, by name.
        answer: called with (node id, result) when a command is done.
        failed: called when one has ended unexpectedly; see `civitas.transport.tasks`.
    """

    def __init__(
        self,
        slots: Mapping[str, AgentSlot],
        answer: Callable[[str, Result], None],
        failed: Failed,
    ) -> None:
        self._slots = slots
        self._answer = answer
        self._failed = failed
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._ended = False

    def receive(self, node: str, command: Command) -> None:
        """Carry out a command of a node, unless that has been done."""
        key = (node, command.number)
        if key in self._tasks:
            return
        self._tasks[key] = start_task(
            self._run(node, command), name="civitas command", failed=self._failed
        )
        if len(self._tasks) > _REMEMBERED:
            oldest = next(iter(self._tasks))
            if self._tasks[oldest].done():
                del self._tasks[oldest]

    async def end(self) -> None:
        """Carry out no more: an agent that is started now would be left behind."""
        self._ended = True
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            cancel_task(task)
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, node: str, command: Command) -> None:
        slot = self._slots.get(command.agent)
        error = ""
        if self._ended:
            error = "its process is stopping"
        elif slot is None or slot.finished or command.verb not in {"restart", "stop"}:
            error = f"there is no agent to {command.verb} of that name"
        else:
            await slot.stop(drain=False)
            if command.verb == "restart":
                try:
                    await slot.start(fresh=True)
                except SpawnError as failure:
                    error = describe(failure).text
        incarnation = 0 if slot is None else slot.restarts
        self._answer(node, Result(command.number, error, incarnation))
