"""One process that was started: what it writes, how it is told to end, and that it has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Final

from civitas.cli.fleet.console import Lines, Stream

Show = Callable[[Stream, list[bytes]], None]
"""Takes lines that a process wrote, and where to."""

_CHUNK: Final = 64 * 1024
_LAST_CHUNKS: Final = 16
"""Chunks that are read of a process that has ended: all that fits into a pipe."""


class Child:
    """A process in a session of its own, so that a Ctrl-C at the terminal does not reach it.

    It must be polled on SIGCHLD. Waiting in threads, as asyncio does on Python 3.11, would reap
    processes that another thread is about to signal.

    Args:
        command: the program and its arguments.
        show: what to do with the lines that it writes.
        pass_fds: file descriptors that it inherits.

    Raises:
        OSError: the program can't be started.
    """

    def __init__(self, command: Sequence[str], show: Show, pass_fds: Sequence[int] = ()) -> None:
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """Its exit code, or the signal's number below zero; all that it wrote was shown."""
        self._open: dict[IO[bytes], tuple[Stream, Lines]] = {}
        for stream, pipe in (
            (Stream.OUT, self._process.stdout),
            (Stream.ERR, self._process.stderr),
        ):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._open[pipe] = (stream, Lines())
            self._loop.add_reader(pipe, self._read, pipe)

    def poll(self) -> None:
        """Look whether it has ended."""
        code = self._process.poll()
        if code is None or self.ended.done():
            return
        self._signal_group(signal.SIGTERM)  # what it started itself and left behind
        for pipe in list(self._open):
            for _ in range(_LAST_CHUNKS):
                if not self._read(pipe):
                    break
            self._close(pipe)
        self.ended.set_result(code)

    def terminate(self) -> None:
        """Tell it to end in order."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it, and all that it started in its group. Safe in a signal handler."""
        if self._process.returncode is None:
            self._signal_group(signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it still runs, and leave nothing of it behind."""
        self.kill()
        self._process.wait()
        for pipe in list(self._open):
            self._close(pipe)

    def _read(self, pipe: IO[bytes]) -> bool:
        """Show what there is to read; return whether there may be more."""
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
        """Show the line that has no end, and close the pipe unless that was done."""
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
