"""HttpServer: answers GET and HEAD, one request for each connection, within fixed limits.

It is for probes and scrapers, so it has what these need of HTTP/1.1 (RFC 9112) and no more: no
bodies of requests, and a connection ends with its answer.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from civitas.errors import crash_unless_cancelled, describe, logger_of
from civitas.transport.tasks import Failed, cancel_task, start_task

logger = logger_of("civitas.health")

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"

MOST_CONNECTIONS: Final = 64
"""Connections at a time."""

LARGEST_HEAD: Final = 8 * 1024
"""Bytes of a request line with its fields."""

REQUEST_TIMEOUT: Final = 5.0
"""Seconds that a client may take to send its request."""

ANSWER_TIMEOUT: Final = 10.0
"""Seconds in which an answer is made, and taken by the client."""

_LINGER: Final = 1.0
"""Seconds that a client may take to close its end: else it might lose what it was sent last."""

_MOST_IGNORED: Final = 64 * 1024
"""Bytes that may come after a request; they are not looked at."""

_END_OF_HEAD: Final = b"\r\n\r\n"
_REQUEST_LINE: Final = re.compile(
    r"(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<target>[!-~]+) HTTP/1\.(?P<minor>[0-9])"
)
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")


class Request(NamedTuple):
    """What a client wants: the path and the query of its target, and the types that it accepts."""

    path: str
    query: str = ""
    accept: str = ""
    head_only: bool = False


class Answer(NamedTuple):
    """What it gets."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT


Respond: TypeAlias = Callable[[Request], Awaitable[Answer]]


def read_request(head: bytes) -> Request | HTTPStatus:
    """Read what stands before the empty line of a request; return the status of what is wrong."""
    first, *lines = head.decode("latin-1").split("\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        return HTTPStatus.BAD_REQUEST
    fields = [_FIELD.fullmatch(line) for line in lines]
    values: dict[str, list[str]] = {}
    for field in fields:
        if field is None:
            return HTTPStatus.BAD_REQUEST
        values.setdefault(field[1].lower(), []).append(field[2])
    hosts = len(values.get("host", ()))
    if hosts > 1 or (hosts == 0 and found["minor"] != "0"):
        return HTTPStatus.BAD_REQUEST
    if found["method"] not in {"GET", "HEAD"}:
        return HTTPStatus.METHOD_NOT_ALLOWED
    try:
        target = urlsplit(found["target"])
    except ValueError:  # such as a bracket without its other half
        return HTTPStatus.BAD_REQUEST
    if not target.path.startswith("/") or target.scheme not in {"", "http"}:
        return HTTPStatus.BAD_REQUEST
    accept = ", ".join(values.get("accept", ()))
    return Request(target.path, target.query, accept, found["method"] == "HEAD")


def written(answer: Answer, *, head_only: bool = False) -> bytes:
    """Return an answer as it is sent."""
    status, body, content_type = answer
    allow = "Allow: GET, HEAD\r\n" if status is HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if head_only else body)


def refusal(status: HTTPStatus) -> Answer:
    """Return the answer to what can't be answered."""
    return Answer(status, f"{status.phrase.lower()}\n".encode())


class HttpServer:
    """Answers at a socket that listens, in the running event loop.

    `respond` makes the answer to a request; `failed` is called when this can't go on.
    `request_timeout` is in seconds.
    """

    def __init__(
        self,
        listener: socket.socket,
        respond: Respond,
        failed: Failed,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self._listener = listener
        self._respond = respond
        self._failed = failed
        self._request_timeout = request_timeout
        self._server: asyncio.Server | None = None
        self._waiting: dict[asyncio.Task[None], None] = {}
        """Connections whose requests have not come yet, the oldest first."""
        self._connections: dict[asyncio.Task[None], None] = {}

    async def start(self) -> None:
        """Answer from now on."""
        self._server = await asyncio.start_server(
            self._connected, sock=self._listener, limit=LARGEST_HEAD
        )

    async def stop(self) -> None:
        """Answer no more, and leave nothing behind."""
        if self._server is not None:
            self._server.close()
        connections = list(self._connections)
        for task in connections:
            cancel_task(task)
        if connections:
            await asyncio.wait(connections)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MOST_CONNECTIONS:
            cancel_task(next(iter(self._waiting or self._connections)))
        work = self._converse(reader, writer)
        task = start_task(work, name="civitas health answer", failed=self._failed)
        self._waiting[task] = self._connections[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task, None)
        self._connections.pop(task, None)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a client's request; whatever goes wrong concerns this connection alone."""
        try:
            answer = await self._answer(reader)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                writer.write(answer)
                await writer.drain()
            writer.write_eof()
            await _let_close(reader)
        except (OSError, TimeoutError) as error:
            logger.debug("a client of the health address has gone: %s", describe(error))
        except BaseException as error:
            crash_unless_cancelled(error)
            logger.exception("an answer at the health address failed")
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """Wait for a request, and return the answer."""
        request = await self._request(reader)
        task = asyncio.current_task()
        assert task is not None
        self._waiting.pop(task, None)
        if isinstance(request, HTTPStatus):
            return written(refusal(request))
        async with asyncio.timeout(ANSWER_TIMEOUT):
            return written(await self._respond(request), head_only=request.head_only)

    async def _request(self, reader: asyncio.StreamReader) -> Request | HTTPStatus:
        try:
            async with asyncio.timeout(self._request_timeout):
                head = await reader.readuntil(_END_OF_HEAD)
        except TimeoutError:
            return HTTPStatus.REQUEST_TIMEOUT
        except asyncio.LimitOverrunError:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("it closed before its request was whole") from error
        return read_request(head.removesuffix(_END_OF_HEAD))


async def _let_close(reader: asyncio.StreamReader) -> None:
    """Wait, not for long, until a client has closed its end."""
    ignored = 0
    try:
        async with asyncio.timeout(_LINGER):
            while ignored < _MOST_IGNORED and (data := await reader.read(_MOST_IGNORED)):
                ignored += len(data)
    except TimeoutError:
        return
