"""Own work of agents, recorded: each tick that is queued, and each step of a background task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from civitas._bus.bus import MessageBus
from civitas._bus.mailbox import Item
from civitas._bus.timers import Timer
from civitas.testing.simulation import world as worlds
from civitas.testing.simulation.history import AgentObject, History, RecordedTimer, history_of
from civitas.testing.simulation.world import World

T = TypeVar("T")


def record_timer(timer: Timer, made: AgentObject, period: float | None, first: float) -> Timer:
    """Have a timer that was just made leave a history.

    Args:
        timer: the one.
        made: the object that has made it.
        period: seconds between its ticks; None for a single one.
        first: seconds until its first one.
    """
    history = _history()
    recorded = history.timer(made, period, first)
    if timer.active:
        _timers(history.world)[timer] = recorded
        timer.__class__ = _Timer
    else:
        history.timer_ended(recorded)  # its agent stops already
    return timer


def record_background(work: object, made: AgentObject) -> Any:
    """Return a coroutine whose steps are noted; what is none is for `background` to refuse."""
    return _Work(work, made) if isinstance(work, Coroutine) else work


def _timers(world: World) -> dict[Timer, RecordedTimer]:
    timers: dict[Timer, RecordedTimer] = world.parts.setdefault(Timer, {})
    return timers


def _history() -> History:
    world = worlds.current
    assert world is not None
    return history_of(world)


class _Timer(Timer):
    """A timer whose ticks are noted when they are queued."""

    __slots__ = ()

    def tick(self, bus: MessageBus, name: str) -> Item:
        item, history = super().tick(bus, name), _history()
        history.ticked(_timers(history.world)[self], bus.read(item))
        return item

    def disarm(self) -> None:
        history = _history()
        history.timer_ended(_timers(history.world)[self])
        super().disarm()


class _Work(Coroutine[Any, Any, T]):
    """The coroutine of a background task: each step of it is noted."""

    def __init__(self, work: Coroutine[Any, Any, T], made: AgentObject) -> None:
        self.__name__ = getattr(work, "__name__", "unnamed")
        self._work = work
        self._made = made

    def send(self, value: Any) -> Any:
        return self._step(self._work.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._work.throw, *error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Self:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        history = _history()
        history.stepped(self._made, self.__name__)
        try:
            return step(*arguments)
        except (StopIteration, asyncio.CancelledError):
            raise
        except BaseException as error:
            history.background_raised(self._made, self.__name__, error)
            raise
