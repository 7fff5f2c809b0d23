"""Restarts: what others want restarted of a tree, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from civitas._node.answered_calls import AnsweredCalls
from civitas.errors import CivitasError, SpawnError, describe, printable
from civitas.process import ProcessStatus
from civitas.transport.tasks import Failed, start_task

if TYPE_CHECKING:
    from civitas._cluster.protocol import Command, Result

_AT_ONCE: Final = 1_000
"""Restarts that other nodes may want at the same time, at most."""

_TEXT: Final = 2_000
"""Bytes of an error's text that are told: they fit in every transport's messages."""


class Restarts:
    """Restarts agents of a tree; who wants one that is being restarted waits for that.

    Args:
        restart: restarts the agent of that name.
        answer: called with (node id, name of the agent, result), as for `AnsweredCalls`.
        failed: called when one has ended unexpectedly.
    """

    def __init__(
        self,
        restart: Callable[[str], Coroutine[Any, Any, None]],
        answer: Callable[[str, str, Result], None],
        failed: Failed,
    ) -> None:
        self._restart = restart
        self._answer = answer
        self._failed = failed
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._calls = AnsweredCalls(self._carry_out, answer, failed)

    async def run(self, agent: str) -> None:
        """Restart an agent; return when the fresh object has started.

        Raises:
            CivitasError: it can't be restarted, or could not start.
        """
        under_way = self._under_way.get(agent)
        if under_way is None:
            under_way = asyncio.get_running_loop().create_future()
            under_way.add_done_callback(_look_at)
            self._under_way[agent] = under_way
            work = self._run(agent, under_way)
            start_task(work, name=f"civitas restart {agent}", failed=self._failed)
        await asyncio.shield(under_way)

    def receive(self, node: str, command: Command) -> None:
        """Restart an agent for another node, and answer it."""
        from civitas._cluster.protocol import Result  # loaded by the cluster alone

        if self._calls.running >= _AT_ONCE:
            self._answer(node, command.agent, Result(command.number, "too many restarts at once"))
        else:
            self._calls.receive(node, command)

    async def end(self) -> None:
        """End those that are under way, and answer no more."""
        await self._calls.end()

    async def _run(self, agent: str, done: asyncio.Future[None]) -> None:
        try:
            await self._restart(agent)
        except CivitasError as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        finally:
            del self._under_way[agent]

    async def _carry_out(self, command: Command) -> Result:
        from civitas._cluster.protocol import Result

        try:
            await self.run(command.agent)
        except SpawnError as error:
            text = printable(describe(error).text, _TEXT)
            return Result(command.number, text, ProcessStatus.CRASHED.value)
        except CivitasError as error:
            return Result(command.number, printable(describe(error).text, _TEXT))
        return Result(command.number, "", ProcessStatus.RUNNING.value)


def _look_at(done: asyncio.Future[None]) -> None:
    """Take note of an error that nobody awaits any more."""
    if not done.cancelled():
        done.exception()
