"""What is promised between processes, and between threads: frames cross, and come back."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Final

from civitas import envelope
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities
from civitas.testing.behaviour import Behaviours, behaviour, no_threads_left, play
from civitas.testing.network import MakeTransport, Network
from civitas.testing.suite import for_claim
from civitas.transport import Transport

_ADDRESS: Final = "oracle"
_CONTROL: Final = f"{RESERVED_PREFIX}oracle"
_ASKING: Final = 600.0
"""Seconds of a request's timeout that no test waits for."""


class ProcessBehaviours(Behaviours):
    """Two transports that do not share their memory."""

    @for_claim("cross_process", probe=True)
    def test_another_process_answers(self, make_transport: MakeTransport) -> None:
        """A request reaches an agent in another process, and its answer comes back.

        The second transport is made here, and started in a process that is forked from this one.

        If this fails: the two share an object, which other processes don't have; or making a
        transport already opens what only `start` should open.
        """
        network = Network(make_transport, self.capabilities, self.patience)
        mine, theirs = network.make(), network.make()
        other = _elsewhere(theirs, self.capabilities, self.patience)
        with other as pipe, no_threads_left(), asyncio.Runner() as runner:
            answerer = runner.run(play(_ask(network, mine, pipe), network))
        assert answerer != os.getpid(), "the request was answered in its own process"

    @for_claim("cross_process")
    @behaviour
    async def test_a_second_instance_runs_in_a_thread(self, network: Network) -> None:
        """Two transports of one process work at once, one in a thread with its own event loop.

        Each process has two: the second one, whose context says `control`, carries only system
        addresses.

        If this fails: something is shared between the two, such as a lock or a queue that belongs
        to one event loop; or `start` does what only the main thread may, such as `signal.signal`.
        """
        asker, answerer = await network.start(), network.make(control=True)
        outcome, stop = SimpleQueue[str](), threading.Event()
        serve = _serve_in_a_thread(answerer, network, outcome, stop)
        serving = network.spawn(asyncio.to_thread(asyncio.run, serve))
        try:
            problem = await network.within(asyncio.to_thread(outcome.get), "the other thread")
            assert not problem, f"in a thread of its own it fails: {problem}"
            await network.ready()
            request = asker.request(_CONTROL, network.frame(b"?"), _ASKING)
            await network.within(request, "an answer from the other thread")
        finally:
            stop.set()
            await network.within(asyncio.wait([serving]), "the other thread to end")


async def _serve_in_a_thread(
    transport: Transport, network: Network, outcome: SimpleQueue[str], stop: threading.Event
) -> None:
    """Answer requests in the event loop of another thread until `stop` is set."""
    mine = Network(lambda: transport, network.capabilities, network.patience)
    try:
        await mine.serve(await mine.start(), _CONTROL)
    except BaseException as error:
        outcome.put(repr(error))
        raise
    outcome.put("")
    await asyncio.to_thread(stop.wait)
    await mine.close()


async def _ask(network: Network, asker: Transport, pipe: Connection) -> int:
    """Ask the other process which one it is."""
    await network.begin(asker)
    ready = asyncio.to_thread(pipe.poll, network.patience)
    assert await ready, f"waited {network.patience:g} s in vain for the other process to be ready"
    problem = pipe.recv()
    assert not problem, f"the other process failed: {problem}"
    await network.ready()
    request = asker.request(_ADDRESS, network.frame(b"who are you?"), _ASKING)
    answer = await network.within(request, "an answer of the other process")
    return int(envelope.open(answer).body)


@contextmanager
def _elsewhere(
    transport: Transport, capabilities: Capabilities, patience: float
) -> Iterator[Connection]:
    """Run a transport in a forked process; give the pipe on which it says that it is ready.

    The process ends with the block: when the other end of its pipe is closed.
    """
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    process = fork.Process(
        target=_answer, args=(transport, capabilities, patience, here, there), daemon=True
    )
    with warnings.catch_warnings():  # Python 3.12 warns where this process has other threads
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()


def _answer(
    transport: Transport,
    capabilities: Capabilities,
    patience: float,
    here: Connection,
    there: Connection,
) -> None:
    """Answer requests with the id of this process until the pipe is closed at its other end."""
    here.close()  # the copy that was forked along would keep the pipe open

    async def serve() -> None:
        network = Network(lambda: transport, capabilities, patience)
        try:
            started = await network.start()
            await network.serve(started, _ADDRESS, b"%d" % os.getpid())
        except BaseException as error:
            there.send(repr(error))
            raise
        there.send("")
        await asyncio.to_thread(_wait_for_the_end, there)
        await network.close()

    asyncio.run(serve())


def _wait_for_the_end(pipe: Connection) -> None:
    try:
        pipe.recv()
    except EOFError:
        return
