"""Child: a process that is started once and told what to measure, a line of JSON at a time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

_PATIENCE: Final = 20.0
"""Seconds in which a child ends by itself."""


class Child:
    """A running `python -m module role arguments`, which answers each command with a value.

    Args:
        module: a module of `benchmarks` whose `main` calls `obey`.
        role: which of the module's processes it is.
        arguments: what it is told besides.
    """

    def __init__(self, module: str, role: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", role, *arguments]
        # In a group of its own, since a Ctrl-C is for the parent alone, which ends its children.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        self._name = f"the process {module} {role}"
        self._read()  # it is ready

    def __call__(self, command: str, **arguments: Any) -> Any:
        """Have the child do something and return what it says."""
        assert self._process.stdin is not None
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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if exc is not None:  # it may be at work, and does not hear that the pipe is closed
            self._process.kill()
        self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._process.wait()}")
        return json.loads(line)


async def obey(commands: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    """Say that this process is ready, and do what its parent says until that closes the pipe."""
    _say(None)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, arguments = json.loads(line)
        _say(await commands[command](**arguments))


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
