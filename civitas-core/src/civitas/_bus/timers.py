"""Timers: messages that an agent sends to itself, later, or again and again.

Theory. When a timer is due, its message (a **tick**) is put into the agent's mailbox and waits its
turn there like any other: so it is never handled beside another message. The mailbox has one place
reserved for each timer, beside its `mailbox_size` others, so it is never too full for a tick. The
payload is packed when the timer is made: what becomes of the object that was given is no matter.

    event                                     | what happens
    ------------------------------------------+-----------------------------------------------------
    a timer is due                            | its tick is queued, with id and trace of its own
    ... and its last tick is queued still     | that one stands for both; the new one is swallowed
    ... and the event loop was stalled for    | one tick is queued; the others are swallowed: none
    more than a period                        | comes in a burst
    `cancel`                                  | it ticks no more; a queued tick is taken back
    the agent stops in order, or its node     | no timer ticks any more; queued ticks are handled as
    does                                      | all that is queued
    the agent object has ended, for whatever  | all its timers end; their queued ticks are taken
    reason                                    | back, and are no dead letters

A repeated timer is due at its creation plus a whole multiple of its period, by the clock of the
event loop: nothing drifts, however late a tick is handled. Swallowed ticks are counted.

Rejected were: a task for each timer that sleeps (it would run beside the handler, and drift), and
a timer that waits for its tick to be handled (a slow handler would move the grid).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Final

from civitas._bus.arguments import as_seconds, as_sent, reserved_type
from civitas._bus.bus import MessageBus
from civitas._bus.mailbox import Item, Mailbox
from civitas._bus.settlement import DurableFrame
from civitas._typed.shapes import Payload
from civitas.errors import MailboxFullError, MessageValidationError
from civitas.messages import RESERVED_PREFIX, TYPE_MESSAGE, Message, compose
from civitas.transport.tasks import guard_callback

_TASK: Final = "civitas timer"


@dataclass(slots=True)
class TickCounts:
    """Counts the ticks of one agent, over all objects that it has been."""

    queued: int = 0
    """Ticks that came into the mailbox."""
    swallowed: int = 0
    """Ticks for which an earlier one stood, that was queued still or came late."""


class Timer:
    """One timer of an agent: what `after` and `every` return. It need not be kept."""

    __slots__ = ("_began", "_content", "_handle", "_number", "_owner", "_period", "_type")

    def __init__(self, owner: Timers, began: float, period: float | None) -> None:
        self._owner = owner
        self._began = began
        self._period = period
        self._number = 1
        """Which multiple of the period is next."""
        self._type = TYPE_MESSAGE
        self._content: Item | None = None
        """What is to be sent, packed."""
        self._handle: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Whether it will tick, again or at all, unless its agent ends before."""
        return self._handle is not None

    def cancel(self) -> None:
        """End it, and take its tick back if that waits in the mailbox. Twice does no harm.

        Raises:
            ConfigurationError: this is not the event loop of the node.
        """
        self._owner.cancel(self)

    # --- for Timers -----------------------------------------------------------------------------

    def carry(self, kind: str, content: Item) -> None:
        """Take what each tick is to carry."""
        self._type, self._content = kind, content

    def schedule(self, tick_later: Callable[[Timer], None], due: float, context: Context) -> None:
        """Be due at a time of the event loop.

        The context of whoever has made it is not kept: it refers to the message in its hand.
        """
        loop = asyncio.get_running_loop()
        self._handle = loop.call_at(due, tick_later, self, context=context)

    def next_due(self, now: float) -> tuple[float | None, int]:
        """Return when a tick follows the one that is due now, and how many have been missed."""
        period = self._period
        if period is None:
            return None, 0
        number = max(self._number, int((now - self._began) // period)) + 1
        missed, self._number = number - self._number - 1, number
        return self._began + number * period, missed

    def disarm(self) -> None:
        """Let go of all that it has."""
        handle, self._handle, self._content = self._handle, None, None
        if handle is not None:
            handle.cancel()

    def tick(self, bus: MessageBus, name: str) -> Item:
        """Return its message as it waits in a mailbox, with an id and a trace of its own."""
        content, kind = self._content, self._type
        assert content is not None
        if isinstance(content, tuple):
            return compose(name, name, {}, kind), content[1]
        return _packed(bus, compose(name, name, bus.read(content).payload, kind))


class Timers:
    """The timers of one agent object.

    Args:
        bus: packs what they carry.
        mailbox: the agent's.
        counts: counts the ticks.
        stopping: says whether the agent, or its node, stops.
    """

    __slots__ = (
        "_armed",
        "_bus",
        "_context",
        "_counts",
        "_ended",
        "_fire",
        "_mailbox",
        "_stopping",
    )

    def __init__(
        self,
        bus: MessageBus,
        mailbox: Mailbox[Item],
        counts: TickCounts,
        stopping: Callable[[], bool],
    ) -> None:
        self._bus = bus
        self._mailbox = mailbox
        self._counts = counts
        self._stopping = stopping
        self._armed: dict[Timer, None] = {}
        self._context = Context()
        self._fire = guard_callback(self._tick, name=_TASK, failed=bus.failed)
        self._ended = False

    def __len__(self) -> int:
        return len(self._armed)

    def after(self, seconds: float, payload: Payload, message_type: str) -> Timer:
        """Start a timer that ticks once."""
        return self._start("after", seconds, payload, message_type, repeat=False)

    def every(self, seconds: float, payload: Payload, message_type: str) -> Timer:
        """Start a timer that ticks after each period of so many seconds."""
        return self._start("every", seconds, payload, message_type, repeat=True)

    def cancel(self, timer: Timer) -> None:
        """End a timer, and take its queued tick back."""
        self._bus.affinity.check()
        timer.disarm()
        self._armed.pop(timer, None)
        if not self._ended:  # else another object may have the mailbox
            self._mailbox.withdraw_reserved(timer)

    def end(self) -> None:
        """End all of them, and take the queued ticks back: the agent object has ended."""
        self._ended = True
        for timer in self._armed:
            timer.disarm()
            self._mailbox.withdraw_reserved(timer)
        self._armed.clear()
        self._mailbox.withdraw_reserved(None)  # those of timers that have ticked for the last time

    def _start(
        self, verb: str, seconds: object, payload: Payload, message_type: object, *, repeat: bool
    ) -> Timer:
        self._bus.affinity.check()
        delay = as_seconds(seconds, f"{verb}() takes", above_zero=repeat)
        if not isinstance(message_type, str):
            raise MessageValidationError(
                f"{verb}() takes (seconds, payload, message_type): a message_type is text, not "
                f"{type(message_type).__name__}"
            )
        name = self._mailbox.name
        kind, sent = as_sent(
            payload, str.__str__(message_type), TYPE_MESSAGE, f"the payload of {verb}()"
        )
        content = _packed(self._bus, compose(name, name, sent, kind))
        if self._ended:
            raise RuntimeError(
                f"{verb}() of agent {name!r}: this object has ended, and takes no more messages; "
                f"use timers in on_start and in handlers"
            )
        if len(self._armed) >= self._mailbox.size:
            raise MailboxFullError(
                f"agent {name!r} has {len(self._armed)} timers, and may have no more (its "
                f"mailbox_size): cancel those that it does not need"
            )
        now = asyncio.get_running_loop().time()
        timer = Timer(self, now, delay if repeat else None)
        if not self._stopping():
            timer.carry(kind, content)
            timer.schedule(self._fire, now + delay, self._context)
            self._armed[timer] = None
        return timer

    def _tick(self, timer: Timer) -> None:
        """Queue the tick of a timer that is due, unless its last one is queued still."""
        if timer not in self._armed:
            return
        due, missed = timer.next_due(asyncio.get_running_loop().time())
        if not self._stopping():
            if self._mailbox.holds(timer):
                self._counts.swallowed += missed + 1
            else:
                self._counts.queued += 1
                self._counts.swallowed += missed
                self._mailbox.put_reserved(timer.tick(self._bus, self._mailbox.name), timer)
            if due is not None:
                timer.schedule(self._fire, due, self._context)
                return
        del self._armed[timer]
        timer.disarm()


def _packed(bus: MessageBus, message: Message) -> Item:
    """Return a message that was just composed as it waits in a mailbox of this node.

    Raises:
        MessageValidationError: the message's type is reserved.
        SerializationError: a value of the payload can't be sent.
    """
    if message.type.startswith(RESERVED_PREFIX):
        raise reserved_type(message)
    packed = bus.packed(message)
    if packed is not None:
        return message, packed
    frame = bus.codec.head + bus.codec.serialize(message)
    # Where all comes as a durable frame, so does a tick: nobody awaits its outcome.
    return DurableFrame(frame) if bus.durable else frame
