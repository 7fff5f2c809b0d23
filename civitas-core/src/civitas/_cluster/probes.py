"""Probes: what nodes tell each other on the data transport: probes of routes, and credit.

These travel the way that messages travel, since it is that way which they are about.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import msgpack

from civitas import envelope
from civitas._cluster.protocol import data_address
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import CivitasError, FrameError
from civitas.transport import Transport

logger = logging.getLogger("civitas.node")

_FORMAT: Final = "msgpack"
_QUEUE: Final = 10_000
_FLUSH_TIMEOUT: Final = 1.0
"""Seconds that the last frames may take."""

PROBE: Final = "probe"
ANSWER: Final = "answer"
CREDIT: Final = "credit"

_LAST: Final = "last"
"""In a probe that follows the last messages, and in its answer: earlier ones may still come."""


class Probes:
    """Sends and hears the small frames of one node's data transport.

    Args:
        transport: the node's data transport.
        origin: the node's identity.
        on_probe: called with (node id, whether its numbers begin anew) when a node probes.
        on_probed: called with the id of a node that has answered a probe.
        on_credit: called with (node id, agent, number) when an agent's node returns credit.
        dropped: called with (reason, frame) for what is none of these.
    """

    def __init__(
        self,
        transport: Transport,
        origin: Origin,
        on_probe: Callable[[bytes, bool], None],
        on_probed: Callable[[str], None],
        on_credit: Callable[[str, str, int], None],
        dropped: Callable[[str, bytes], None],
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._on_probe = on_probe
        self._on_probed = on_probed
        self._on_credit = on_credit
        self._dropped = dropped
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=_QUEUE)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._unconfirmed: set[str] = set()
        self._confirmed = asyncio.Event()

    async def start(self) -> None:
        """Subscribe, and send from now on."""
        self._stopping = False
        await self._transport.subscribe(data_address(self._origin.node.hex()), self)
        self._task = asyncio.get_running_loop().create_task(self._work(), name="civitas probes")

    async def stop(self) -> None:
        """Send what is still to be said, and no more."""
        if self._task is not None:
            self._stopping = True  # a client library was seen to keep a cancellation to itself
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_TIMEOUT):
                    await self._flush()

    def probe(self, node: str, *, fresh: bool) -> None:
        """Ask a node for an answer, which proves the route both ways.

        Args:
            node: its id.
            fresh: whether the numbers of what is sent to its agents begin anew.
        """
        self._post(data_address(node), PROBE, fresh)

    async def confirm(self, nodes: Iterable[str], timeout: float) -> None:
        """Return when nodes have what was sent to them before, or after `timeout` seconds.

        Answers come behind it on the same way. What a node says on another way, such as its
        goodbye, may overtake it.
        """
        self._unconfirmed = set(nodes)
        try:
            async with asyncio.timeout(timeout):
                for node in tuple(self._unconfirmed):
                    await self._ask_for_confirmation(node)
                while self._unconfirmed:
                    self._confirmed.clear()
                    await self._confirmed.wait()
        except TimeoutError:
            logger.debug("not confirmed by %s", ", ".join(self._unconfirmed))

    def confirmed(self, node: str) -> None:
        """Take note that a node has answered, or that it has gone."""
        self._unconfirmed.discard(node)
        self._confirmed.set()

    def grant(self, node: bytes, agent: str, number: int) -> None:
        """Return credit to a node for what an agent here has taken."""
        self._post(data_address(node.hex()), CREDIT, agent, number)

    def tell_last(self, agent: str, number: int) -> None:
        """Tell where an agent is what this node's last number was; credit comes back."""
        head = envelope.header(_FORMAT, self._origin, kind=KIND_SYSTEM, number=number)
        self._put(agent, head)

    def take(self, frame: bytes) -> bool:
        """Hear a frame of another probes."""
        try:
            opened = envelope.open(frame)
            if opened.kind != KIND_SYSTEM:
                raise FrameError("only frames of kind 2 belong on a probes's address")
            kind, *values = msgpack.unpackb(opened.body)
            self._hear(opened.node, kind, values)
        except Exception as error:  # noqa: BLE001 - bytes from the network may be anything
            logger.debug("not a probes's frame: %s", error)
            self._dropped("malformed system frame", frame)
        return True

    async def __call__(self, frame: bytes) -> None:
        """Do the same as `take`."""
        self.take(frame)

    def _hear(self, node: bytes, kind: object, values: list[object]) -> None:
        if kind == PROBE:
            (fresh,) = values
            self._on_probe(node, fresh is True)
            self._post(data_address(node.hex()), ANSWER, *values)
        elif kind == ANSWER:
            if values == [_LAST]:
                self.confirmed(node.hex())
            self._on_probed(node.hex())
        elif kind == CREDIT:
            agent, number = values
            if not isinstance(agent, str) or type(number) is not int:
                raise TypeError("credit is for an agent's name, up to a number")
            self._on_credit(node.hex(), agent, number)
        else:
            raise ValueError(f"no such kind: {kind!r:.40}")

    async def _ask_for_confirmation(self, node: str) -> None:
        try:
            await self._transport.publish(data_address(node), self._frame(PROBE, _LAST))
        except CivitasError as error:  # the connection is lost, and what was sent with it
            logger.debug("%s can't be asked for confirmation: %s", node, error)
            self.confirmed(node)

    def _post(self, address: str, *values: object) -> None:
        self._put(address, self._frame(*values))

    def _frame(self, *values: object) -> bytes:
        return envelope.seal(msgpack.packb(values), _FORMAT, self._origin, kind=KIND_SYSTEM)

    def _put(self, address: str, frame: bytes) -> None:
        self._queue.append((address, frame))
        self._news.set()

    async def _work(self) -> None:
        while not self._stopping:
            await self._news.wait()
            self._news.clear()
            await self._flush()

    async def _flush(self) -> None:
        while self._queue:
            address, frame = self._queue.popleft()
            try:
                await self._transport.publish(address, frame)
            except CivitasError as error:  # what matters of it is said again
                logger.debug("not sent to %s: %s", address, error)
            except Exception:
                logger.exception("the transport failed to send to %s", address)
