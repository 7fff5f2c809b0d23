"""Recording: agents and buses of a system, made to leave a history, and to suffer what is planned.

A recorded agent is of a class below its own: all of its author's code runs as it stands, and every
object that a restart makes is recorded too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any, Final

from civitas._bus.bus import MessageBus
from civitas.errors import ErrorAction
from civitas.messages import REPLY_PREFIX, Message
from civitas.process import AgentProcess, ProcessStatus, Retry, Timer
from civitas.testing.simulation import world as worlds
from civitas.testing.simulation.history import (
    ACCEPTED,
    ANSWERED,
    DONE,
    AgentObject,
    History,
    history_of,
)
from civitas.testing.simulation.own_work import record_background, record_timer
from civitas.testing.simulation.world import World

PROBE: Final = "simulation.probe"
"""Type of the message by which a simulation asks whether an agent runs; authors never see it."""


class InjectedError(RuntimeError):
    """What an agent raises because the plan of faults says so."""


class Injections:
    """What agents are to suffer next, by kind and agent: how often, and for how long."""

    def __init__(self) -> None:
        self.pending: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str, str], float] = {}

    def plan(self, kind: str, agent: str, seconds: float) -> None:
        """Have an agent suffer something once more."""
        self.pending[kind, agent] += 1
        self.seconds[kind, agent] = seconds

    def take(self, kind: str, agent: str) -> float | None:
        """Return for how many seconds it is to suffer now; None for not at all."""
        if not self.pending[kind, agent]:
            return None
        self.pending[kind, agent] -= 1
        return self.seconds[kind, agent]

    def clear(self) -> None:
        """Plan nothing any more."""
        self.pending.clear()


def injections_of(world: World) -> Injections:
    """Return the injections of a world."""
    injections = world.parts.get(Injections)
    if injections is None:
        injections = world.parts[Injections] = Injections()
    assert isinstance(injections, Injections)
    return injections


def record(agent: AgentProcess) -> None:
    """Have an agent, and all objects that are made in its stead, leave a history."""
    base = type(agent)
    if base not in _recorded:
        _recorded[base] = _recorded_class(base)
    agent.__class__ = _recorded[base]


_recorded: Final[dict[type, type[AgentProcess]]] = {}


def _recorded_class(base: type[AgentProcess]) -> type[AgentProcess]:
    """Return a class of the same name whose hooks are recorded."""
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": None}
    return type(base.__name__, (_Recorded, base), names)


class _Recorded(AgentProcess):
    """The hooks, each around that of the author."""

    _civitas_object: AgentObject | None = None

    async def on_start(self) -> None:
        history, injections = _history(), _injections()
        made = self._civitas_object = history.starting(self.name)
        same = (e for e in history.objects if (e.agent, e.process) == (self.name, made.process))
        restarted = len(list(same)) > 1
        try:
            await _sleep(injections.take("slow_start", self.name))
            if restarted and injections.take("start_failure", self.name) is not None:
                raise InjectedError("on_start fails")
            await super().on_start()
        except BaseException as error:
            made.outcome = type(error).__name__
            if isinstance(error, Exception):
                history.crashed(self.name, "on_start")
            history.note("raised", f"{self.name}#{made.number}", "on_start", made.outcome)
            raise
        if injections.take("done_at_start", self.name) is not None:
            self.stop()
        made.outcome = DONE
        made.concurrency = self.concurrency
        history.note("started", f"{self.name}#{made.number}")

    async def handle(self, message: Message) -> Message | None:
        if message.type == PROBE:
            _history().probes_handled += 1
            return self.reply({})
        made = self._civitas_object
        assert made is not None
        history = _history()
        handling = history.handling(self.name, message, made.number)
        try:
            reply = await self._handle(message)
        except BaseException as error:
            history.handled_to(handling, type(error).__name__)
            raise
        history.handled_to(handling, DONE)
        return reply

    async def on_error(self, error: Exception, message: Message) -> Any:
        action = await super().on_error(error, message)
        made = self._civitas_object
        assert made is not None
        before = made.retries[message.id]
        if before < self.max_retries and (isinstance(action, Retry) or action is ErrorAction.RETRY):
            made.retries[message.id] += 1
        elif action is not ErrorAction.SKIP and action is not ErrorAction.STOP:
            _history().not_done(self.name)
            # What crashes while it is stopped anyway is none of its supervisor's business.
            stopping = self.status is ProcessStatus.STOPPING
            again = message.attempt > before
            what = "again" if again else "while stopping" if stopping else "handle"
            _history().crashed(self.name, what)
        return action

    def after(self, seconds: float, payload: Any, message_type: str = "message") -> Timer:
        timer = super().after(seconds, payload, message_type)
        return self._civitas_recorded(timer, None, seconds)

    def every(self, seconds: float, payload: Any, message_type: str = "message") -> Timer:
        timer = super().every(seconds, payload, message_type)
        return self._civitas_recorded(timer, float(seconds), seconds)

    def _civitas_recorded(self, timer: Timer, period: float | None, first: float) -> Timer:
        assert self._civitas_object is not None
        return record_timer(timer, self._civitas_object, period, float(first))

    def background(self, coro: Any, name: str | None = None) -> asyncio.Task[Any]:
        assert self._civitas_object is not None
        return super().background(record_background(coro, self._civitas_object), name)

    async def on_stop(self) -> None:
        made = self._civitas_object
        assert made is not None
        history = _history()
        history.stopping(made)
        try:
            await _sleep(_injections().take("slow_stop", self.name))
            await super().on_stop()
        finally:
            made.ended_at = history.now
            history.note("stopped", f"{self.name}#{made.number}")

    def stop(self) -> Any:
        _history().said_done(self.name)
        return super().stop()

    async def _handle(self, message: Message) -> Message | None:
        injections = _injections()
        await _sleep(injections.take("slow_handle", self.name))
        blocked = injections.take("block", self.name)
        if blocked is not None:
            _history().stalled(blocked)
            _world().sleep(blocked)
            await asyncio.sleep(0)  # the rest comes after it, also for who looks from outside
        if injections.take("crash", self.name) is not None:
            raise InjectedError("handle fails")
        reply = await super().handle(message)
        if injections.take("done", self.name) is not None:
            self.stop()
        if injections.take("late_crash", self.name) is not None:
            raise InjectedError("handle fails at its end")
        return reply


def record_bus(bus: MessageBus) -> None:
    """Have all that a node sends be part of the history."""
    # On the object, before anyone has looked it up: senders call `bus.send` each time.
    vars(bus).update(send=partial(_send, bus.send), ask=partial(_ask, bus.ask))


async def _send(send: Any, message: Message, *, own: bool = False) -> None:
    if message.recipient.startswith(REPLY_PREFIX):
        await send(message, own=own)
        return
    history = _history()
    sending = history.sending(message, None, is_ask=False)
    try:
        await send(message, own=own)
    except BaseException as error:
        history.sent(sending, type(error).__name__)
        raise
    history.sent(sending, ACCEPTED)


async def _ask(ask: Any, message: Message, timeout: float | None, **how: bool) -> Message:
    history = _history()
    if message.type == PROBE:
        probed: Message = await ask(message, timeout, **how)
        return probed
    sending = history.sending(message, timeout, is_ask=True)
    try:
        reply: Message = await ask(message, timeout, **how)
    except BaseException as error:
        history.sent(sending, type(error).__name__)
        raise
    history.sent(sending, ANSWERED)
    return reply


async def _sleep(seconds: float | None) -> None:
    if seconds is not None:
        await asyncio.sleep(seconds)


def _world() -> World:
    world = worlds.current
    assert world is not None
    return world


def _history() -> History:
    return history_of(_world())


def _injections() -> Injections:
    return injections_of(_world())
