"""behaviour: makes a plain pytest test of a coroutine, and checks that nothing is left after it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from civitas.plugins import Capabilities
from civitas.testing import leaks
from civitas.testing.network import MakeTransport, Network

_WAITS_IN_A_TEST: Final = 4
"""Longest time of a whole test, in waits of `patience` each."""

_TURNS: Final = 10
"""Turns of the event loop for callbacks that `stop` has scheduled, such as a socket's close."""


class Behaviours:
    """Base of the parts of the transport's kit: what an adopter tells them.

    Attributes:
        capabilities: what the transport claims.
        patience: seconds that one wait may last before its test fails.
    """

    capabilities: ClassVar[Capabilities]
    patience: ClassVar[float] = 5.0


PartT = TypeVar("PartT", bound=Behaviours)
Scenario: TypeAlias = Callable[[PartT, Network], Coroutine[Any, Any, None]]


def behaviour(scenario: Scenario[PartT]) -> Callable[[PartT, MakeTransport], None]:
    """Turn `async def test_x(self, network)` into a test with the fixture `make_transport`.

    The scenario runs in an event loop of its own. Then every transport that it made is stopped,
    and no task, thread or descriptor may be left, nor an error that nobody saw.
    """

    def test(self: PartT, make_transport: MakeTransport) -> None:
        threads = leaks.threads()
        with asyncio.Runner() as runner:
            network = Network(make_transport, self.capabilities, self.patience)
            runner.run(_play(scenario(self, network), network))
        left = sorted(thread.name for thread in leaks.threads() - threads)
        assert not left, f"threads left after stop: {left}"

    test.__name__ = scenario.__name__
    test.__qualname__ = scenario.__qualname__
    test.__module__ = scenario.__module__
    test.__doc__ = scenario.__doc__
    return test


async def _play(scenario: Coroutine[Any, Any, None], network: Network) -> None:
    unseen: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unseen.append(_describe(context)))
    descriptors = leaks.descriptors()
    try:
        await _in_time(scenario, network.patience * _WAITS_IN_A_TEST)
    except BaseException:
        await network.abandon()
        raise
    await network.close()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    _nothing_left(descriptors)
    gc.collect()  # an exception that nobody looked at is told when its task or future goes
    assert not unseen, f"errors that nobody saw: {unseen}"


async def _in_time(scenario: Coroutine[Any, Any, None], limit: float) -> None:
    try:
        async with asyncio.timeout(limit) as deadline:
            await scenario
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise AssertionError(
            f"the transport hangs: still waiting after {limit:g} s; the step is in the traceback"
        ) from error


def _nothing_left(descriptors: dict[int, str]) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    left = sorted(f"{task.get_name()}: {task.get_coro()}" for task in tasks)
    assert not left, f"tasks left after stop: {left}"
    opened = leaks.opened_since(descriptors)
    assert not opened, f"file descriptors left after stop: {opened}"


def _describe(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message')}: {error!r}" if error else str(context.get("message"))
