"""AnsweredCalls: commands of other nodes, each carried out once, however often it comes.

A command comes again until its result has arrived, so results are kept and sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from civitas.transport.tasks import Failed, cancel_task, start_task

if TYPE_CHECKING:
    from civitas._cluster.protocol import Command, Result

_REMEMBERED: Final = 1000
"""Commands whose results are kept; a primary has one or two for each agent."""


class AnsweredCalls:
    """The commands of other nodes to this one.

    Args:
        carry_out: does what a command says, and returns what became of it.
        answer: called with (node id, name of the agent, result) when a command is done, and each
            time it comes again.
        failed: called when one has ended unexpectedly; see `civitas.transport.tasks`.
    """

    def __init__(
        self,
        carry_out: Callable[[Command], Coroutine[Any, Any, Result]],
        answer: Callable[[str, str, Result], None],
        failed: Failed,
    ) -> None:
        self._carry_out = carry_out
        self._answer = answer
        self._failed = failed
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._results: dict[tuple[str, int], Result] = {}

    @property
    def running(self) -> int:
        """How many are being carried out."""
        return len(self._running)

    def receive(self, node: str, command: Command) -> None:
        """Carry out a command of a node; one that has been, is answered again."""
        key = (node, command.number)
        if key in self._results:
            self._answer(node, command.agent, self._results[key])
        elif key not in self._running:
            work = self._run(node, command)
            self._running[key] = start_task(work, name="civitas command", failed=self._failed)

    async def end(self) -> None:
        """End those that are being carried out."""
        tasks = list(self._running.values())
        for task in tasks:
            cancel_task(task)
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, node: str, command: Command) -> None:
        key = (node, command.number)
        try:
            result = await self._carry_out(command)
        finally:
            del self._running[key]
        self._results[key] = result
        if len(self._results) > _REMEMBERED:
            del self._results[next(iter(self._results))]
        self._answer(node, command.agent, result)
