"""The streams that a command writes to itself, which no other code of its process can reach.

Theory. Code of agents and plugins runs in the process of a command. It may print whenever it likes:
when it is imported, in a thread of its own, at exit. It may replace, detach or close `sys.stdout`
and `sys.stderr`. So a command writes its errors, and once such code may run its result too, to
streams of its own; then stdout is stderr for everybody else, to the end of the process.

    state     | `out()` is    | file descriptor of stdout | leaves it by
    ----------+---------------+---------------------------+------------------------------
    closed    | `sys.stdout`  | as it was                 | open_streams -> open
    open      | `sys.stdout`  | as it was                 | reserve_stdout -> reserved
    reserved  | its own       | that of stderr            | close_streams -> closed

A program that ends needs no `close_streams`: what prints at exit must not reach stdout either. What
runs commands and goes on, as tests do, gets its stdout back by it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Final, TextIO

from civitas.errors import CivitasError

_ESCAPED: Final = "backslashreplace"
"""How a character is written that the encoding of a stream has not."""


class _Result(TextIOWrapper):
    """The stream for a result; who reads it may go away, as ever (BrokenPipeError)."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CivitasError(f"stdout can't be written to: {error}") from error


class _Streams:
    """Both streams of a command; `out` is None while it writes to `sys.stdout`."""

    def __init__(self) -> None:
        self._errors = _descriptor(sys.stderr)
        self.err: TextIO = sys.stderr
        if self._errors is not None:
            self.err = _own(TextIOWrapper, sys.stderr, self._errors)
        self.out: TextIO | None = None
        self._stdout: TextIO = sys.stdout
        self._target = self._kept = -1

    def reserve(self) -> None:
        target = _descriptor(sys.stdout)
        if self.out is not None or target is None or self._errors is None:
            return
        sys.stdout.flush()
        self._stdout, self._target, self._kept = sys.stdout, target, os.dup(target)
        self.out = _own(_Result, sys.stdout, self._kept)
        os.dup2(self._errors, target)
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)

    def close(self) -> None:
        if self.out is None:
            return
        with suppress(OSError, ValueError):  # others may have closed it, or nobody reads it
            self._stdout.flush()
        with suppress(OSError):
            self.out.flush()
        os.dup2(self._kept, self._target)
        os.close(self._kept)
        sys.stdout = self._stdout


_streams: _Streams | None = None


def open_streams() -> None:
    """Let stdout and stderr take everything, and begin to write errors to a stream of our own.

    A character that can't be shown is escaped. Python has `None` for a stream that was closed
    before the process started.
    """
    global _streams  # noqa: PLW0603 - a process has one stdout
    replace_unusable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)
    _streams = _Streams()


def reserve_stdout() -> None:
    """From now on, send to stderr what others print to stdout, be it by C code or by a child.

    It does nothing where stdout is no file, or streams were not opened.
    """
    if _streams is not None:
        _streams.reserve()


def replace_unusable() -> None:
    """Replace `sys.stdout` and `sys.stderr` by nothing, where others have left what can't be used.

    Python flushes both at its end, and exits with 120 where that fails. One whose reader has gone,
    or whose disk is full, stays.
    """
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            continue
        except Exception:  # noqa: BLE001 - closed, detached, or anything at all in its place
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - used to the end


def close_streams() -> None:
    """Give stdout back, for a program that goes on."""
    global _streams  # noqa: PLW0603 - a process has one stdout
    if _streams is not None:
        _streams.close()
        _streams = None


def discard() -> None:
    """Let what the stream for the result still holds go nowhere: Python writes it at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out().fileno())
        os.close(nowhere)


def out() -> TextIO:
    """Return the stream for the result of a command."""
    return sys.stdout if _streams is None or _streams.out is None else _streams.out


def err() -> TextIO:
    """Return the stream for errors and remarks of a command."""
    return sys.stderr if _streams is None else _streams.err


def _own(kind: type[TextIOWrapper], stream: TextIO, descriptor: int) -> TextIO:
    """Return another stream that writes to a descriptor as this one does."""
    raw = open(descriptor, "wb", closefd=False)  # noqa: SIM115 - used to the end
    line_buffering = stream is sys.stderr or raw.isatty()
    return kind(raw, stream.encoding, _ESCAPED, line_buffering=line_buffering)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a test has put a text into its place
        return None
