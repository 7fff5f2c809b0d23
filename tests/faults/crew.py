"""The agents of the systems that faults are done to."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from civitas import AgentProcess, CivitasError, Message


class Subject(AgentProcess):
    """Does to itself what it is told to, and answers who it is."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.life = os.urandom(4).hex()

    async def handle(self, message: Message) -> Message:
        match message.payload:
            case {"crash": text}:
                raise RuntimeError(text)
            case {"block": seconds, **rest}:
                Path(rest.get("begin", "begun")).touch()
                time.sleep(seconds)  # noqa: ASYNC251 - stands for a call that holds the thread
            case {"begin": begun, "until": file}:
                Path(begun).touch()
                while not Path(file).exists():
                    await asyncio.sleep(0.01)
            case {"note": text} | {"number": text}:
                self._note(text)
            case {"exit": code}:
                os._exit(code)
            case {"ask": other, **rest}:
                answer = await self.ask(other, {}, timeout=rest.get("timeout", 30.0))
                return self.reply({"asked": answer.payload})
        return self.reply({"pid": os.getpid(), "life": self.life})

    def _note(self, text: str) -> None:
        with Path(f"{self.name}.notes").open("a") as notes:
            notes.write(f"{text}\n")


class Several(Subject):
    """Notes with which messages it begins and ends, and holds some until a file is there."""

    async def handle(self, message: Message) -> Message:
        number, until = message.payload["number"], message.payload.get("until")
        self._note(f"begins:{number}:{message.attempt}")
        while until is not None and not Path(until).exists():
            await asyncio.sleep(0.01)
        self._note(f"ends:{number}")
        return self.reply({})


class Many(AgentProcess):
    """One of thousands: answers, and says nothing of itself."""

    async def handle(self, message: Message) -> Message:
        return self.reply({"pid": os.getpid()})


class Crowd(AgentProcess):
    """Asks many agents at once, so that a test need not."""

    async def handle(self, message: Message) -> Message:
        async def ask(name: str) -> str:
            try:
                return str((await self.ask(name, {}, timeout=20.0)).payload["pid"])
            except Exception as error:  # noqa: BLE001 - the test judges
                return type(error).__name__

        names: list[str] = message.payload["names"]
        answers = await asyncio.gather(*map(ask, names))
        return self.reply({answer: answers.count(answer) for answer in set(answers)})


_BURST = 50


class Stream(AgentProcess):
    """Sends to an agent in bursts until a file is there, and tells what became of it.

    Between two bursts it rests, 5 ms unless the payload has a `rest` of its own: a stream without
    an end would take a processor from the tests beside it.
    """

    async def handle(self, message: Message) -> Message:
        sent, failed, rest = 0, 0, message.payload.get("rest", 0.005)
        Path("streaming").touch()
        while not Path(message.payload["until"]).exists():
            try:
                await self.send(message.payload["to"], {"number": sent})
                sent += 1
            except CivitasError:
                failed += 1
                await asyncio.sleep(0.01)
            if sent % _BURST == 0 and rest:
                await asyncio.sleep(rest)
        return self.reply({"sent": sent, "failed": failed})


class Console(AgentProcess):
    """Lets a test send and ask from within its process, over a socket of its own."""

    async def on_start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        written = Path(f"{self.name}.new")
        written.write_text(f"{port} {os.getpid()}")
        written.rename(f"{self.name}.port")

    async def on_stop(self) -> None:
        self._server.close()

    async def handle(self, message: Message) -> Message:
        return self.reply({"pid": os.getpid()})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        try:
            answer = {"answer": await self._do(**order)}
        except Exception as error:  # noqa: BLE001 - the test judges
            answer = {"error": type(error).__name__, "text": str(error)}
        with suppress(OSError):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
            writer.close()

    async def _do(self, verb: str, to: str, payload: dict[str, Any], timeout: float) -> Any:
        if verb == "ask":
            return (await self.ask(to, payload, timeout=timeout)).payload
        if verb == "size":
            payload = {"data": "x" * payload["bytes"]}
        await self.send(to, payload)
        return None
