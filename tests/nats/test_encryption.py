"""A login is not sent to a server that does not encrypt, where encryption is asked for."""

from __future__ import annotations

import asyncio
import json

import pytest

from civitas.errors import ConfigurationError, NotConnectedError
from civitas_nats.options import NATSOptions
from civitas_nats.transport import NATSTransport
from support.certificates import Certificates

INFO = {"server_id": "x", "version": "2.9.10", "max_payload": 1 << 20, "headers": True, "proto": 1}


class Listener:
    """What listens at a server's port: it greets without encryption, and notes what it gets."""

    def __init__(self) -> None:
        self.told = b""
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for visit in self._visits:
            visit.cancel()
        if self._visits:
            await asyncio.wait(self._visits)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        assert visit is not None
        self._visits.add(visit)
        writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        try:
            while line := await reader.readline():
                self.told += line
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
        finally:
            writer.close()
            self._visits.discard(visit)


@pytest.fixture
async def listener():
    made = Listener()
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_token_is_not_told_to_a_server_that_does_not_encrypt(
    listener: Listener, certificates: Certificates, scheme: str
) -> None:
    tls = {"ca": certificates.ca} if scheme == "nats" else None
    options = NATSOptions(
        servers=f"{scheme}://127.0.0.1:{listener.port}", token="s3cret", tls=tls, connect_timeout=5
    )
    transport = NATSTransport(options)
    with pytest.raises(ConfigurationError, match="does not encrypt"):
        await transport.start()
    await transport.stop()
    assert listener.told == b""


async def test_without_encryption_asked_for_it_is_told(listener: Listener) -> None:
    options = NATSOptions(
        servers=f"nats://127.0.0.1:{listener.port}", token="s3cret", connect_timeout=0.5
    )
    transport = NATSTransport(options)
    with pytest.raises(NotConnectedError, match="no answer"):  # but to pings
        await transport.start()
    await transport.stop()
    assert b"s3cret" in listener.told
