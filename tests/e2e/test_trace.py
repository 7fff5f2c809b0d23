"""`civitas trace` on what the processes of a real system have logged."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, completed

pytestmark = pytest.mark.slow

AGENTS = """
    import logging

    class Desk(AgentProcess):
        async def handle(self, message):
            logging.getLogger("mine").warning("asking")
            return self.reply((await self.ask("press", {}, "print")).payload)

    class Press(AgentProcess):
        async def handle(self, message):
            return self.reply({"pages": 2})
"""


def test_a_message_is_followed_through_two_processes(
    start: Callable[..., Any], app: Callable[..., Path]
) -> None:
    file = app(
        AGENTS, "name: desk, type: agents.Desk", "name: press, type: agents.Press, process: w"
    )
    folder = file.parent
    bus = f"transport: {{type: zmq, pub_addr: 'ipc://{folder}/p', sub_addr: 'ipc://{folder}/s'}}\n"
    file.write_text(f"{bus}instruments: [log]\n{file.read_text()}")
    up = start("up", "topology.yaml", "--log-format=json")
    up.until("running: 1 agent")
    up.wait_for(lambda: up.count("running: 1 agent") == 2, "both processes to run")
    asked = completed(COMMAND, "ask", "desk", "{}", cwd=folder)
    assert json.loads(asked.stdout) == {"pages": 2}, asked.stderr
    up.until("handled message by desk")
    up.signal(signal.SIGTERM)
    assert up.wait() == 0
    (folder / "log").write_text("\n".join([*up.err, "no json"]))
    handled = next(json.loads(line) for line in up.err if "handled message by desk" in line)

    told = completed(COMMAND, "trace", handled["trace"], "log", cwd=folder)

    assert told.stderr == "note: 1 line passed over that no log in JSON has\n"
    lines = told.stdout.splitlines()
    assert lines[1].endswith(" -> desk")
    assert "handled in supervisor, took " in lines[2]
    assert lines[3].endswith(" warning supervisor/desk mine: asking")
    assert "print desk -> press  sent +" in lines[4]
    assert lines[5].startswith("    └── +")
    assert "handled in w, took " in lines[5]
