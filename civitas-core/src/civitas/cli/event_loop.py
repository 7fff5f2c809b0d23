"""The event loop of a command.

A module of agents may choose the event loops of its program: `uvloop.install()` does. Those are the
loops of `run`, where the agents run. A command that only talks or watches has asyncio's own.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from civitas.errors import CivitasError, describe, is_interrupt

T = TypeVar("T")


def keep_objects() -> None:
    """Begin to collect garbage, of what is made from now on.

    What was imported and built so far stays, so no collection need look at it.
    """
    gc.freeze()
    gc.enable()


def run_in_own_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as `asyncio.run` does, in a loop of asyncio whatever others have chosen.

    Raises:
        CivitasError: other code in that loop has raised SystemExit.
    """
    import asyncio  # help, and commands that run no event loop, don't load it

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        try:
            return runner.run(main)
        except SystemExit as error:
            raise CivitasError(f"code of a plugin raised {describe(error)}") from error


def run_with_agents(main: Coroutine[Any, Any, T], exited: Callable[[BaseException], None]) -> T:
    """Run a coroutine in a loop that agents share.

    A SystemExit that leaves a task or a callback of theirs ends a loop, in the middle of anything.
    Here `exited` is called with it, and the loop goes on; so it is with a KeyboardInterrupt that
    code has raised.
    """
    import asyncio

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)
        while True:
            try:
                return loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done() or is_interrupt(error):
                    raise
                loop.call_soon(exited, error)
