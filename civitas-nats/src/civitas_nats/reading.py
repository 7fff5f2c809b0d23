"""Reading: hands messages on in the turn of the event loop in which their bytes come.

nats-py 2.16 puts what comes into a stream, and wakes its reader, a task that parses it: one turn of
the loop more, and two coroutines for each message. `EagerReader` stands before the stream and takes
whole messages itself, as long as nats-py has nothing left to parse. All else it gives to nats-py,
with everything that follows it, so that nothing is overtaken:

    nats-py has   | what comes                                   | becomes of it
    --------------+----------------------------------------------+----------------------------
    nothing left  | a whole message without headers, for a Taker | handed on at once
                  | ... for another subscription                 | to nats-py, with the rest
                  | the beginning of one; another line           | to nats-py, with the rest
    something     | anything                                     | to nats-py

On one processor an ask takes 9% less by it, and a message of a stream 7%.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, TypeAlias

from nats.aio.msg import Msg

_message_line: Final = re.compile(
    rb"MSG ([^\s]+) ([0-9]{1,18}) (?:([^\s]+) )?([0-9]{1,18})\r\n"
).match
_MESSAGE: Final = b"MSG "
_END: Final = b"\r\n"

HandOn: TypeAlias = Callable[[int, bytes, bytes, bytes], bool]
"""Called with the number of a subscription, subject, reply subject and data of a message; it
returns False where that is for nats-py."""


class Taker:
    """Stands for the future that nats-py sets to the answer of a request (2.16): each message."""

    __slots__ = ("set_result",)

    def __init__(self, take: Callable[[Msg], None]) -> None:
        self.set_result = take

    def cancelled(self) -> bool:
        """Return False: it takes messages as long as its subscription lasts."""
        return False


class EagerReader(asyncio.Protocol):
    """Hands on what it can of what a socket reads, and gives the rest to nats-py's stream.

    Args:
        stream: the protocol that the socket had before.
        is_next: returns whether nats-py has nothing left to parse.
        hand_on: takes a message. It never raises.
    """

    def __init__(
        self, stream: asyncio.Protocol, is_next: Callable[[], bool], hand_on: HandOn
    ) -> None:
        self._stream = stream
        self._is_next = is_next
        self._hand_on = hand_on

    def data_received(self, data: bytes) -> None:
        """Take the messages that the bytes begin with."""
        if data.startswith(_MESSAGE) and self._is_next():
            taken = self._take(data)
            if taken == len(data):
                return
            data = data[taken:]
        self._stream.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the stream."""
        self._stream.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Tell the stream, which decides."""
        return self._stream.eof_received()

    def pause_writing(self) -> None:
        """Let those who drain the stream wait."""
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        """Let them go on."""
        self._stream.resume_writing()

    def _take(self, data: bytes) -> int:
        """Return how many bytes, from the first on, were messages that are handed on."""
        at, size = 0, len(data)
        while (line := _message_line(data, at)) is not None:
            subject, sid, reply, length = line.groups()
            begin = line.end()
            end = begin + int(length)
            if end + 2 > size or data[end : end + 2] != _END:
                break
            if not self._hand_on(int(sid), subject, reply or b"", data[begin:end]):
                break
            at = end + 2
            if at < size and not self._is_next():  # whoever took it has closed the client
                break
        return at
