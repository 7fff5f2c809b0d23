"""Publisher: sends to a stream, and knows of each message what became of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.msg import Msg

from civitas.errors import (
    MailboxFullError,
    NotConnectedError,
    OutcomeUnknownError,
    TransportError,
)
from civitas_nats.connection import Connection, Subscription
from civitas_nats.jetstream.padding import padded
from civitas_nats.tasks import end

_SWEEP: Final = 0.25
"""Seconds between two looks at what is not acknowledged."""

_AGAIN_AFTER: Final = 1.0
"""Seconds without an answer after which a message is sent again. The stream stores it once."""

_STORE_FAILED: Final = 10077
"""Error code of a stream with `discard: new` that has no room."""

_NO_RESOURCES: Final = 10023
"""Error code of a server, or an account, that has no room for any stream."""

_PASSING: Final = frozenset({503, 408})
"""Codes of errors that may be over in a moment, such as the election of a leader."""

ID_HEADER: Final = "Nats-Msg-Id"


@dataclass(slots=True, eq=False)
class _Unacknowledged:
    """A message that is not acknowledged yet."""

    subject: str
    frame: bytes
    headers: dict[str, str]
    outcome: asyncio.Future[None]
    deadline: float
    sent_at: float = 0.0
    sent: int = 0
    refusal: TransportError | MailboxFullError | None = None


class Publisher:
    """Publishes with acknowledgements, on one connection.

    A message that is not acknowledged is sent again with the same id, by which the stream knows
    it. So one that the stream has acknowledged is stored once, and of one that it has not within
    the time the outcome is unknown.

    Args:
        connection: carries the messages.
        stream: the stream's name, for messages.
        sender: begins the ids; no other publisher has it.
        limit: seconds for one message, all repetitions included.
        logger: where refusals are noted.
        missing: called when a message finds no stream.
        limited: tells whether the stream has a limit in bytes.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        sender: str,
        limit: float,
        logger: logging.Logger,
        missing: Callable[[], None],
        limited: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._sender = sender
        self._limit = limit
        self._logger = logger
        self._on_missing = missing
        self._is_limited = limited
        self._reply = f"{connection.inbox}.ack."
        self._numbers = itertools.count(1)
        self._unacknowledged: dict[str, _Unacknowledged] = {}
        self._subscription: Subscription | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    async def start(self) -> None:
        """Hear acknowledgements from now on."""
        self._subscription = await self._connection.subscribe(f"{self._reply}*", self._on_answer)
        sweep = self._sweep()
        self._sweeper = asyncio.get_running_loop().create_task(sweep, name="civitas nats acks")

    async def stop(self, patience: float) -> None:
        """Wait for what is on its way, at most `patience` seconds; the rest is unknown."""
        try:
            async with asyncio.timeout(patience):
                await self._settled.wait()
        except TimeoutError:
            self._logger.warning("messages not acknowledged: %d", len(self._unacknowledged))
        await end(self._sweeper)
        for each in list(self._unacknowledged.values()):
            self._fail(each, "the transport stopped")
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)

    async def publish(
        self,
        subject: str,
        frame: bytes,
        headers: Mapping[str, str] | None = None,
        message_id: str | None = None,
    ) -> None:
        """Return when the stream has stored a message.

        Args:
            subject: where it belongs.
            frame: what is stored.
            headers: more than its id, for a stream without a limit.
            message_id: its id; a new one when left out.

        Raises:
            MailboxFullError: the stream had no room for it in time.
            OutcomeUnknownError: it was sent, and not acknowledged in time.
            NotConnectedError: it could not be sent in time.
            MessageTooLargeError: the server takes no messages of this size.
            TransportError: the stream refused it.
        """
        number = next(self._numbers)
        reply = f"{self._reply}{number}"
        loop = asyncio.get_running_loop()
        all_headers = {ID_HEADER: message_id or f"{self._sender}.{number}", **(headers or {})}
        if headers is None and self._is_limited():
            all_headers = padded(subject, frame, all_headers)
        message = _Unacknowledged(
            subject,
            frame,
            all_headers,
            loop.create_future(),
            loop.time() + self._limit,
        )
        self._unacknowledged[reply] = message
        self._settled.clear()
        try:
            await self._send(reply, message, loop.time())
            await message.outcome
        finally:
            del self._unacknowledged[reply]
            if not self._unacknowledged:
                self._settled.set()

    def restored(self) -> None:
        """Send again soon all that is not acknowledged: the connection was lost."""
        for message in self._unacknowledged.values():
            message.sent_at = 0.0

    async def _send(self, reply: str, message: _Unacknowledged, now: float) -> None:
        message.sent_at = now
        try:
            await self._connection.publish(message.subject, message.frame, reply, message.headers)
        except (NotConnectedError, TransportError) as error:
            message.refusal = error  # until the connection is back
        else:
            message.sent += 1

    def _on_answer(self, answer: Msg) -> None:
        """Take an acknowledgement, or what the server says instead."""
        message = self._unacknowledged.get(answer.subject)
        if message is None or message.outcome.done():
            return
        data = answer.data
        if data.startswith(b"{") and b'"error"' not in data:
            message.outcome.set_result(None)
            return
        code, error = self._refusal(data)
        if code in _PASSING:
            message.refusal = error
        else:
            message.outcome.set_exception(error)

    def _refusal(self, data: bytes) -> tuple[int, TransportError | MailboxFullError]:
        """Return the code and the error for an answer that is no acknowledgement."""
        if not data:  # nobody listens at the subject
            self._on_missing()
            return 503, TransportError(
                f"there is no stream for this message: {self._stream} is missing, or JetStream has"
                " no leader"
            )
        try:
            told: dict[str, Any] = json.loads(data)["error"]
            code, text = int(told["code"]), str(told.get("description", ""))
            kind = told.get("err_code")
        except (ValueError, TypeError, KeyError):
            return 0, TransportError(f"stream {self._stream} answered {data[:200]!r}")
        if (kind == _STORE_FAILED and "exceeded" in text) or kind == _NO_RESOURCES:
            return code, MailboxFullError(
                f"stream {self._stream} is full ({text}): agents process more slowly than"
                " messages come; raise max_bytes or the server's max_file_store, or send less"
            )
        return code, TransportError(f"stream {self._stream} refused a message: {text} ({kind})")

    async def _sweep(self) -> None:
        """Send again what has no answer, and end what has had its time."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP)
            now = loop.time()
            for reply, message in list(self._unacknowledged.items()):
                if message.outcome.done():
                    continue
                if now >= message.deadline:
                    self._fail(message, f"not within {self._limit:g} s")
                elif message.refusal is not None or now - message.sent_at > _AGAIN_AFTER:
                    await self._send_again(reply, message, now)

    async def _send_again(self, reply: str, message: _Unacknowledged, now: float) -> None:
        """Send a message once more; what goes wrong is for who sends it, not for the others."""
        try:
            if self._connection.is_up and self._connection.has_room:  # not to wait with all others
                message.refusal = None
                await self._send(reply, message, now)
        except Exception as error:  # noqa: BLE001 - raised where it was sent
            if not message.outcome.done():
                message.outcome.set_exception(error)

    def _fail(self, message: _Unacknowledged, why: str) -> None:
        if message.outcome.done():
            return
        refusal = message.refusal
        error: TransportError | MailboxFullError
        if refusal is not None and not (message.sent and isinstance(refusal, NotConnectedError)):
            error = refusal
        elif message.sent:
            error = OutcomeUnknownError(
                f"stream {self._stream} did not acknowledge a message, {why}: it may or may not be"
                f" stored (sent {message.sent} times)"
            )
        else:
            error = NotConnectedError(f"a message for stream {self._stream} was not sent: {why}")
        message.outcome.set_exception(error)
