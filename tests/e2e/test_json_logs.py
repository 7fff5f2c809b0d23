"""`--log-format json`: what the installed command writes to stderr are objects, one a line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, completed

pytestmark = pytest.mark.slow

Start = Callable[..., Any]

AGENTS = """
    import logging, threading, warnings

    log = logging.getLogger("mine")

    class Odd:
        def __repr__(self):
            raise ValueError("no text")

    class Logs(AgentProcess):
        async def on_start(self):
            log.info("two\\nlines %s", "\\x1b[2J")
            log.info("odd %d", "x", extra={"odd": Odd()})
            warnings.warn("careful")
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
            print("printed")
            await self.send(self.name, {})

        async def handle(self, message):
            try:
                raise ValueError("no such order")
            except ValueError:
                log.exception("in hand")
            if message.payload != {"last": True}:
                self.stop()
"""


def objects(lines: list[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message", "process"} <= set(each) for each in found)
    return found


def test_all_that_up_and_its_processes_write_are_objects(app: Callable[..., Path]) -> None:
    file = app(AGENTS, "name: logs, type: agents.Logs")

    done = completed(COMMAND, "up", file, "--app-dir", file.parent, "--log-format=json")

    assert done.returncode == 0, done.stderr
    told = {each["message"]: each for each in objects(done.stderr.splitlines())}
    assert told["starting supervisor; Ctrl-C stops"]["process"] == "up"
    assert told["running: 1 agent; Ctrl-C stops"]["process"] == "supervisor"
    assert told[r"two\nlines \x1b[2J"]["agent"] == "logs"
    (odd,) = (each for each in told.values() if "does not fit" in each["message"])
    assert "its repr failed" in odd["extra"]["odd"]
    assert any(each["logger"] == "py.warnings" for each in told.values())
    assert any("raised ZeroDivisionError" in each for each in told)
    in_hand = told["in hand"]
    assert in_hand["exception"]["type"] == "ValueError"
    assert (in_hand["agent"], bool(in_hand["trace"])) == ("logs", True)
    (printed,) = objects(done.stdout.splitlines())
    assert (printed["message"], printed["logger"]) == ("printed", "stdout")


def test_what_run_says_itself_are_objects_too(app: Callable[..., Path], start: Start) -> None:
    file = app("", "name: a, type: civitas.process.AgentProcess")

    running = start("run", str(file), "--log-format=json")
    running.until("running: 1 agent")
    running.signal(signal.SIGTERM)

    assert running.wait() == 0
    told = [each["message"] for each in objects(running.err)]
    assert "SIGTERM: finishing the work in hand; once more to stop at once" in told
    failed = completed(COMMAND, "run", file.parent / "nowhere.yaml", "--log-format=json")
    (error,) = objects(failed.stderr.splitlines())
    assert (failed.returncode, error["level"]) == (2, "error")
