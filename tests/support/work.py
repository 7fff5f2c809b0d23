"""Counts the work that messages make in an event loop: what is done for each, in no time unit.

Theory. A time depends on the machine, and on who else uses it; what is done for a message doesn't.
So the loop, its selector, and the libraries that pack, send and receive are the real ones, and
count. What other threads do (control planes, proxies) is not counted. What the loop does besides
(pings, credit) is, so a quarter of many rounds must be free of it.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from functools import partialmethod
from typing import Any, Final, NamedTuple

import msgpack
import pytest
import zmq

WARM_UP: Final = 10
"""Rounds before those that are counted: caches, credit and timers are there then."""


class Work(NamedTuple):
    """What is done for one message, at both of its ends.

    Attributes:
        encode: values packed.
        decode: bodies unpacked, or walked through.
        tasks: tasks started.
        futures: futures made.
        calls: calls put into the queue of the loop, those that go on with a task included.
        timers: calls put off to a time.
        turns: turns of the loop; each is a system call that asks for events.
        waits: turns in which there was nothing else to do, so that the process may sleep.
        events: descriptors that were found ready.
        sends: attempts to hand a part, or some bytes, to a socket.
        reads: attempts to take one from a socket.
        looks: questions to a socket about its state.
    """

    encode: float
    decode: float
    tasks: float
    futures: float
    calls: float
    timers: float
    turns: float
    waits: float
    events: float
    sends: float
    reads: float
    looks: float


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts; `counted` is by the names of `Work`."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        super().__init__(_CountingSelector(self.counted))
        self.set_task_factory(self._start_task)

    def create_future(self) -> asyncio.Future[Any]:
        self.counted["futures"] += 1
        return super().create_future()

    def call_soon(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        self.counted["calls"] += 1
        return super().call_soon(*args, **kwargs)

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.counted["timers"] += 1
        return super().call_at(*args, **kwargs)

    def _start_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        self.counted["tasks"] += 1
        return asyncio.Task(coro, loop=loop, **kwargs)


class _CountingSelector(selectors.DefaultSelector):
    def __init__(self, counted: Counter[str]) -> None:
        super().__init__()
        self._counted = counted

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(timeout)
        self._counted["turns"] += 1
        self._counted["waits"] += timeout is None or timeout > 0
        self._counted["events"] += len(events)
        return events


def run_counted(
    patch: pytest.MonkeyPatch, main: Callable[[Counter[str]], Coroutine[Any, Any, Work]]
) -> Work:
    """Run `main` in a loop that counts, with libraries that do, and give it what they count."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner, patch.context() as within:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        _count_libraries(within, loop.counted)
        return runner.run(main(loop.counted))


async def work_of(
    counted: Counter[str], act: Callable[[], Awaitable[object]], rounds: int, messages: int = 1
) -> Work:
    """Act again and again; return the lower quartile of what was done for each message.

    Args:
        counted: what the loop counts.
        act: sends so many messages, and returns when they are handled.
        rounds: how often.
        messages: how many.
    """
    found: list[Counter[str]] = []
    for _ in range(WARM_UP + rounds):
        before = counted.copy()
        await act()
        after = counted.copy()
        after.subtract(before)
        found.append(after)
    quartiles = (
        sorted(each[name] for each in found[WARM_UP:])[rounds // 4] for name in Work._fields
    )
    return Work(*(round(each / messages, 2) for each in quartiles))


Counting = Callable[[str, Callable[..., Any]], Callable[..., Any]]


def _count_libraries(patch: pytest.MonkeyPatch, counted: Counter[str]) -> None:
    """Have msgpack and sockets count what this thread does with them."""
    here = threading.get_ident()

    def counting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == here:
                counted[name] += 1
            return original(*args, **kwargs)

        return call

    for name, methods in (("sends", ("send", "sendmsg")), ("reads", ("recv", "recv_into"))):
        for method in methods:
            original = getattr(socket.socket, method)
            patch.setattr(socket.socket, method, counting(name, original))
    _count_zmq(patch, counting)
    _count_msgpack(patch, counting)


def _count_zmq(patch: pytest.MonkeyPatch, counting: Counting) -> None:
    """Have contexts make sockets that count the calls of their compiled part, whoever calls it."""
    compiled = zmq.backend.Socket

    class Compiled(compiled):
        send = counting("sends", compiled.send)
        recv = counting("reads", compiled.recv)
        get = counting("looks", compiled.get)
        if hasattr(compiled, "recv_into"):  # from pyzmq 26.4 on
            recv_into = counting("reads", compiled.recv_into)

    class Socket(zmq.Socket, Compiled):
        getsockopt = Compiled.get  # pyzmq's own name for it goes past what stands in between

    make = zmq.Context.socket
    patch.setattr(zmq.Context, "socket", partialmethod(make, socket_class=Socket))


def _count_msgpack(patch: pytest.MonkeyPatch, counting: Counting) -> None:
    """Put what counts wherever a module of ours has a class or a function of msgpack."""

    class Packer(msgpack.Packer):
        pack = counting("encode", msgpack.Packer.pack)

    class Unpacker(msgpack.Unpacker):
        feed = counting("decode", msgpack.Unpacker.feed)

    made = {msgpack.Packer: Packer, msgpack.Unpacker: Unpacker}
    unpackb = msgpack.unpackb
    counted_unpackb = counting("decode", unpackb)
    ours = [each for name, each in list(sys.modules.items()) if name.startswith("civitas")]
    for module in (msgpack, *ours):
        for name, value in list(vars(module).items()):
            owner = type(getattr(value, "__self__", None))
            if value is unpackb:
                patch.setattr(module, name, counted_unpackb)
            elif value is msgpack.Packer or value is msgpack.Unpacker:
                patch.setattr(module, name, made[value])
            elif owner in made:  # a method of one that was made with the module
                patch.setattr(module, name, getattr(made[owner](), value.__name__))
