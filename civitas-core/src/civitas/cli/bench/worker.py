"""WorkerProcess: the other process of the system, a fork of the command."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, Self

from civitas._node.build import components_of
from civitas.cli.bench.system import Names, with_options
from civitas.cli.event_loop import run_in_own_loop
from civitas.errors import CivitasError, ConfigurationError, describe
from civitas.worker import Worker

if TYPE_CHECKING:
    from civitas.topology import Topology

_PATIENCE: Final = 15.0
"""Seconds in which the process ends by itself."""


class WorkerProcess:
    """The process; it waits for the options of its transport. Made before there is an event loop.

    A fork has the topology with its plugins as this process has loaded them, also where a program
    brings civitas along, and no secret goes through a file or a command line.
    """

    def __init__(self, topology: Topology, names: Names) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_main, args=(topology, names, theirs, self._pipe), name=names.worker, daemon=True
        )
        self._process.start()
        theirs.close()

    def start(self, options: Any) -> None:
        """Have the process start its worker with these options.

        Raises:
            ConfigurationError: they can't be given to another process.
        """
        try:
            self._pipe.send(options)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                "the options of this transport can't be given to another process: "
                f"{describe(error)}"
            ) from error

    async def wait_running(self) -> None:
        """Return when the worker runs.

        Raises:
            CivitasError: it could not start; the text is that of the error there.
        """
        try:
            problem = await _received(self._pipe)
        except EOFError:
            problem = "it ended before it ran"
        if problem:
            raise CivitasError(f"the worker of this command could not start: {problem}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(_PATIENCE)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


def _main(topology: Topology, names: Names, pipe: Connection, parents: Connection) -> None:
    """Be the process: run the worker until the other end of the pipe is closed."""
    parents.close()
    for number in (signal.SIGINT, signal.SIGHUP):  # from a terminal: the command ends this process
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run_in_own_loop(work(topology, names, pipe))


async def work(topology: Topology, names: Names, pipe: Connection) -> None:
    """Run a worker with the options that come through a pipe, until its other end is closed."""
    with suppress(EOFError, OSError):
        options = await _received(pipe)
        with suppress(asyncio.CancelledError), _ended_with(pipe):
            try:
                components = components_of(
                    with_options(topology, options), names.worker, watched=False
                )
                async with Worker(names.agents(), components=components):
                    pipe.send("")
                    await asyncio.Event().wait()
            except CivitasError as error:
                pipe.send(str(error))


@contextmanager
def _ended_with(pipe: Connection) -> Iterator[None]:
    """Cancel this task when the other end of a pipe is closed, through which nothing more comes.

    A start may wait for ever, such as for a proxy of the command that has been killed.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        loop.remove_reader(pipe.fileno())  # the end of a pipe can be read again and again
        task.cancel()

    loop.add_reader(pipe.fileno(), end)
    try:
        yield
    finally:
        loop.remove_reader(pipe.fileno())


async def _received(pipe: Connection) -> Any:
    """Return what comes through a pipe.

    Raises:
        EOFError: its other end is closed.
    """
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(pipe.fileno(), wake)
    try:
        await readable
    finally:
        loop.remove_reader(pipe.fileno())
    return pipe.recv()
