"""TcpLink: a way to a server on this machine that a test can cut and mend, in a process apart."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from typing import Final, Self

from civitas.testing.server_process import HOST, free_port

_UP_WITHIN: Final = 20.0
_READY: Final = "ready\n"


class TcpLink:
    """Passes bytes between those who connect to `port` and a server. Use it as a context.

    It has the methods that the kit's fixture `link` needs.

    Args:
        to: the server's port, on the loopback interface.

    Attributes:
        port: where clients connect; the same after the link was cut and mended.
    """

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._process: subprocess.Popen[str] | None = None

    def cut(self) -> None:
        """End every connection, and let none in."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_UP_WITHIN)

    def mend(self) -> None:
        """Let connections in; they are let in when this returns.

        Raises:
            RuntimeError: its process did not come up.
        """
        assert self._process is None, "the link is not cut"
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.port), str(self._to)],
            start_new_session=True,  # so that Ctrl-C is for the tests alone
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        with self._process.stdout as output:
            line = output.readline()
        if line != _READY:
            self.cut()
            raise RuntimeError(f"no link at port {self.port}: it said {line!r}")

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()


async def _serve(port: int, to: int) -> None:
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, to)
        except OSError:  # the server is away: the client sees it as without this link
            writer.transport.abort()
            return
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.get_running_loop().create_task(_pass_on(source, target))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, HOST, port)
    sys.stdout.write(_READY)
    sys.stdout.flush()
    await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
