"""Whether a stream catches the messages to agents though JetStream is off: then a start is refused.

Such a stream is left from a time when `jetstream` was on. It would keep all that is sent now, and
give it to the agents again when JetStream is switched on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

from nats.aio.msg import Msg

from civitas.errors import ConfigurationError
from civitas_nats.connection import Connection
from civitas_nats.refusals import STREAM_NAMES
from civitas_nats.urls import mask_logins

_ANSWER_WITHIN: Final = 2.0


class CatchingStreams:
    """Asks JetStream which streams have some of the subjects of agents.

    Args:
        subjects: a pattern for the subjects of agents.
        logger: where it is noted that nobody knows.
    """

    def __init__(self, subjects: str, logger: logging.Logger) -> None:
        self._subjects = subjects
        self._logger = logger
        self._answer: asyncio.Future[bytes | None] | None = None

    def refused(self, subject: str) -> None:
        """Take the server's word that this login may not ask."""
        if subject == STREAM_NAMES:
            self._set(None)

    async def check(self, connection: Connection) -> None:
        """See that there is none, as far as this login may know.

        Raises:
            ConfigurationError: there is one; the message says what to do.
        """
        answer = self._answer = asyncio.get_running_loop().create_future()
        reply = f"{connection.inbox}.streams"
        subscription = await connection.subscribe(reply, self._on_message)
        try:
            question = json.dumps({"subject": self._subjects}).encode()
            await connection.publish(STREAM_NAMES, question, reply)
            async with asyncio.timeout(_ANSWER_WITHIN):
                names = _names(await answer)
        except TimeoutError:
            names = None
        finally:
            self._answer = None
            await connection.unsubscribe(subscription)
        if names is None:
            self._logger.debug(
                "whether a stream catches %s is not known: JetStream does not tell this login",
                self._subjects,
            )
        elif names:
            raise ConfigurationError(
                f"stream {names[0]} at {mask_logins(connection.servers)} keeps what is sent to"
                f" {self._subjects}, and jetstream is off: all of it would be handled again when"
                " it is switched on. Set jetstream: true; or remove the stream, with what it"
                f" holds (nats stream rm {names[0]}); or choose another subject_prefix"
            )

    def _on_message(self, message: Msg) -> None:
        self._set(message.data)

    def _set(self, answer: bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def _names(answer: bytes | None) -> list[str] | None:
    """Return the names of an answer; None when it was refused."""
    if answer is None:
        return None
    try:
        found: Any = json.loads(answer).get("streams")
    except (ValueError, AttributeError):  # empty: nobody answers there
        return []
    return [str(each) for each in found] if isinstance(found, list) else []
