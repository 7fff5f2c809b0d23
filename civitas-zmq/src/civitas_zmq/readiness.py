"""How this process knows that it is ready: a probe that it published has come back from the proxy.

Nothing less is a proof (seen with libzmq 4.3.5). `connect` and `subscribe` return before a byte is
sent. A finished handshake does not mean that the proxy has this process's subscriptions, and after
a reconnection libzmq sends them all again. What is published meanwhile is lost without an error.

A probe is an empty frame under a topic of its own, which is subscribed after all other topics. The
proxy handles the subscriptions of one connection in order. So when the probe comes back, the proxy
has every earlier subscription, and what this process publishes reaches the proxy. A topic that was
subscribed before would prove nothing about later ones: so each proof has a new topic. Probes are
repeated until one comes back, since they may be lost. The loss of a connection voids the proof that
is under way and all earlier ones.

A proof covers this process alone: other publishers could still filter out, at their end, topics
that they have not heard of. The proxy prevents that: it subscribes to everything (`proxy.py`).

A publish depends on one of three states:

| state    | since                                     | a publish                               |
|----------|-------------------------------------------|-----------------------------------------|
| starting | the start; nothing has been proved        | waits for a proof, up to `send_timeout` |
| up       | a proof; no connection was lost after it  | is sent                                 |
| down     | the loss of a connection in the state up  | raises `NotConnectedError` at once      |

| event                   | starting              | up                    | down                  |
|-------------------------|-----------------------|-----------------------|-----------------------|
| both sockets connected  | a proof begins        | cannot happen         | a proof begins        |
| `wait_ready` is called  | waits for the proof   | a proof begins        | waits for the proof   |
| `wait_taken` is called  | fails                 | a proof begins        | fails                 |
| a probe comes back      | up                    | up                    | up, `link_up`         |
| a connection is lost    | the proof is void     | down, `link_down`,    | the proof is void     |
|                         |                       | `wait_taken` fails    |                       |
| a connection is refused | `wait_ready` fails    | `wait_ready` fails    | `wait_ready` fails    |
| `close`                 | all who wait fail     | all who wait fail     | all who wait fail     |

In the process that runs the proxy both sockets are connected from the start, within its context,
and a connection is lost only when the proxy fails. The proof is the same.

When a probe comes back, those calls of `wait_ready` and `wait_taken` return that were made before
its proof began. Who waits to be ready goes on waiting when the proxy is lost: it may come back. But
it will never have what was sent before, so `wait_taken` fails at once.
When the state becomes down, those publishes fail that wait at the high-water mark.

So a process that starts before its proxy waits for it, and one that has lost its proxy fails at
once: a frame kept until the proxy is back would arrive late.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from civitas.errors import NotConnectedError, describe
from civitas.plugins import TransportContext
from civitas.transport import cancel_task, start_task
from civitas_zmq.publisher import Publisher
from civitas_zmq.sockets import TOPIC_END
from civitas_zmq.subscriber import Subscriber

PROBE: Final = b"\xff"
"""Begins the topic of a probe. No address begins with this byte, which UTF-8 does not have. And it
is the greatest: after a reconnection libzmq sends subscriptions in the order of their bytes, so a
probe's is the last."""

_FIRST_INTERVAL: Final = 0.01
_LONGEST_INTERVAL: Final = 0.25
"""Seconds between two probes of one proof."""

_SILENCE: Final = 1.0
"""Seconds without a proxy after which a line is logged."""


class _Proof(NamedTuple):
    """A proof that is under way: the topic of its probes, and whether one came back."""

    topic: bytes
    answered: asyncio.Event


class Readiness:
    """Proves that frames arrive, and reports to the node when that ends and begins again.

    Args:
        address: where the proxy is, for the log.
        hosts: names of hosts in its addresses; libzmq says nothing of one that is unknown.
        node: what the node gave; `link_down` and `link_up` are called there.
        publisher: sends the probes.
        subscriber: subscribes to them; whoever reads them calls `answered`.
    """

    def __init__(
        self,
        address: str,
        hosts: Iterable[str],
        node: TransportContext,
        publisher: Publisher,
        subscriber: Subscriber,
    ) -> None:
        self.is_up = False
        self._address = address
        self._hosts = hosts
        self._node = node
        self._publisher = publisher
        self._subscriber = subscriber
        self._prefix = PROBE + os.urandom(8).hex().encode()
        self._numbers = itertools.count(1)
        self._problems: list[str] = []
        self._connected = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._proof: _Proof | None = None
        self._has_been_up = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._ends_with_loss: list[asyncio.Future[None]] = []
        self._task = start_task(self._run(), name="civitas zmq readiness", failed=node.failed)

    # --- events of the connections -------------------------------------------------------------

    def connected(self) -> None:
        """Note that both connections are established."""
        self._problems.clear()
        self._connected.set()

    def lost(self, reason: str) -> None:
        """Note that a connection is lost: what was proved no longer holds."""
        self._proof = None
        self._connected.clear()
        self._wanted.set()
        if self.is_up:
            self.is_up = False
            self.note(reason)
            self._publisher.fail_waiting(reason)
            _fail(self._ends_with_loss, reason)
            self._node.link_down(reason)

    def refused(self, reason: str) -> None:
        """Note that the proxy refuses the connection, and fail every `wait_ready`."""
        self.note(reason)
        _fail(self._waiting, reason)

    def note(self, reason: str) -> None:
        """Log what prevents a connection, once until both are established."""
        if reason not in self._problems:
            self._problems.append(reason)
            self._node.logger.warning("%s", reason)

    def answered(self, topic: bytes) -> None:
        """Note that a probe came back."""
        if self._proof is not None and topic == self._proof.topic:
            self._proof.answered.set()

    # --- requests of the transport -------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return when a proof that began after this call has succeeded; many calls share one.

        Raises:
            NotConnectedError: the proxy refuses the connection, or the transport stopped.
        """
        await self._wait_proved(self._waiting)

    async def wait_taken(self) -> None:
        """Return when the proxy has taken all that was published before this call.

        Raises:
            NotConnectedError: the state is not up, the connection was lost meanwhile, or the
                transport stopped.
        """
        if not self.is_up:
            raise self._no_proxy()
        await self._wait_proved(self._ends_with_loss)

    async def wait_up(self, timeout: float) -> None:
        """Return at once in the state up; in the state starting, wait for it.

        Raises:
            NotConnectedError: the state is down, or there was no proof within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._has_been_up.wait()
        except TimeoutError:
            raise self._no_proxy() from None
        if not self.is_up:
            raise self._no_proxy()

    async def close(self) -> None:
        """Prove no more, and fail all who wait."""
        cancel_task(self._task)
        await asyncio.wait((self._task,))
        self.is_up = False
        self._has_been_up.set()  # `wait_up` looks, and raises
        _fail(self._waiting + self._ends_with_loss, "the transport stopped")

    # --- proofs --------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Make a proof whenever one is wanted: at the start, after a loss, for `wait_ready`."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._both_connected()
            # Those who come later need another proof.
            covered = self._waiting + self._ends_with_loss
            if await self._prove():
                self._enter_up()
                for waiter in covered:
                    if not waiter.done():
                        waiter.set_result(None)

    async def _wait_proved(self, waiting: list[asyncio.Future[None]]) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiting.append(waiter)
        self._wanted.set()
        try:
            await waiter
        finally:
            waiting.remove(waiter)

    async def _both_connected(self) -> None:
        try:
            async with asyncio.timeout(_SILENCE):
                await self._connected.wait()
        except TimeoutError:
            if not self._has_been_up.is_set():
                self._node.logger.info("waiting for the proxy at %s", self._address)
            look_up = start_task(
                self._look_up(), name="civitas zmq host names", failed=self._node.failed
            )
            try:
                await self._connected.wait()
            finally:
                cancel_task(look_up)
                await asyncio.wait((look_up,))

    async def _look_up(self) -> None:
        for host in self._hosts:
            try:
                await asyncio.get_running_loop().getaddrinfo(host, None)
            except (OSError, UnicodeError) as error:
                self.note(f"the host {host!r} of the proxy is unknown: {describe(error).text}")

    async def _prove(self) -> bool:
        """Send probes until one comes back; return False when a connection was lost before."""
        topic = b"%b.%d%b" % (self._prefix, next(self._numbers), TOPIC_END)
        proof = self._proof = _Proof(topic, asyncio.Event())
        self._subscriber.subscribe_last(topic)
        interval = _FIRST_INTERVAL
        try:
            while self._proof is proof and not proof.answered.is_set():
                self._publisher.probe(topic)
                try:
                    async with asyncio.timeout(interval):
                        await proof.answered.wait()
                except TimeoutError:
                    interval = min(2 * interval, _LONGEST_INTERVAL)
            return self._proof is proof
        finally:
            self._proof = None
            self._subscriber.unsubscribe(topic)

    def _enter_up(self) -> None:
        if self.is_up:
            return
        self.is_up = True
        if self._has_been_up.is_set():
            self._node.logger.info("the proxy at %s is back", self._address)
            self._node.link_up()
        self._has_been_up.set()

    # --- failures ------------------------------------------------------------------------------

    @property
    def problem(self) -> str:
        """What prevents a connection, as far as it is known."""
        return self._problems[-1] if self._problems else ""

    def _no_proxy(self) -> NotConnectedError:
        return NotConnectedError(self.problem or f"there is no proxy at {self._address}")


def _fail(waiting: Iterable[asyncio.Future[None]], problem: str) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_exception(NotConnectedError(problem))
