"""Chat rooms behind HTTP: a room keeps its lines in a file, and readers wait for the next one."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from civitas import AgentProcess, CivitasError, Message
from civitas.process import Deferred, Timer

LONGEST_WAIT = 30.0  # seconds that a reader may wait for a line
REQUEST_SECONDS = 10.0  # seconds that a browser has for its request
MOST_BYTES = 64_000  # of what somebody says
MOST_LINES = 100  # of one answer
WRONG = (ValueError, KeyError, TypeError, RecursionError)  # what a bad request raises


class Room(AgentProcess):
    """A room: its lines, and the readers who wait for the next one.

    A line is in a file of `folder` before it is answered, so it outlives the room.
    """

    def __init__(self, name: str, folder: str = "rooms") -> None:
        super().__init__(name, shutdown_timeout=1.0)  # a stop does not wait for readers
        self.path = Path(folder) / f"{name}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lines: list[dict[str, Any]] = []
        self.waiting: dict[str, tuple[Deferred, Timer]] = {}

    async def on_start(self) -> None:
        """Read what was said before."""
        self.file = self.path.open("a+", encoding="utf-8")
        self.file.seek(0)
        self.lines = [json.loads(line) for line in self.file]

    async def on_stop(self) -> None:
        """Close the file."""
        self.file.close()

    async def handle(self, message: Message) -> Message | None:
        """Take a line, or answer a reader, now or later."""
        if message.type == "say":
            return await self.say(message)
        if message.type == "waited":
            later, _ = self.waiting.pop(message.payload["reader"])
            await later.reply({"lines": []})
            return None
        after = max(0, message.payload.get("after", 0))
        wait = min(LONGEST_WAIT, message.payload.get("wait", 0))
        if wait <= 0 or after < len(self.lines):
            return self.reply({"lines": self.lines[after : after + MOST_LINES]})
        timer = self.after(wait, {"reader": message.id}, "waited")
        self.waiting[message.id] = self.defer(), timer
        return None

    async def say(self, message: Message) -> Message:
        """Write a line down, and give it to all who wait for one."""
        by, text = (str(message.payload.get(key, "")) for key in ("by", "text"))
        line = {"number": len(self.lines) + 1, "id": message.id, "by": by, "text": text}
        print(json.dumps(line), file=self.file, flush=True)
        self.lines.append(line)
        waiting, self.waiting = self.waiting, {}
        for later, timer in waiting.values():
            timer.cancel()
            await later.reply({"lines": [line]})
        return self.reply(line)


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Return method, target and body of a request."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    method, target, _ = first.split(" ")
    size = min(int(headers.get("content-length", 0)), MOST_BYTES)
    return method, target, await reader.readexactly(size)


class Web(AgentProcess):
    """Speaks HTTP: `GET /lobby?after=3&wait=20` reads, `POST /lobby` with a JSON object says.

    Args:
        name: the agent's name.
        rooms: names of the rooms that can be reached.
        port: where it listens on this machine; 0 for any free port, None for none.
    """

    def __init__(self, name: str, rooms: list[str], port: int | None = 8080) -> None:
        super().__init__(name)
        self.rooms, self.port = rooms, port
        self.server: asyncio.Server | None = None

    async def on_start(self) -> None:
        """Listen; each connection is served in a task that ends with this agent."""
        if self.port is not None:
            self.server = await asyncio.start_server(
                lambda *streams: self.background(self.serve(*streams), name="a connection"),
                "127.0.0.1",
                self.port,
            )

    async def on_stop(self) -> None:
        """Listen no more."""
        if self.server is not None:
            self.server.close()

    async def handle(self, message: Message) -> Message:
        """Tell where it listens."""
        ports = [each.getsockname()[1] for each in self.server.sockets] if self.server else []
        return self.reply({"urls": [f"http://127.0.0.1:{port}/" for port in ports]})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = await read_request(reader)
                status, answer = await self.respond(*request)
            except (*WRONG, EOFError, OSError, asyncio.LimitOverrunError) as error:
                status, answer = HTTPStatus.BAD_REQUEST, {"error": repr(error)}
            text = json.dumps(answer)
            head = f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
        finally:
            writer.close()

    async def respond(self, method: str, target: str, body: bytes) -> tuple[HTTPStatus, Any]:
        """Ask a room, and return status and answer; raise one of WRONG for a bad request."""
        url = urlsplit(target)
        room, query = url.path.strip("/"), dict(parse_qsl(url.query))
        if room not in self.rooms:
            return HTTPStatus.NOT_FOUND, {"error": f"the rooms are {', '.join(self.rooms)}"}
        if method == "POST":
            said = json.loads(body)
            payload: dict[str, Any] = {"by": str(said["by"]), "text": str(said["text"])}
        else:
            payload = {"after": int(query.get("after", 0)), "wait": float(query.get("wait", 0))}
        try:
            kind = "say" if method == "POST" else "read"
            reply = await self.ask(room, payload, kind, timeout=LONGEST_WAIT + 5)
        except (CivitasError, TimeoutError) as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)}
        return HTTPStatus.OK, reply.payload
