"""Nodes with a transport, agents that do what a test says, and bare clients of nats-py."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self, TypeVar

from nats.aio.client import Client

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import ProcessingError
from civitas.plugins import TransportContext
from civitas_nats.options import NATSOptions
from civitas_nats.transport import NATSTransport

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds after which a test gives up waiting."""

QUICK: Final[dict[str, Any]] = {"ping_interval": 0.3, "send_timeout": 2.0, "retry_delay": 0.05}
"""Options with which a fault is over soon."""

_ORIGIN: Final = Origin(b"8 bytes!", 1)
_PAUSE: Final = 0.01


async def within(work: Awaitable[T], seconds: float = PATIENCE) -> T:
    """Return what is awaited; fail when it takes too long."""
    async with asyncio.timeout(seconds):
        return await work


async def until(
    look: Callable[[], T | Awaitable[T]],
    good: Callable[[T], object] = bool,
    seconds: float = PATIENCE,
    trying: type[Exception] | tuple[type[Exception], ...] = (),
) -> T:
    """Look until what is seen is good, and return it; errors of type `trying` are no look yet."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    seen: Any = None
    while loop.time() < end:
        try:
            seen = look()
            if inspect.isawaitable(seen):
                seen = await seen
            if good(seen):
                return seen
        except trying as error:
            seen = error
        await asyncio.sleep(_PAUSE)
    raise AssertionError(f"within {seconds:g} s it did not come to it; the last seen: {seen!r}")


def frame_of(body: str = "") -> bytes:
    """Return a frame."""
    return envelope.seal(body.encode(), "msgpack", _ORIGIN)


def body_of(frame: bytes) -> str:
    """Return what `frame_of` was called with."""
    return envelope.open(frame).body.decode()


def failed(why: str = "on purpose") -> ProcessingError:
    """Return what a handler raises when its agent failed."""
    return ProcessingError("agent", "ValueError", why)


class Agent:
    """A handler that notes what it is given, and then does what the test says.

    Attributes:
        given: what it was called with: bodies, each with its attempt.
        done: bodies of those that it has processed.

    Args:
        act: called with the body and the attempt of each message; raises when the agent fails.
    """

    def __init__(self, act: Callable[[str, int], Awaitable[object]] | None = None) -> None:
        self.given: list[tuple[str, int]] = []
        self.done: list[str] = []
        self._act = act

    async def __call__(self, frame: bytes) -> None:
        opened = envelope.open(frame)
        body = opened.body.decode()
        self.given.append((body, opened.attempt))
        if self._act is not None:
            await self._act(body, opened.attempt)
        self.done.append(body)

    @property
    def bodies(self) -> list[str]:
        """Bodies of all that it was given."""
        return [body for body, _ in self.given]

    async def has_done(self, count: int, seconds: float = PATIENCE) -> list[str]:
        """Wait until so many are processed, and return them."""
        return await until(lambda: self.done, lambda done: len(done) >= count, seconds)

    async def has(self, count: int, seconds: float = PATIENCE) -> list[str]:
        """Wait until it was given so many, and return their bodies."""
        return await until(lambda: self.bodies, lambda given: len(given) >= count, seconds)


class Held:
    """Stands in the way of an agent's work on one message, until the test lets it go on."""

    def __init__(self, body: str) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self._body = body

    async def __call__(self, body: str, attempt: int) -> None:
        if body == self._body:
            self.begun.set()
            await self.go_on.wait()


class Node:
    """A transport with the context of a node, and what it reported to the node.

    Attributes:
        transport: the transport; started within `async with`.
        told: what it reported about its link, "down" and "up".
        drops: what it counted as dropped: reasons and frames.
        failures: what ended unexpectedly in it.
        when_up: called when it reports that its link is up.

    Args:
        servers: URLs.
        control: whether it is for the control plane.
        options: more options; see `QUICK` for what they are otherwise.
    """

    def __init__(self, *servers: str, control: bool = False, **options: Any) -> None:
        self.id = os.urandom(8).hex()
        self.options = NATSOptions(**{**QUICK, "servers": servers, **options})
        self.told: list[str] = []
        self.drops: list[tuple[str, bytes]] = []
        self.failures: list[BaseException] = []
        self.when_up: Callable[[], None] = lambda: None
        self.transport = NATSTransport(
            self.options,
            TransportContext(
                process=f"node {self.id}",
                node=self.id,
                logger=logging.getLogger("civitas.tests.nats"),
                dropped=lambda reason, frame: self.drops.append((reason, frame)),
                link_down=lambda _: self.told.append("down"),
                link_up=self._link_is_up,
                control=control,
                failed=self.failures.append,
            ),
        )

    def _link_is_up(self) -> None:
        self.told.append("up")
        self.when_up()

    async def send(self, address: str, *bodies: str) -> None:
        """Publish frames, one after the other."""
        for body in bodies:
            await within(self.transport.publish(address, frame_of(body)))

    async def agent(
        self, name: str, act: Callable[[str, int], Awaitable[object]] | None = None
    ) -> Agent:
        """Subscribe an agent."""
        agent = Agent(act)
        await within(self.transport.subscribe(name, agent))
        return agent

    async def __aenter__(self) -> Self:
        try:
            await within(self.transport.start())
            await within(self.transport.wait_ready())
        except BaseException:
            await within(self.transport.stop())
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await within(self.transport.stop())


def durable(url: str | list[str], name: str, **options: Any) -> Node:
    """Return a node on JetStream; those of one name share a stream."""
    own = {
        "stream_name": name,
        "subject_prefix": name,
        "dead_letter_subject": f"{name}-dead",
        "jetstream": True,
    }
    urls = [url] if isinstance(url, str) else url
    return Node(*urls, **own, **options)


LARGE: Final = frame_of("." * 100_000)


async def fill(node: Node) -> None:
    """Publish large frames until the connection takes no more and one is refused."""
    while True:
        await within(node.transport.publish("far", LARGE), 3 * node.options.send_timeout)


@asynccontextmanager
async def bare(url: str, client: Client | None = None, **options: Any) -> AsyncIterator[Client]:
    """Connect a client of nats-py, without any of our code unless one is given."""

    async def ignore(error: Exception) -> None:
        """Leave it to what is awaited."""

    client = client or Client()
    try:
        await client.connect(url, allow_reconnect=False, error_cb=ignore, **options)
        yield client
    finally:
        await within(client.close())


async def taken(client: Client) -> None:
    """Return when the server has taken all: the PING of a flush overtakes what waits to be sent."""
    for _ in range(2):
        await client.flush()
