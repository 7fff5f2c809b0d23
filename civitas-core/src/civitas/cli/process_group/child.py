"""One process of the group: starts it, reads its output, signals it and notices its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Final

from civitas.cli.process_group.console import Lines, Stream

ShowLines = Callable[[Stream, list[bytes]], None]
"""Takes lines that a process wrote, and the stream that it wrote them to."""

_CHUNK: Final = 64 * 1024
_LAST_CHUNKS: Final = 16
"""Chunks that are read from a process that has ended: all that fits into a pipe."""


class Child:
    """A process in a session of its own, so that a Ctrl-C at the terminal does not reach it.

    `poll` must be called on SIGCHLD. Waiting in threads, as asyncio does on Python 3.11, would reap
    a process that another thread is about to signal. `show` is given the lines that it writes.

    Raises:
        OSError: the program can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        show: ShowLines,
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """Its exit code, or minus the signal that killed it. All its output was shown before."""
        self._open: dict[IO[bytes], tuple[Stream, Lines]] = {}
        pipes = (self._process.stdout, self._process.stderr)
        for stream, pipe in zip(Stream, pipes, strict=True):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._open[pipe] = (stream, Lines())
            self._loop.add_reader(pipe, self._read, pipe)

    def poll(self) -> None:
        """Notice whether it has ended."""
        code = self._process.poll()
        if code is None or self.ended.done():
            return
        self._signal_group(signal.SIGTERM)  # for what it started and left behind
        for pipe in list(self._open):
            chunks = 0
            while chunks < _LAST_CHUNKS and self._read(pipe):
                chunks += 1
            self._close(pipe)
        self.ended.set_result(code)

    def terminate(self) -> None:
        """Send it SIGTERM, which ends it in order."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it and all that it started. Safe in a signal handler."""
        if self._process.returncode is None:
            self._signal_group(signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it still runs, reap it and close its pipes."""
        self.kill()
        self._process.wait()
        for pipe in list(self._open):
            self._close(pipe)

    def _read(self, pipe: IO[bytes]) -> bool:
        """Show what can be read now; return whether there may be more."""
        stream, lines = self._open[pipe]
        try:
            chunk = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if chunk:
            self._show(stream, lines.feed(chunk))
        else:
            self._close(pipe)
        return pipe in self._open

    def _close(self, pipe: IO[bytes]) -> None:
        """Show the last line if it has no end, and close the pipe, once."""
        if pipe not in self._open:
            return
        self._loop.remove_reader(pipe)
        stream, lines = self._open.pop(pipe)
        pipe.close()
        if last := lines.rest():
            self._show(stream, [last])

    def _signal_group(self, number: signal.Signals) -> None:
        # Nobody is left in the group, or, on macOS, only the dead.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
