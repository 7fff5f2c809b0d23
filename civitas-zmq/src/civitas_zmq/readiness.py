"""Readiness: whether this process and the proxy reach each other, proved by what comes back."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from civitas.errors import NotConnectedError
from civitas.plugins import TransportContext
from civitas_zmq.sockets import TOPIC_END

PROBE: Final = b"\xff"
"""Begins the topic of a probe. No address begins with this byte, which UTF-8 does not have; and
when libzmq sends all subscriptions again, in the order of their bytes, these are the last."""

_FIRST_INTERVAL: Final = 0.01
_LONGEST_INTERVAL: Final = 0.25
"""Seconds between two probes of one proof."""

_SILENCE: Final = 1.0
"""Seconds without a proxy after which a line is logged."""


class Readiness:
    """Proves that what is published arrives, and tells the node when that ends.

    A probe has a topic of its own, subscribed after all others. When it comes back, this socket's
    subscriptions are with the proxy, which takes them in order, and what this process publishes
    passes it. A proof is worth nothing after a disconnection: each has its epoch.

    Args:
        address: where the proxy is, for the log.
        context: what the node gave; `link_down` and `link_up` are called there.
        probe: sends a probe; it may get lost.
        subscribe: subscribes a topic.
        unsubscribe: ends the subscription of a topic.
        refuse: called with the reason for all who wait to send, when the link is lost.
    """

    def __init__(
        self,
        address: str,
        context: TransportContext,
        *,
        probe: Callable[[bytes], None],
        subscribe: Callable[[bytes], None],
        unsubscribe: Callable[[bytes], None],
        refuse: Callable[[str], None],
    ) -> None:
        self.is_up = False
        self._address = address
        self._context = context
        self._probe = probe
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._refuse = refuse
        self._prefix = PROBE + os.urandom(8).hex().encode()
        self._numbers = itertools.count(1)
        self._epoch = 0
        self._told_down = False
        self._problems: list[str] = []
        self._connected = asyncio.Event()
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._proving: tuple[bytes, asyncio.Event] | None = None
        self._first_proof = asyncio.Event()
        self._wanted.set()
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="civitas zmq readiness"
        )

    # --- what the connections tell -------------------------------------------------------------

    def connected(self) -> None:
        """Note that both connections are there."""
        self._problems.clear()
        self._connected.set()

    def lost(self, reason: str) -> None:
        """Note that a connection is gone: what is proved no longer holds."""
        self._epoch += 1
        self._connected.clear()
        self._wanted.set()
        if self.is_up:
            self.note(reason)
            self.is_up = False
            self._told_down = True
            self._refuse(reason)
            self._context.link_down(reason)

    def refused(self, reason: str) -> None:
        """Note that the proxy wants no connection; who waits for one is told."""
        self.note(reason)
        self._settle(self._take_waiting(), reason)

    def note(self, reason: str) -> None:
        """Log what hinders a connection, once until there is one."""
        if reason not in self._problems:
            self._problems.append(reason)
            self._context.logger.warning("%s", reason)

    def answered(self, topic: bytes) -> None:
        """Note a probe that came back."""
        if self._proving is not None and topic == self._proving[0]:
            self._proving[1].set()

    # --- what the transport asks ---------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return when all that was subscribed before is proved.

        Many may wait at once: the next proof to begin is for all of them.

        Raises:
            NotConnectedError: the proxy wants none of it.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wanted.set()
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def usable(self, timeout: float) -> None:
        """Return when the link is up for the first time.

        Raises:
            NotConnectedError: it was up and is lost, or there was no proxy in time.
        """
        if self._told_down:
            raise NotConnectedError(self._problem())
        try:
            async with asyncio.timeout(timeout):
                await self._first_proof.wait()
        except TimeoutError:
            raise NotConnectedError(self._problem()) from None
        if not self.is_up:
            raise NotConnectedError(self._problem())

    async def close(self) -> None:
        """End the proving; who waits for a proof is told."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._first_proof.set()
        self.is_up = False
        self._settle(self._take_waiting(), "the transport stopped")

    # --- proving -------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Prove the link whenever somebody wants it, and after each disconnection."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._connection()
            epoch, waiting = self._epoch, self._take_waiting()
            try:
                proved = await self._prove(epoch)
            except BaseException:
                self._waiting = waiting + self._waiting  # to be told by `close`
                raise
            if proved:
                self._up()
                self._settle(waiting, None)
            else:
                self._waiting = waiting + self._waiting

    async def _connection(self) -> None:
        try:
            async with asyncio.timeout(_SILENCE):
                await self._connected.wait()
        except TimeoutError:
            if not self._told_down:
                self._context.logger.info("waiting for the proxy at %s", self._address)
            await self._connected.wait()

    async def _prove(self, epoch: int) -> bool:
        """Send probes until one comes back; return False when the connection is lost before."""
        interval = _FIRST_INTERVAL
        with self._probing() as (topic, answer):
            while epoch == self._epoch:
                self._probe(topic)
                try:
                    async with asyncio.timeout(interval):
                        await answer.wait()
                except TimeoutError:
                    interval = min(2 * interval, _LONGEST_INTERVAL)
                else:
                    return epoch == self._epoch
        return False

    @contextmanager
    def _probing(self) -> Iterator[tuple[bytes, asyncio.Event]]:
        topic = b"%b.%d%b" % (self._prefix, next(self._numbers), TOPIC_END)
        self._proving = topic, asyncio.Event()
        self._subscribe(topic)
        try:
            yield self._proving
        finally:
            self._proving = None
            self._unsubscribe(topic)

    def _up(self) -> None:
        if self.is_up:
            return
        self.is_up = True
        self._first_proof.set()
        if self._told_down:
            self._told_down = False
            self._context.logger.info("the proxy at %s is back", self._address)
            self._context.link_up()

    # --- telling -------------------------------------------------------------------------------

    def _take_waiting(self) -> list[asyncio.Future[None]]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _problem(self) -> str:
        return self._problems[-1] if self._problems else f"there is no proxy at {self._address}"

    def _settle(self, waiting: list[asyncio.Future[None]], problem: str | None) -> None:
        for waiter in waiting:
            if waiter.done():
                continue
            if problem is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(NotConnectedError(problem))
