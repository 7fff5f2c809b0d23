"""Session: two connections to the server, from the first byte to whatever ends them."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

from redis.exceptions import RedisError, ResponseError

from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.transport import Dispatcher
from civitas_redis_example.connections import make_connection
from civitas_redis_example.errors import translated
from civitas_redis_example.options import RedisOptions

_BATCH: Final = 1 << 20
"""Bytes that are sent before the answers to them are read; a probe waits for no more than these."""

_LOOKS: Final = 10
"""Looks at a probe within its time: one that comes late, since this process itself stood still,
leaves time for the others."""


class _Sending(NamedTuple):
    channel: bytes
    frame: bytes
    heard_by: asyncio.Future[int]


class Session:
    """Publishes on one connection and reads on another, until one of them fails.

    So the answer to a PUBLISH does not wait behind what there is to read.

    Args:
        options: what the topology says.
        process: the node's process name.
        dispatcher: whose addresses are subscribed, and who is given what comes for them.
    """

    def __init__(self, options: RedisOptions, process: str, dispatcher: Dispatcher) -> None:
        self._options = options
        self._dispatcher = dispatcher
        self._prefix = options.prefix.encode()
        self._own = f"_probe.{os.urandom(8).hex()}"
        self._publisher = make_connection(options, process)
        self._subscriber = make_connection(options, process)
        self._outgoing: deque[_Sending] = deque()
        self._news = asyncio.Event()
        self._numbers = itertools.count(1)
        self._echoes: dict[bytes, asyncio.Event] = {}
        self._greeted = False
        self._ended = False

    @property
    def is_open(self) -> bool:
        """Whether both connections have been greeted by the server, and none has failed."""
        return self._greeted and not self._ended

    async def run(self, proved: Callable[[], None]) -> NoReturn:
        """Connect, subscribe to all addresses, and probe the connections until they fail.

        Args:
            proved: called each time that a probe has come back.

        Raises:
            Exception: what has ended it.
        """
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                for connection in (self._publisher, self._subscriber):
                    await connection.connect()  # type: ignore[no-untyped-call]
            self._greeted = True
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write())
                tasks.create_task(self._read())
                await self.subscribe(self._own, *self._dispatcher.addresses())
                while True:
                    await self._in_time(tasks.create_task(self.prove()))
                    proved()
                    await asyncio.sleep(self._options.probe_interval)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._end()
            await self._publisher.disconnect(nowait=True)
            await self._subscriber.disconnect(nowait=True)

    async def subscribe(self, *addresses: str) -> None:
        """Ask for the frames of addresses; before there is a connection, `run` will do it."""
        await self._command("SUBSCRIBE", *map(self._channel, addresses))

    async def unsubscribe(self, address: str) -> None:
        """Ask for no more frames of an address."""
        await self._command("UNSUBSCRIBE", self._channel(address))

    async def publish(self, address: str, frame: bytes) -> int:
        """Send a frame, and return how many connections the server has given it to.

        Raises:
            NotConnectedError: the session is over, and the frame was not sent.
            OutcomeUnknownError: it was sent, and the session ended before the server's answer.
            CancelledError: with that as its cause when it was sent.
            TransportError: the server refuses it.
        """
        return await self._put(self._outgoing.append, address, frame)

    async def prove(self) -> None:
        """Return when all that was subscribed before is in place, and what is published comes.

        The server takes what one connection sends in order, so its answer to PING proves what was
        subscribed before. Then a probe goes the way that frames go, past those that wait.

        Raises:
            NotConnectedError: the session is over.
        """
        token = b"%d" % next(self._numbers)
        await self._echo(token, self._command("PING", token))
        await self._echo(token, self._put(self._outgoing.appendleft, self._own, token))

    # --- publishing ---------------------------------------------------------------------------

    async def _put(self, put: Callable[[_Sending], None], address: str, frame: bytes) -> int:
        if self._ended:
            raise self._not_connected()
        heard_by: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        sending = _Sending(self._channel(address), frame, heard_by)
        put(sending)
        self._news.set()
        try:
            return await heard_by
        except asyncio.CancelledError as error:
            if sending not in self._outgoing:
                raise error from OutcomeUnknownError("it was sent, and not answered yet")
            raise

    async def _write(self) -> None:
        """Send what waits, in order, and many at a time: each sender waits for its answer."""
        while True:
            await self._news.wait()
            self._news.clear()
            while batch := self._next_batch():
                try:
                    await self._send(batch)
                except BaseException:  # also when it is cancelled
                    for each in batch:
                        _settle(each.heard_by, self._outcome_unknown())
                    raise

    def _next_batch(self) -> list[_Sending]:
        batch: list[_Sending] = []
        size = 0
        while self._outgoing and size < _BATCH:
            sending = self._outgoing.popleft()
            if not sending.heard_by.done():  # who sends it has not given up
                batch.append(sending)
                size += len(sending.frame)
        return batch

    async def _send(self, batch: list[_Sending]) -> None:
        commands = [("PUBLISH", each.channel, each.frame) for each in batch]
        await self._publisher.send_packed_command(self._publisher.pack_commands(commands))
        for each in batch:
            try:
                _settle(each.heard_by, await self._publisher.read_response())
            except ResponseError as error:
                _settle(each.heard_by, translated(error, self._options.place))

    # --- reading ------------------------------------------------------------------------------

    async def _command(self, *command: str | bytes) -> None:
        """Send what `_read` reads the answer to.

        Not while redis-py greets the server, since it would take the answer for that to its
        greeting; nor when the connection is lost, since it would make another one.
        """
        if self._greeted and self._subscriber.is_connected:
            with suppress(RedisError):  # which `_read` finds out as well
                await self._subscriber.send_command(*command)

    async def _read(self) -> None:
        start, deliver = len(self._prefix), self._dispatcher.deliver
        while True:
            kind, first, *rest = await self._subscriber.read_response()
            if kind == b"pong":
                self._heard(first)
            elif kind == b"message":
                address = first[start:].decode()
                if address == self._own:
                    self._heard(rest[0])
                else:
                    deliver(address, rest[0])

    # --- probing ------------------------------------------------------------------------------

    async def _in_time(self, proof: asyncio.Task[None]) -> None:
        limit = self._options.probe_timeout
        for _ in range(_LOOKS):
            await asyncio.wait((proof,), timeout=limit / _LOOKS)
            if proof.done():
                return
        raise NotConnectedError(f"no answer from {self._options.place} for {limit:g} s")

    async def _echo(self, token: bytes, saying: Awaitable[object]) -> None:
        echo = self._echoes[token] = asyncio.Event()
        try:
            await saying
            if not self._ended:
                await echo.wait()
        finally:
            del self._echoes[token]
        if self._ended:
            raise self._not_connected()

    def _heard(self, token: bytes) -> None:
        if token in self._echoes:
            self._echoes[token].set()

    # --- parts --------------------------------------------------------------------------------

    def _channel(self, address: str) -> bytes:
        return self._prefix + address.encode()

    def _end(self) -> None:
        """Tell all who wait."""
        self._ended = True
        for sending in self._outgoing:
            _settle(sending.heard_by, self._not_connected())
        for echo in self._echoes.values():
            echo.set()

    def _not_connected(self) -> NotConnectedError:
        return NotConnectedError(f"the connection to {self._options.place} is lost: not sent")

    def _outcome_unknown(self) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"the connection to {self._options.place} was lost before the answer: what was sent"
            " may have arrived or not"
        )


def _settle(waiting: asyncio.Future[int], outcome: int | Exception) -> None:
    """End a wait with a result or an error, unless it has ended."""
    if waiting.done():
        return
    if isinstance(outcome, Exception):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)
