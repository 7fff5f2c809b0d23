"""RunningNode: what `civitas run` does with a node, from its start to the end of the process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from civitas.cli.entry import report
from civitas.cli.exit_codes import FAILURE
from civitas.cli.foreign_code import own_loggers_enabled
from civitas.cli.notices import say_done
from civitas.cli.output import write_error
from civitas.cli.process_end import LAST_GRACE, end_within
from civitas.cli.signals import stop_on_signals, write_from_handler
from civitas.errors import IdentityError, SpawnError, describe, logger_of
from civitas.runtime import Runtime

if TYPE_CHECKING:
    from civitas._health.notify import Notifier
    from civitas.worker import Worker

_LONGEST_PATIENCE: Final = 5.0
"""Seconds that threads and tasks of agents get at most when all agents have ended."""


class RunningNode:
    """A node that runs until it ends; the first signal stops it in order.

    `notifier` tells a service manager how it is.
    """

    def __init__(self, node: Runtime | Worker, notifier: Notifier | None = None) -> None:
        self._node = node
        node.notifier = notifier
        self._stopped: float | None = None
        """When a signal has stopped it (`time.monotonic`)."""
        self._exit: BaseException | None = None
        """What code of an agent has raised to end the process, outside of its hooks."""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main(self) -> int:
        """Run the node, and return the exit code of the process; its end has a time limit then."""
        try:
            status = await self._run()
        except Exception as error:  # noqa: BLE001 - said now: the loop may take long to end
            status = report(error)
        if status == 0:
            say_done()
        self._limit_end(status)
        return status

    async def _run(self) -> int:
        node, self._loop = self._node, asyncio.get_running_loop()

        def stop(name: str) -> None:
            self._stopped = time.monotonic()
            write_from_handler(f"{name}: finishing the work in hand; once more to stop at once")
            self._begin_stop()

        def stop_at_once(name: str) -> None:
            write_from_handler(f"{name} again: stopping at once")

        stop_on_signals(stop, stop_at_once)
        try:
            await node.start()
        except SpawnError:
            if not (self._stopped or self._exit) or node.failure is not None:
                raise
            status = 0  # the signal came while the node started
        else:
            own_loggers_enabled()
            count = len(node.all_agents())
            at = f", health at {node.health_url}" if node.health_url else ""
            write_error(f"running: {count} agent{'s'[: count != 1]}{at}; Ctrl-C stops")
            status = await (node.wait() if isinstance(node, Runtime) else node.wait_until_stopped())
        return self._judged(status)

    def exited(self, error: BaseException) -> None:
        """Stop, and fail: code of an agent wants the process to exit, and it is no handler's."""
        logger_of("civitas.cli").error(
            "a task or a callback of an agent raised %s: ending", describe(error), exc_info=error
        )
        if self._exit is None:
            self._exit = error
            self._begin_stop()

    def _begin_stop(self) -> None:
        """Stop the node in order; called in a signal handler, or in the event loop."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._node.stop(), self._loop)

    def _judged(self, status: int) -> int:
        """Say why the node has failed, if it has; return the exit code."""
        failure = self._node.failure
        if self._exit is not None:
            write_error(
                f"error: an agent's code raised {describe(self._exit)} outside of its hooks"
            )
            return FAILURE
        if failure is not None and self._stopped is None:
            what = describe(failure)
            if isinstance(failure, IdentityError):
                write_error(f"error: this process can't stay in the system: {what.text}")
            else:
                write_error(f"error: the root supervisor gave up: {what}")
        return status

    def _limit_end(self, status: int) -> None:
        """Give what agents have left running the rest of their `shutdown_timeout`, or less."""
        patience = max((each.shutdown_timeout for each in self._node.all_agents()), default=0.0)
        if self._stopped is not None:
            patience -= time.monotonic() - self._stopped
        patience = min(max(patience, 0.0), _LONGEST_PATIENCE)
        end_within(patience + LAST_GRACE, status, asyncio.get_running_loop())
