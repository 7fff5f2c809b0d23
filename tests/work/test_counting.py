"""What is counted, seen where it is known what is done."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from functools import partial

import pytest
import zmq

from civitas import Message
from civitas.serializer import MsgpackSerializer
from support.budgets import Budgets
from support.work import Work, run_counted, work_of


async def _nothing() -> None:
    pass


async def one_of_each() -> None:
    """Do one of each; sockets are used by `use_sockets`."""
    serializer = MsgpackSerializer()
    serializer.deserialize(serializer.serialize(Message(sender="a", recipient="b")))
    loop = asyncio.get_running_loop()
    loop.create_future().cancel()
    loop.call_soon(int)
    loop.call_later(60.0, int).cancel()
    await asyncio.create_task(_nothing())


async def wait() -> None:
    """Wait for what comes from another thread: in a turn that has nothing else to do."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    await asyncio.to_thread(loop.call_soon_threadsafe, woken.set)
    await woken.wait()


async def use_sockets(zeromq: zmq.Socket[bytes]) -> None:
    """Find nothing in a socket of pyzmq, ask for its state, and send over a pair of others."""
    with pytest.raises(zmq.Again):
        zeromq.recv(zmq.NOBLOCK)
    zeromq.get(zmq.EVENTS)
    zeromq.getsockopt(zmq.EVENTS)
    one, other = socket.socketpair()
    with one, other:
        one.send(b"x")
        other.recv(1)


async def counted_work(counted: Counter[str]) -> Work:
    return await work_of(counted, one_of_each, 4)


async def counted_waits(counted: Counter[str]) -> Work:
    return await work_of(counted, wait, 4)


async def counted_sockets(counted: Counter[str]) -> Work:
    with zmq.Context() as context, context.socket(zmq.PAIR) as zeromq:
        return await work_of(counted, partial(use_sockets, zeromq), 4)


def test_each_kind_of_work_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_counted(monkeypatch, counted_work)
    assert (found.encode, found.decode, found.tasks, found.futures, found.timers) == (1, 1, 1, 1, 1)
    # The call; the start of the task, and that of what awaits it.
    assert found.calls == 3
    assert (found.turns, found.waits, found.sends, found.reads) == (2, 0, 0, 0)


def test_a_turn_in_which_a_process_may_sleep_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_counted(monkeypatch, counted_waits).waits >= 1


def test_calls_of_sockets_are_counted_also_those_that_find_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = run_counted(monkeypatch, counted_sockets)
    assert (found.sends, found.reads, found.looks) == (1, 2, 2)


def test_what_is_above_its_budget_is_named_with_what_was_found_and_allowed() -> None:
    budgets = Budgets(
        """
                  tasks  timers
        in b ask  1      .5
        """
    )
    budgets.check("in b ask", [1, 0.5])
    with pytest.raises(AssertionError, match=r"^in b ask .*: tasks: found 2, allowed 1$"):
        budgets.check("in b ask", [2, 0.5])
