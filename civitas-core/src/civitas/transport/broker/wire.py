"""Wire: one connection to a broker, which is all that a plugin supplies to a BrokerTransport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

Deliver: TypeAlias = Callable[[str, bytes], None]
"""Called with (address, frame) for what has come. Never waits, never raises."""


class Wire(Protocol):
    """One connection to a broker, from `connect` to `close`. There is no base class.

    A new one is made for each attempt to connect; it never connects again by itself. Its methods
    are called in one event loop: `connect` first, then `receive` once; beside it `subscribe` or
    `unsubscribe`, one after the other, and `publish`, one after the other. `close` comes last,
    always, also when `connect` has failed; the others are cancelled before it.

    How an address becomes a topic is the wire's. That of an agent is its name: at most 200 bytes of
    UTF-8 in any script, without white space, `*`, `>`, `~` and slashes of both kinds; `+ # $ % :`
    may stand in it, and upper and lower case differ. Those of core begin with `_agency.`,
    `_reply.` or `_probe.`, and are ASCII. A frame is bytes that must arrive unchanged.

    Whatever a method raises, but for what is named at it, ends the connection, and another one is
    made: its text, which must have no secrets in it, is what users read.
    """

    async def connect(self) -> None:
        """Connect and log in. It is cancelled after `connect_timeout` seconds.

        Raises:
            AccessDeniedError: the broker does not let this process in; a start fails at once.
            ConfigurationError: the options can't be right; a start fails at once.
        """
        ...

    async def subscribe(self, addresses: Sequence[str]) -> None:
        """Ask for the frames of addresses, and return when the broker has confirmed it.

        However many there are, it takes one round trip, or a few. Every connection that asks for an
        address gets each of its frames: no queue groups.

        Raises:
            AccessDeniedError: the broker forbids one of them. The others are then asked for again,
                each half of them by itself, until it is known which.
        """
        ...

    async def unsubscribe(self, addresses: Sequence[str]) -> None:
        """Ask for no more frames of addresses. What is under way may still come."""
        ...

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Hand frames to the broker, in order, and return when they are taken.

        All of them, also those whose senders have given up meanwhile: these count as sent, too.
        Each is settled, by `sent` when the broker has taken it, or by `refuse`. Those that are not
        when it returns count as sent. When it raises, nobody knows of them. This connection gets a
        frame as well, if it has subscribed to its address.

        Raises:
            NotConnectedError: of those that are not settled nothing was sent, for sure, and the
                connection is over.
        """
        ...

    async def receive(self, deliver: Callable[[str, bytes], None]) -> None:
        """Give what comes to `deliver`, in order, until the connection ends.

        A message that is none of ours is left out. How it ends, by returning or by raising, is the
        reason that is logged.
        """
        ...

    async def close(self) -> None:
        """Let the broker have what it was handed, and leave no task, thread or socket behind.

        The connection may be broken already. It is cancelled after `linger` seconds.
        """
        ...


class Outgoing:
    """A frame on its way to the broker.

    Attributes:
        address: where it goes.
        frame: the bytes.
    """

    __slots__ = ("_outcome", "address", "frame")

    def __init__(self, address: str, frame: bytes, outcome: asyncio.Future[None]) -> None:
        self.address = address
        self.frame = frame
        self._outcome = outcome

    def sent(self) -> None:
        """Take note that the broker has taken it."""
        if not self._outcome.done():
            self._outcome.set_result(None)

    def refuse(self, error: Exception) -> None:
        """Give its sender an error, and leave the connection as it is.

        Such as AccessDeniedError: the broker forbids the address. MessageRoutingError: the broker
        knows that nobody is subscribed; it need not know. OutcomeUnknownError: nobody knows.
        """
        if not self._outcome.done():
            self._outcome.set_exception(error)
