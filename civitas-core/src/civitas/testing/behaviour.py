"""behaviour: makes a plain pytest test of a coroutine, and checks that nothing is left after it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, ClassVar, Concatenate, Final, TypeAlias, TypeVar

from civitas.plugins import Capabilities
from civitas.testing import leaks
from civitas.testing.network import MakeTransport, Network
from civitas.testing.suite import is_for_stress

_WAITS_IN_A_TEST: Final = 4
"""Longest time of a whole test, in waits of `patience` each."""

_WAITS_IN_VOLUME: Final = 100
"""The same of a test for `--conformance-stress`."""

_TURNS: Final = 10
"""Turns of the event loop for callbacks that `stop` has scheduled, such as a socket's close."""


class Behaviours:
    """Base of the parts of the transport's kit: what an adopter states.

    Attributes:
        capabilities: what the transport claims.
        patience: seconds that one wait may last before its test fails.
    """

    capabilities: ClassVar[Capabilities]
    patience: ClassVar[float] = 5.0


T = TypeVar("T")
PartT = TypeVar("PartT", bound=Behaviours)
Scenario: TypeAlias = Callable[Concatenate[PartT, Network, ...], Coroutine[Any, Any, None]]


def behaviour(scenario: Scenario[PartT]) -> Callable[..., None]:
    """Turn `async def test_x(self, network)` into a test with the fixture `make_transport`.

    What else the scenario takes are fixtures too. It runs in an event loop of its own. Then every
    transport that it made is stopped, and no task, thread or descriptor may be left, nor an error
    that nobody saw.
    """

    def test(self: PartT, make_transport: MakeTransport, **fixtures: Any) -> None:
        with no_threads_left(), asyncio.Runner() as runner:
            network = Network(make_transport, self.capabilities, self.patience)
            waits = _WAITS_IN_VOLUME if is_for_stress(test) else _WAITS_IN_A_TEST
            runner.run(play(scenario(self, network, **fixtures), network, waits))

    test.__name__ = scenario.__name__
    test.__qualname__ = scenario.__qualname__
    test.__module__ = scenario.__module__
    test.__doc__ = scenario.__doc__
    theirs = signature(scenario)
    me, _, *others = theirs.parameters.values()
    ours = Parameter("make_transport", Parameter.POSITIONAL_OR_KEYWORD)
    test.__dict__["__signature__"] = theirs.replace(parameters=[me, ours, *others])
    return test


@contextmanager
def no_threads_left() -> Iterator[None]:
    """Fail when a thread runs after the block that did not run before it."""
    threads = leaks.threads()
    yield
    left = sorted(thread.name for thread in leaks.threads() - threads)
    assert not left, f"threads left after stop: {left}"


async def play(
    scenario: Coroutine[Any, Any, T], network: Network, waits: int = _WAITS_IN_A_TEST
) -> T:
    """Run a scenario to its end, then stop its transports and look for what they left."""
    unseen: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unseen.append(_describe(context)))
    descriptors = leaks.descriptors()
    try:
        outcome = await _in_time(scenario, network.patience * waits)
    except BaseException:
        await network.abandon()
        raise
    await network.close()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    _nothing_left({**descriptors, **network.foreign_descriptors})
    gc.collect()  # asyncio reports an exception that nobody looked at when its future goes
    assert not unseen, f"errors that nobody saw: {unseen}"
    return outcome


async def _in_time(scenario: Coroutine[Any, Any, T], limit: float) -> T:
    try:
        async with asyncio.timeout(limit) as deadline:
            return await scenario
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
