"""Publisher: stores messages in a stream, and knows the outcome of each.

A message without an acknowledgement is sent again with the same `Nats-Msg-Id`, by which the stream
recognizes what it has stored already. So a message that is acknowledged is stored once. When there
is no acknowledgement in time, the outcome is unknown.

A stream acknowledges a message whose id it knows without storing it, whoever has used that id. So
ids are random: who may publish to any subject of the stream must not use up those of others.

| the stream's answer                              | what follows                                 |
|--------------------------------------------------|----------------------------------------------|
| an acknowledgement                               | `publish` returns                            |
| none within 1 s, or the connection was lost      | sent again, until the time is over           |
| an error that may pass (no stream, leader, room) | sent again; raised when the time is over     |
| any other error                                  | raised at once                               |
| its publisher may not publish to the subject     | `OutcomeUnknownError` at once, with that     |
| none in time                                     | `NotConnectedError` if it was never sent,    |
|                                                  | otherwise `OutcomeUnknownError`              |
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.msg import Msg

from civitas.errors import (
    MailboxFullError,
    NotConnectedError,
    OutcomeUnknownError,
    TransportError,
    crash_unless_cancelled,
)
from civitas.transport import start_task
from civitas_nats.client import cancel_and_wait
from civitas_nats.connection import Connection
from civitas_nats.jetstream.padding import padded
from civitas_nats.subscription import Subscription

_SWEEP_INTERVAL: Final = 0.25
"""Seconds between two checks of what is not acknowledged."""

_REPEAT_AFTER: Final = 1.0
"""Seconds without an answer after which a message is sent again. The stream stores it once."""

_STORE_FAILED: Final = 10077
"""Error code of a stream with `discard: new` that has no room."""

_DISK_FULL: Final = "no space left"
"""Words of the same error when the disk is full (2.10; 2.9.10 and 2.15.1 do not answer then)."""

_NO_RESOURCES: Final = 10023
"""Error code of a server, or an account, that has no room for any stream."""

_TRANSIENT: Final = frozenset({503, 408})
"""Codes of errors that may pass in a moment, such as those while a leader is elected."""

ID_HEADER: Final = "Nats-Msg-Id"
_ID_BYTES: Final = 12
_ID_CHARACTERS: Final = 16
_IDS_AT_ONCE: Final = 64


def _random_ids() -> Iterator[str]:
    """Yield ids that nobody can guess, with one system call for many of them."""
    while True:
        text = b2a_base64(os.urandom(_IDS_AT_ONCE * _ID_BYTES), newline=False).decode()
        for begin in range(0, len(text), _ID_CHARACTERS):
            yield text[begin : begin + _ID_CHARACTERS]


@dataclass(slots=True, eq=False)
class _Unacknowledged:
    """A message that is not acknowledged yet; `refusal` is why the last attempt failed."""

    subject: str
    frame: bytes
    headers: dict[str, str]
    outcome: asyncio.Future[None]
    deadline: float
    sent_at: float = 0.0
    sent: int = 0
    refusal: TransportError | MailboxFullError | None = None


class Publisher:
    """Publishes with acknowledgements, on one connection; see the module.

    Args:
        connection: carries the messages.
        stream: the stream's name, for messages.
        limit: seconds for one message, with all repetitions.
        logger: where refusals are noted.
        missing: called when a message finds no stream.
        limited: returns whether the stream has a limit in bytes, so that messages are padded.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        limit: float,
        logger: logging.Logger,
        missing: Callable[[], None],
        limited: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._limit = limit
        self._logger = logger
        self._on_missing = missing
        self._is_limited = limited
        self._reply = f"{connection.inbox}.ack."
        self._numbers = itertools.count(1)
        self._ids = _random_ids()
        self._unacknowledged: dict[str, _Unacknowledged] = {}
        self._subscription: Subscription | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    async def start(self) -> None:
        """Subscribe to acknowledgements, and begin to repeat what is not acknowledged."""
        self._subscription = await self._connection.subscribe(f"{self._reply}*", self._on_answer)
        self._sweeper = start_task(
            self._sweep(), name="civitas nats acks", failed=self._connection.failed
        )

    async def stop(self, patience: float) -> None:
        """Wait for acknowledgements, at most `patience` seconds; the other outcomes are unknown."""
        try:
            async with asyncio.timeout(patience):
                await self._settled.wait()
        except TimeoutError:
            self._logger.warning("messages not acknowledged: %d", len(self._unacknowledged))
        await cancel_and_wait(self._sweeper)
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
            subject: a subject of the stream.
            frame: what is stored.
            headers: headers besides its id; a message that has them is not padded.
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
        now = loop.time()
        all_headers = {ID_HEADER: message_id or next(self._ids)}
        if headers is not None:
            all_headers |= headers
        elif self._is_limited():
            all_headers = padded(subject, frame, all_headers)
        message = _Unacknowledged(
            subject, frame, all_headers, loop.create_future(), now + self._limit
        )
        self._unacknowledged[reply] = message
        self._settled.clear()
        try:
            await self._send(reply, message, now)
            await message.outcome
        finally:
            del self._unacknowledged[reply]
            if not self._unacknowledged:
                self._settled.set()

    def connection_restored(self) -> None:
        """Soon send again all that is not acknowledged: the connection was lost."""
        for message in self._unacknowledged.values():
            message.sent_at = 0.0

    def refused(self, subject: str, reason: str) -> None:
        """Fail what is not acknowledged of a subject: the server refuses one message of it.

        Which one it does not say, and it may have taken another before its permissions changed.
        """
        for message in self._unacknowledged.values():
            if message.subject == subject and message.sent and not message.outcome.done():
                message.outcome.set_exception(
                    OutcomeUnknownError(
                        f"a message for stream {self._stream} was refused on its way: {reason}"
                    )
                )

    async def _send(self, reply: str, message: _Unacknowledged, now: float) -> None:
        message.sent_at = now
        try:
            await self._connection.publish(message.subject, message.frame, reply, message.headers)
        except (NotConnectedError, TransportError) as error:
            message.refusal = error  # until the connection is back
        else:
            message.sent += 1

    def _on_answer(self, answer: Msg) -> None:
        """Take an acknowledgement, or an error of the server."""
        message = self._unacknowledged.get(answer.subject)
        if message is None or message.outcome.done():
            return
        data = answer.data
        if data.startswith(b"{") and b'"error"' not in data:
            message.outcome.set_result(None)
            return
        code, error = self._refusal(data)
        if code in _TRANSIENT:
            message.refusal = error
        else:
            message.outcome.set_exception(error)

    def _refusal(self, data: bytes) -> tuple[int, TransportError | MailboxFullError]:
        """Return the code and the error for an answer that is no acknowledgement."""
        if not data:  # no stream has the subject
            self._on_missing()
            return 503, TransportError(
                f"there is no stream for this message: {self._stream} is missing, or JetStream has"
                " no leader"
            )
        try:
            details: dict[str, Any] = json.loads(data)["error"]
            code, text = int(details["code"]), str(details.get("description", ""))
            kind = details.get("err_code")
        except (ValueError, TypeError, KeyError):
            return 0, TransportError(f"stream {self._stream} answered {data[:200]!r}")
        if (kind == _STORE_FAILED and "exceeded" in text) or kind == _NO_RESOURCES:
            return code, MailboxFullError(
                f"stream {self._stream} is full ({text}): agents process more slowly than"
                " messages come; raise max_bytes or the server's max_file_store, or send less"
            )
        if kind == _STORE_FAILED and _DISK_FULL in text:
            return code, TransportError(
                f"a message is not stored: the disk of stream {self._stream} is full ({text}); make"
                " room there, and start the server again if it stays silent"
            )
        return code, TransportError(f"stream {self._stream} refused a message: {text} ({kind})")

    async def _sweep(self) -> None:
        """Send again what has no answer, and fail what has no time left."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_INTERVAL)
            now = loop.time()
            for reply, message in list(self._unacknowledged.items()):
                if message.outcome.done():
                    continue
                if now >= message.deadline:
                    self._fail(message, f"not within {self._limit:g} s")
                elif message.refusal is not None or now - message.sent_at > _REPEAT_AFTER:
                    await self._send_again(reply, message, now)

    async def _send_again(self, reply: str, message: _Unacknowledged, now: float) -> None:
        """Send a message once more; an error is raised in its own `publish`, not in this task."""
        try:
            if self._connection.is_up and self._connection.has_room:  # do not hold up the others
                message.refusal = None
                await self._send(reply, message, now)
        except BaseException as error:  # noqa: BLE001 - raised by its `publish`
            crash = crash_unless_cancelled(error)
            if not message.outcome.done():
                message.outcome.set_exception(crash)

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
