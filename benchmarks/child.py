"""Child: a process that is started once and told what to measure, a line of JSON at a time.

Both ends of the pipe are here, in the standard library alone: programs of peers run in environments
that have nothing of ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[1]

_PATIENCE: Final = 20.0
"""Seconds in which a child ends by itself."""

_SHOWN: Final = 15
"""Lines of what a failed child has written to its standard error that are shown."""


class ChildError(RuntimeError):
    """A program failed; the message has the end of what it said."""


class Child:
    """A running `python -m benchmarks.PROGRAM ARGUMENTS`, which answers each command with a value.

    It is in a session of its own, so that Ctrl-C reaches only its parent, which ends it.

    Args:
        program: a module of `benchmarks` whose `main` calls `obey`.
        arguments: which of its processes it is, and what it is told besides.
        python: the interpreter that it runs in; this one, when left out.

    Raises:
        ChildError: it did not start.
    """

    def __init__(self, program: str, *arguments: str, python: Path | None = None) -> None:
        self._name = " ".join((program, *arguments[:1]))
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `_end`
        self._process = subprocess.Popen(
            [python or sys.executable, "-m", f"benchmarks.{program}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            self.facts: dict[str, Any] = self._read()
            """What it says of itself: its `version`, and a `note` where there is one."""
        except BaseException:
            self._end()
            raise

    def __call__(self, command: str, **arguments: Any) -> Any:
        """Have the program do something and return what it says.

        Raises:
            ChildError: it failed.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None:  # it may be at work, and does not hear that the pipe is closed
            self._process.kill()
        self._end()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
            self._errors.seek(0)
            said = "".join(self._errors.readlines()[-_SHOWN:])
            raise ChildError(f"{self._name} ended with {self._process.poll()}:\n{said}")
        return json.loads(line)

    def _end(self) -> None:
        """Let it end, and end what it has left in its session."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()


async def obey(
    commands: Mapping[str, Callable[..., Any]], facts: Mapping[str, Any] | None = None
) -> None:
    """Say that this program is ready, with facts, and do what its parent says.

    It returns when the parent closes the pipe. What is printed goes to the standard error.
    """
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(2, 1)

        def say(value: Any) -> None:
            pipe.write(json.dumps(value) + "\n")
            pipe.flush()

        say(dict(facts or {}))
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, arguments = json.loads(line)
            say(await commands[command](**arguments))
