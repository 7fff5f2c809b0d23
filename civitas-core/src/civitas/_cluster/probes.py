"""Probes: sends and takes the small messages of the data transport: probes of routes, and credit.

They travel the way that agents' messages travel, since it is that way which they are about. What
goes to an agent's own address, behind messages, goes by the bus; all else each by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from civitas import envelope
from civitas._bus.batching import OutgoingBatches
from civitas._cluster.codec import DATA, decode, drop_reason, encode
from civitas._cluster.protocol import DataMessage, Probe, ProbeAnswer, data_address
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import CivitasError, crash_unless_cancelled, logger_of
from civitas.messages import RESERVED_PREFIX
from civitas.transport import Transport
from civitas.transport.tasks import Failed, cancel_task, start_task

logger = logger_of("civitas.node")

_QUEUE: Final = 100_000
_FLUSH_TIMEOUT: Final = 1.0
"""Seconds that the last frames may take."""


class Probes:
    """The sender and the handler of one node's data messages.

    `on_message` is called with (node id, message) for each one of another node, and returns False
    for one whose number can't be true; `dropped` is called with (reason, frame) for that, and for
    what is no message, `failed` when the sending has ended unexpectedly. `knows` returns whether a
    node, by its id, is known: the probe of another one is answered when it is.
    """

    def __init__(
        self,
        transport: Transport,
        outgoing: OutgoingBatches,
        origin: Origin,
        on_message: Callable[[str, DataMessage], bool],
        knows: Callable[[str], bool],
        dropped: Callable[[str, bytes], None],
        failed: Failed,
    ) -> None:
        self._transport = transport
        self._outgoing = outgoing
        self._origin = origin
        self._on_message = on_message
        self._knows = knows
        self._dropped = dropped
        self._failed = failed
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=_QUEUE)
        self._publish_nowait = getattr(transport, "publish_nowait", None)
        self._flushing = 0
        """How often `_flush` is under way: what it has in hand is not to be overtaken."""
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._unconfirmed: dict[str, None] = {}  # in order, unlike a set
        self._confirmed = asyncio.Event()

    async def start(self) -> None:
        """Subscribe, and send from now on."""
        self._stopping = False
        await self._transport.subscribe(data_address(self._origin.node.hex()), self)
        self._task = start_task(self._work(), name="civitas probes", failed=self._failed)

    async def stop(self) -> None:
        """Send what is queued, and no more."""
        if self._task is not None:
            self._stopping = True  # a client library was seen to keep a cancellation to itself
            cancel_task(self._task)
            await asyncio.wait((self._task,))
            self._task = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_TIMEOUT):
                    await self._flush()

    def send(self, node: str, message: DataMessage) -> None:
        """Send a message to a node, or queue it. The oldest go first when a connection stays down.

        What the transport takes at once takes no task, and no turn of the loop: credit, 10 us.
        """
        address, frame = data_address(node), encode(message, self._origin)
        at_once = self._task is not None and not (self._queue or self._flushing)
        offer = self._publish_nowait if at_once else None
        if offer is None or not offer(address, frame):
            self._put(address, frame)

    def send_last_number(self, agent: str, number: int) -> None:
        """Mark, at an agent's own address, the end of the frames that were sent there.

        It goes behind them. What the number is, `LastNumber` says; credit comes back for both.
        """
        head = envelope.header("msgpack", self._origin, kind=KIND_SYSTEM, number=number)
        self._put(agent, head)

    async def confirm(self, nodes: Iterable[str], timeout: float) -> list[str]:
        """Ask nodes whether they have what was sent to them before; return those that say so.

        It takes at most `timeout` seconds. Answers come behind it on the same way. What a node says
        on another way, such as its goodbye, may overtake it.
        """
        asked = list(nodes)
        self._unconfirmed = dict.fromkeys(asked)
        unasked: list[str] = []
        try:
            async with asyncio.timeout(timeout):
                await self._flush()
                self._outgoing.flush()  # else the question overtakes what waits for its turn's end
                for node in asked:
                    if not await self._ask_for_confirmation(node):
                        unasked.append(node)
                        self.confirmed(node)
                while self._unconfirmed:
                    self._confirmed.clear()
                    await self._confirmed.wait()
        except TimeoutError:
            logger.debug("not confirmed by %s", ", ".join(self._unconfirmed))
        return [node for node in asked if node not in {*unasked, *self._unconfirmed}]

    def confirmed(self, node: str) -> None:
        """Take note that a node has answered, or that it has gone."""
        self._unconfirmed.pop(node, None)
        self._confirmed.set()

    def take(self, frame: bytes) -> bool:
        """Take a frame of another node."""
        try:
            origin, message = decode(frame, DATA)
        except CivitasError as error:
            logger.debug("not a data message: %s", error)
            self._dropped(drop_reason(error), frame)
            return True
        node = origin.node.hex()
        # The answer goes first: behind a probe of this node's own, that would be sent in vain.
        if isinstance(message, Probe) and (self._knows(node) or message.last):
            self.send(node, ProbeAnswer(message.last))
        if not self._on_message(node, message):
            self._dropped("a number that can't be true", frame)
        elif isinstance(message, ProbeAnswer) and message.last:
            self.confirmed(node)
        return True

    async def __call__(self, frame: bytes) -> None:
        """Do the same as `take`."""
        self.take(frame)

    async def _ask_for_confirmation(self, node: str) -> bool:
        try:
            probe = encode(Probe(last=True), self._origin)
            await self._transport.publish(data_address(node), probe)
        except CivitasError as error:  # the connection is lost, and what was sent with it
            logger.debug("%s can't be asked for confirmation: %s", node, error)
            return False
        return True

    def _put(self, address: str, frame: bytes) -> None:
        self._queue.append((address, frame))
        self._news.set()

    async def _work(self) -> None:
        while not self._stopping:
            await self._news.wait()
            self._news.clear()
            await self._flush()

    async def _flush(self) -> None:
        self._flushing += 1
        try:
            while self._queue:
                address, frame = self._queue.popleft()
                try:
                    await self._publish(address, frame)
                except asyncio.CancelledError:  # it may have been sent, and bears repetition
                    self._queue.appendleft((address, frame))
                    self._news.set()
                    raise
        finally:
            self._flushing -= 1

    async def _publish(self, address: str, frame: bytes) -> None:
        by = self._transport if address.startswith(RESERVED_PREFIX) else self._outgoing
        try:
            await by.publish(address, frame)
        except CivitasError as error:  # what matters of it is sent again
            logger.debug("not sent to %s: %s", address, error)
        except BaseException as error:
            crash_unless_cancelled(error)
            logger.exception("the transport failed to send to %s", address)
