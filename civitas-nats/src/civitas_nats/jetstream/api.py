"""JetStreamAPI: requests to JetStream about streams, messages and consumers, with retries."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import nats.errors
from nats.js import JetStreamManager
from nats.js.api import ConsumerConfig, ConsumerInfo, RawStreamMsg, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from civitas.errors import AccessDeniedError, ConfigurationError, NotConnectedError, TransportError
from civitas_nats.client import offers_jetstream
from civitas_nats.connection import Connection
from civitas_nats.urls import mask_logins

T = TypeVar("T")

_API: Final = "$JS.API."
"""What the subjects of requests begin with."""

_ANSWER_WITHIN: Final = 2.0
"""Seconds for the answer to one attempt."""

_BETWEEN_TRIES: Final = 0.25

_WITHOUT_JETSTREAM: Final = 1.0
"""Seconds for all attempts where the present server itself has no JetStream."""

_NOT_ENABLED: Final = frozenset({10039, 10076})
"""Error codes: JetStream is not enabled, for this account or at all."""

_NAME_IN_USE: Final = 10058
"""Error code: there is a stream of that name with another configuration."""

_NO_RESPONDERS: Final = None
"""Code of the error that nats-py (2.16) raises for "no responders"."""

_SUBJECTS_OVERLAP: Final = 10065
"""Error code: another stream has some of the subjects."""

_TRANSIENT: Final = frozenset({_NO_RESPONDERS, 408, 503})


class JetStreamAPI:
    """Asks JetStream, again and again: a cluster that elects a leader does not answer for a while.

    Args:
        connection: carries the requests.
        limit: seconds for one request, with all repetitions.
    """

    def __init__(self, connection: Connection, limit: float) -> None:
        self._connection = connection
        self._limit = limit
        self._refused_at = -math.inf
        self._refusal = ""

    def refused(self, subject: str, reason: str) -> None:
        """Take the server's word that it has refused a message: a request of ours, perhaps.

        Requests that are under way and not answered then raise AccessDeniedError.
        """
        if subject.startswith(_API):
            self._refused_at = asyncio.get_running_loop().time()
            self._refusal = f"JetStream can't be asked: {reason}; see the permissions of the login"

    async def stream(self, name: str, subjects: str | None = None) -> StreamInfo | None:
        """Return information about a stream; None when there is none.

        Args:
            name: the stream's name.
            subjects: a pattern; the messages of each subject that matches are counted.
        """
        return await self._optional(lambda manager: manager.stream_info(name, subjects))

    async def create_stream(self, config: StreamConfig) -> StreamInfo | None:
        """Create a stream; return None when there is one of that name that differs."""
        try:
            return await self._ask(lambda manager: manager.add_stream(config))
        except APIError as error:
            if error.err_code == _NAME_IN_USE:
                return None
            if (
                error.err_code == _SUBJECTS_OVERLAP
                and await self.stream(str(config.name)) is not None
            ):
                return None  # it overlaps with itself: another process created it meanwhile
            raise self._refused(error, f"stream {config.name}") from error

    async def delete_stream(self, name: str) -> None:
        """Delete a stream with all that it keeps, if there is one."""
        await self._optional(lambda manager: manager.delete_stream(name))

    async def message(self, stream: str, number: int) -> RawStreamMsg | None:
        """Return a message of a stream; None when there is none of that number."""
        return await self._optional(lambda manager: manager.get_msg(stream, number))

    async def next_message(self, stream: str, number: int, subjects: str) -> RawStreamMsg | None:
        """Return the first message from `number` on whose subject matches; None if none does."""
        return await self._optional(
            lambda manager: manager.get_msg(stream, number, subjects, next=True)
        )

    async def delete_message(self, stream: str, number: int) -> None:
        """Delete a message of a stream, if it exists."""
        try:
            await self._ask(lambda manager: manager.delete_msg(stream, number))
        except APIError as error:  # of many kinds when there is none (nats-server 2.9.10)
            if await self.message(stream, number) is not None:
                raise self._refused(error, f"message {number} of stream {stream}") from error

    async def consumer(self, stream: str, name: str) -> ConsumerInfo | None:
        """Return information about a consumer; None when there is none."""
        return await self._optional(lambda manager: manager.consumer_info(stream, name))

    async def put_consumer(self, stream: str, config: ConsumerConfig) -> ConsumerInfo:
        """Create a consumer, or change the one that there is."""
        try:
            return await self._ask(lambda manager: manager.add_consumer(stream, config))
        except APIError as error:
            raise self._refused(error, f"consumer {config.durable_name!r}") from error

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer, if there is one."""
        try:
            await self._optional(lambda manager: manager.delete_consumer(stream, name))
        except TransportError:  # "directory not empty", but it is deleted (nats-server 2.9.10)
            if await self.consumer(stream, name) is not None:
                raise

    async def _optional(self, request: Callable[[JetStreamManager], Awaitable[T]]) -> T | None:
        try:
            return await self._ask(request)
        except NotFoundError:
            return None
        except APIError as error:
            raise self._refused(error, "JetStream") from error

    async def _ask(self, request: Callable[[JetStreamManager], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + self._limit
        while True:
            try:
                manager = self._connection.client.jsm(timeout=_ANSWER_WITHIN)
                async with asyncio.timeout_at(deadline):
                    return await request(manager)
            except APIError as error:
                if error.err_code in _NOT_ENABLED:
                    raise self._not_enabled() from error
                if error.code not in _TRANSIENT:
                    raise
                if not offers_jetstream(self._connection.client):  # another server may
                    deadline = min(deadline, began + _WITHOUT_JETSTREAM)
                problem: Exception = error
            except (TimeoutError, nats.errors.Error) as error:
                if self._refused_at >= began:
                    raise AccessDeniedError(self._refusal) from error
                problem = error
            except (ValueError, TypeError, KeyError) as error:
                raise TransportError(f"JetStream gave an answer that is none: {error!r}") from error
            if loop.time() + _BETWEEN_TRIES > deadline:
                raise self._no_answer(problem) from problem
            await asyncio.sleep(_BETWEEN_TRIES)

    def _no_answer(self, problem: Exception) -> Exception:
        if isinstance(problem, APIError):
            if problem.code is _NO_RESPONDERS:
                return self._not_enabled()
            return TransportError(f"JetStream is not available: {problem.description}")
        return NotConnectedError(
            f"JetStream at {mask_logins(self._connection.servers)} did not answer within"
            f" {self._limit:g} s"
        )

    def _not_enabled(self) -> ConfigurationError:
        return ConfigurationError(
            f"JetStream is not enabled at {mask_logins(self._connection.servers)}: start"
            " nats-server with --jetstream, or enable it for the account"
        )

    def _refused(self, error: APIError, what: str) -> TransportError:
        return TransportError(f"{what}: {error.description} ({error.err_code})")
