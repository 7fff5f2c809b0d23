"""Many commands, each in a process of its own that is forked from one: that imports them once.

A start of Python with all that a command imports takes half a second of processor time. This is for
tests of what commands print; how they start and end is seen in processes of their own.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

PROGRAMS = ("civitas", "civitas-nats", "civitas-zmq")


class ForkedCommands:
    """Runs commands of the installed programs, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, program: str, *arguments: str, cwd: Path | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; return its exit code and all that it wrote.

        Args:
            program: one of `PROGRAMS`.
            arguments: those of the program.
            cwd: where it runs, if not where all of them do.
            settings: variables of its environment, beside those of all of them.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = [program, *arguments]
        order = {"command": command, "cwd": str(cwd) if cwd else None, "settings": settings}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return subprocess.CompletedProcess(command, **json.loads(self._process.stdout.readline()))


@cache
def of_this_process() -> ForkedCommands:
    """Return those that all tests of this process share, to its end.

    The fixture `forked_programs` calls it before a test begins: what the test leaves behind can be
    told from it then.
    """
    block = forked_commands(Path.cwd())
    commands = block.__enter__()
    atexit.register(block.__exit__, None, None, None)
    return commands


def printed(
    program: str, *arguments: object, cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as `ForkedCommands.run` does, forked from one of this process."""
    return of_this_process().run(program, *map(str, arguments), cwd=cwd, **settings)


@contextmanager
def forked_commands(folder: Path, **settings: str) -> Iterator[ForkedCommands]:
    """Run commands in a folder within the block.

    Args:
        folder: where they run.
        settings: variables of their environment, beside those of this process.
    """
    command = [sys.executable, "-P", __file__]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield ForkedCommands(process)
        finally:
            process.kill()


def serve() -> None:
    """Read a command from each line of stdin, and write what becomes of it to stdout."""
    import_all()
    found = entry_points(group="console_scripts")
    mains = {name: found[name].load() for name in PROGRAMS}
    for line in sys.stdin:
        sys.stdout.write(json.dumps(outcome(mains, **json.loads(line))) + "\n")
        sys.stdout.flush()


def import_all() -> None:
    """Import what commands import when they need it."""
    packages = ("civitas", "civitas_nats", "civitas_zmq")
    for package in map(importlib.import_module, packages):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith("civitas.testing") and "__main__" not in module.name:
                importlib.import_module(module.name)


def outcome(
    mains: dict[str, Any], command: list[str], cwd: str | None, settings: dict[str, str]
) -> dict[str, Any]:
    """Run a command in a child; return its exit code and what it wrote."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            become(mains[command[0]], command, (out.fileno(), err.fileno()), cwd, settings)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return {
            "returncode": os.waitstatus_to_exitcode(status),
            "stdout": out.read().decode(),
            "stderr": err.read().decode(),
        }


def become(
    main: Any, command: list[str], outputs: tuple[int, int], cwd: str | None, env: dict[str, str]
) -> None:
    """Be the process of a command, to its end; whatever happens, never go on as its parent."""
    code = 70  # EX_SOFTWARE: it did not end the process
    out, err = outputs
    try:
        os.chdir(cwd or ".")
        os.environ |= env
        time.tzset()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.argv = command
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
