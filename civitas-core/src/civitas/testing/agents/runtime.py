"""ObservedRuntime: the runtime of a harness: who has something to do, and what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from types import CodeType, FrameType
from typing import Any, Final

from civitas._agents.slot import AgentSlot
from civitas.errors import (
    AskDeadlockError,
    MailboxFullError,
    MessageRoutingError,
    MessageTooLargeError,
    MessageValidationError,
    NotConnectedError,
    SerializationError,
    printable,
)
from civitas.messages import REPLY_PREFIX, Message
from civitas.process import AgentProcess, ProcessStatus
from civitas.runtime import Runtime
from civitas.supervisor import Supervisor
from civitas.testing.simulation.errors import is_of_a_library

_SHOWN: Final = 200
"""Bytes of a payload that an error shows."""


class ObservedRuntime(Runtime):
    """A runtime that a harness looks into."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(supervisor)
        self.sent: list[Message] = []
        """What its agents and the test have sent, as it was when they did, in that order."""
        # On the object, before anyone has looked it up: senders call `bus.send` each time.
        vars(self._bus).update(
            send=partial(self._send, self._bus.send), ask=partial(self._ask, self._bus.ask)
        )

    def agent(self, name: str) -> AgentProcess:
        """Return the current object of an agent that there is."""
        return self._slots[name].agent

    def busy(self) -> list[str]:
        """Return the agents that have something to do, or are to be restarted."""
        return [slot.name for slot in self._slots.values() if self._is_busy(slot)]

    def in_hand(self, now: float) -> list[str]:
        """Return what each of them has to do, in words; `now` is what their wall clock shows."""
        return [_shown(s, now) for s in self._slots.values() if self._is_busy(s)]

    def _is_busy(self, slot: AgentSlot) -> bool:
        if self._ended.is_set():
            return False
        if slot.status is ProcessStatus.RUNNING:
            return not slot.idle
        return slot.status is not ProcessStatus.STOPPED

    async def _send(self, send: Any, message: Message, *, own: bool = False) -> None:
        with _Noted(self.sent, message):
            await send(message, own=own)

    async def _ask(self, ask: Any, message: Message, timeout: float | None, **how: bool) -> Message:
        with _Noted(self.sent, message):
            reply: Message = await ask(message, timeout, **how)
            return reply


ObservedRuntime.__name__ = Runtime.__name__  # errors say what a node is


class _Noted:
    """Notes a message while it is sent; it goes again if it was not."""

    def __init__(self, sent: list[Message], message: Message) -> None:
        self._sent, self._message = sent, message

    def __enter__(self) -> None:
        copied = replace(self._message, payload=_copy(self._message.payload))
        self._message = copied
        if not str(copied.recipient).startswith(REPLY_PREFIX):
            self._sent.append(copied)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, _NOT_SENT):
            self._sent[:] = [each for each in self._sent if each is not self._message]


_NOT_SENT: Final = (
    AskDeadlockError,
    MailboxFullError,
    MessageRoutingError,
    MessageTooLargeError,
    MessageValidationError,
    NotConnectedError,
    SerializationError,
)


def _copy(payload: dict[str, Any]) -> dict[str, Any]:
    try:
        return deepcopy(payload)
    except Exception:  # noqa: BLE001 - what can't be copied can't be sent, and the sender hears it
        return payload


# --- in words -------------------------------------------------------------------------------------


def _shown(slot: AgentSlot, now: float) -> str:
    who, waiting = f"agent {slot.name!r}", slot.mailbox.pending
    more = f"; {waiting} more in its mailbox" if waiting else ""
    in_hand = slot.counts.in_hand()
    if slot.status is ProcessStatus.CRASHED:
        return f"{who} has crashed, and waits for its restart{more}"
    if in_hand:
        what = " and ".join(f"{_told(each.message, now)}{_where((each.task,))}" for each in in_hand)
        return f"{who} has {what}{more}"
    if slot.status is ProcessStatus.RUNNING and slot.idle is False and not waiting:
        return f"{who} owes an answer that it has deferred"
    return f"{who} is {slot.status.value.lower()}{_where(slot.mailbox.consumers)}{more}"


def _told(message: Message, now: float) -> str:
    content = printable(repr(message.payload), _SHOWN)
    age = f"sent {max(now - message.timestamp, 0.0):g} s ago"
    return f"a message {message.type!r} from {message.sender!r} in hand, {age}: {content}"


def _where(tasks: Iterable[asyncio.Task[Any] | None]) -> str:
    """Return where the code of an author stands in an agent's tasks, in words."""
    place = ""
    for task in tasks:
        for code, line in _frames(task.get_coro() if task is not None else None):
            if not is_of_a_library(code.co_filename):
                place = f"\n    at {code.co_filename}:{line}, in {code.co_qualname}"
    return place


def _frames(awaited: Any) -> Iterator[tuple[CodeType, int]]:
    """Yield where each coroutine stands that another one awaits, from the outside in."""
    while awaited is not None:
        frame: FrameType | None = getattr(awaited, "cr_frame", None)
        if frame is not None:
            yield frame.f_code, frame.f_lineno
        awaited = getattr(awaited, "cr_await", None)
