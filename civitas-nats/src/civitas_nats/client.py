"""The nats-py client with its traps stepped around, and all that is read of its private attributes.

This is the only module that touches private attributes of nats-py. `civitas-nats` pins nats-py to
a minor version for that reason.

Traps, all seen in nats-py 2.16:

- **A stuck reconnect.** When a server stands still and has not taken all bytes, the client closes
  its old connection before it tries another server (`_attempt_reconnect` awaits `wait_closed`).
  That wait lasts for as long as the system keeps sending, 25 s and more. Aborting the socket ends
  it: `socket_of`, `abort_socket`.
- **A close that fails.** A client that has unsent bytes and no connection raises
  ConnectionResetError in the middle of `close`, and its tasks stay behind: `discard_unsent`.
- **A login in clear text.** With certificates given, the client still sends its login to a server
  that does not encrypt: `HardenedClient._connect_command`.
- **A message that ends the reader.** When the reply subject or the first header line of a message
  is not text, the client's reader ends, and the connection stands still until pings are missed. A
  stored message does that again with each delivery: `HardenedClient._build_message` and
  `_process_headers`.
- **A refusal in small letters.** What permissions forbid is given to `error_cb` alone, and with the
  subject in lower case, so that nobody can tell `Till` from `till`: `HardenedClient._process_err`.
- **A socket leak.** When a reconnect fails, its socket is forgotten and stays open. A server that
  stands still or refuses costs one socket for each try, until this process may open no more:
  `HardenedClient._connect_to_server`.
- **A turn for each step.** A message that comes, or goes, waits for another task of nats-py's own:
  `HardenedClient.write`, `civitas_nats.reading`, and `civitas_nats.subscription`.
- **A swallowed cancellation.** nats-py awaits answers in `asyncio.wait_for`: `cancel_and_wait`. So
  a client that is closed may connect again, for ever, and a process not end: `end_reconnecting`.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any, Final

import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.msg import Msg
from nats.protocol import command
from nats.protocol.parser import AWAITING_CONTROL_LINE, ERR_RE

from civitas.transport import cancel_task
from civitas_nats.reading import EagerReader, Taker

_CANCEL_AGAIN_AFTER: Final = 0.05

_MARK: Final = "permissions violation"
_VIOLATION: Final = re.compile(
    f'{_MARK} for (publish|subscription) to "(.*?)"(?: using queue ".*")?$',
    re.IGNORECASE | re.DOTALL,
)


_STATUS_AT: Final = slice(8, 9)
"""Where a space stands in headers with which a server reports something: behind `NATS/1.0`."""


class NotEncryptedError(nats.errors.Error):
    """The server does not encrypt, so no login was sent to it."""


class RefusedError(nats.errors.Error):
    """The server has thrown away what this client sent, and goes on: its permissions forbid it.

    Attributes:
        what: what is forbidden: "publish", "subscription", or "" when it is something else.
        subject: the subject; empty when the server names none.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = _VIOLATION.search(text)
        self.what = "" if found is None else found[1].lower()
        self.subject = "" if found is None else found[2]


class HardenedClient(Client):
    """A client that survives malformed messages, leaks no socket, and guards its login.

    Parts of a message that are not text are left out, and so are the headers of publishers: each
    stored message has some, and nobody reads them here. What permissions forbid is given to
    `error_cb` as a RefusedError.

    Args:
        encrypted: whether a login is sent through encrypted connections only.
    """

    def __init__(self, *, encrypted: bool) -> None:
        super().__init__()
        self._must_encrypt = encrypted
        self.handed_at = 0.0
        """When `hand_over` was last given a message, by `time.monotonic`."""

    def write(self, subject: str, data: bytes) -> bool:
        """Write a message to the socket itself; return False where it is not at once its turn.

        Otherwise the flusher of nats-py 2.16 sends it, a task that a queue wakes: a turn of the
        event loop more.
        """
        socket = None if self._pending_data_size else socket_of(self)
        if (
            socket is None
            or not self.is_connected
            or socket.is_closing()
            or socket.get_write_buffer_size()
            or len(data) > self.max_payload
        ):
            return False
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(data)
        socket.write(command.pub_cmd(subject, "", data))
        return True

    async def _read_loop(self) -> None:
        socket = socket_of(self)
        if socket is not None:
            stream = socket.get_protocol()
            assert isinstance(stream, asyncio.Protocol)
            socket.set_protocol(EagerReader(stream, self._is_next, self._hand_on))
        await super()._read_loop()

    def _is_next(self) -> bool:
        """Return whether what comes now is the next to be parsed: nats-py has nothing left."""
        parser, stream = self._ps, self._transport
        return (
            not parser.buf
            and parser.state == AWAITING_CONTROL_LINE
            and self.is_connected
            and not stream._io_reader._buffer  # type: ignore[union-attr]  # noqa: SLF001
        )

    def _hand_on(self, sid: int, subject: bytes, reply: bytes, data: bytes) -> bool:
        """Hand a message on if its subscription is one of ours; return whether it is."""
        native = self._subs.get(sid)
        taker: object = None if native is None else native._future  # noqa: SLF001 - see above
        if type(taker) is not Taker:
            return False
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        taker.set_result(self._build_message(sid, subject, reply, data, None))
        return True

    async def _connect_to_server(self, s: Srv) -> None:
        socket = socket_of(self)
        if socket is not None:
            abort_socket(socket)
        await super()._connect_to_server(s)

    def _connect_command(self) -> bytes:
        socket = socket_of(self)
        if self._must_encrypt and (socket is None or not socket.get_extra_info("cipher")):
            raise NotEncryptedError("the server does not encrypt")
        command: bytes = super()._connect_command()
        return command

    async def _process_err(self, err_msg: str) -> None:
        if _MARK not in err_msg:
            await super()._process_err(err_msg)
            return
        line = ERR_RE.match(self._ps.buf)  # of which `err_msg` is a copy in lower case
        text = err_msg if line is None else line[1].decode(errors="replace")
        await self._error_cb(RefusedError(text.strip("'")))

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        if not headers or headers[_STATUS_AT] != b" ":
            return None  # of a publisher: to read those took 9 us for each message of a stream
        try:
            return await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError):
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        try:
            subject_text, reply_text = subject.decode(), reply.decode()
        except UnicodeDecodeError:
            subject_text, reply_text = subject.decode(errors="replace"), ""
        return Msg(self, subject_text, reply_text, data, headers, _sid=sid)


def socket_of(client: Client) -> asyncio.WriteTransport | None:
    """Return the socket of a client's present connection; None while there is none."""
    connection = client._transport  # noqa: SLF001 - see above
    writer = getattr(connection, "_io_writer", None)
    return None if writer is None else writer.transport


def abort_socket(socket: asyncio.WriteTransport) -> None:
    """Close a socket at once, without sending what waits.

    Aborting an encrypted socket that is closed already raises AttributeError (Python 3.11.2).
    """
    with suppress(AttributeError):
        socket.abort()


def offers_jetstream(client: Client) -> bool:
    """Return whether the client's present server has announced that it has JetStream."""
    return bool(client._server_info.get("jetstream"))  # noqa: SLF001 - see above


def discard_unsent(client: Client) -> None:
    """Drop what a client has not sent, before it is closed."""
    client._pending = []  # noqa: SLF001 - see above
    client._pending_data_size = 0  # noqa: SLF001 - see above


async def end_reconnecting(client: Client) -> None:
    """Have a client connect no more, before it is closed.

    `close` of nats-py 2.16 cancels that once. One who has swallowed it goes on, and is connected
    when all else of the client has ended.
    """
    await cancel_and_wait(client._reconnection_task)  # noqa: SLF001 - see above


async def cancel_and_wait(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task, and return when it has ended.

    `asyncio.wait_for` ignores a cancellation that comes together with the answer (Python 3.11,
    CPython issue 86296). So the task is cancelled again until it ends.
    """
    while task is not None and not task.done():
        cancel_task(task)
        await asyncio.wait((task,), timeout=_CANCEL_AGAIN_AFTER)
