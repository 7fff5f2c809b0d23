"""What the installed command prints, however Python and the terminal are set."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.commands import COMMAND, completed

pytestmark = pytest.mark.slow

NAMES = ("[red]cook", ":cd:", "a" * 120)
SPEAKS = """
    class Speaks(AgentProcess):
        async def on_start(self):
            print("here")
            self.stop()
"""


def test_names_of_a_system_are_shown_as_they_are_and_whole(app: Callable[..., Path]) -> None:
    file = app(SPEAKS, *(f"name: '{each}', type: agents.Speaks" for each in NAMES))

    done = completed(
        *(COMMAND, "topology", "show", file, "--app-dir", file.parent), TERM="dumb", COLUMNS="40"
    )

    assert done.returncode == 0, done.stderr
    assert [each for each in NAMES if f"─ {each}  type=agents.Speaks" not in done.stdout] == []


def test_a_mistake_on_the_command_line_is_told_whole() -> None:
    path = "/nowhere/[red]" + "x" * 200

    done = completed(COMMAND, "run", "--app-dir", path, COLUMNS="40")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "Usage: civitas run [OPTIONS] [TOPOLOGY]",
        "Try 'civitas run --help' for help.",
        f"error: Invalid value for '--app-dir': the folder '{path}' does not exist",
    ]


def test_what_a_command_printed_stands_before_the_reason_why_it_failed(
    app: Callable[..., Path],
) -> None:
    file = app(SPEAKS, *(f"name: {'a' * 90}{n}, type: agents.Speaks" for n in range(120)))
    bus = f"pub_addr: ipc://{file.parent}/p, sub_addr: ipc://{file.parent}/s, start_proxy: false"
    file.write_text(f"transport: {{type: zmq, {bus}}}\n" + file.read_text())
    top = f"{COMMAND} top {file} --once --connect-timeout=0.1 2>&1"

    done = completed("bash", "-c", top)

    assert done.returncode == 1
    *frame, last = done.stdout.splitlines()
    assert len(frame) > 120
    assert [line for line in frame if line.startswith("error: ")] == []
    assert last.startswith("error: no running system was found in 0.1 s; is it started, ")


def test_python_can_be_asked_for_the_command_and_the_command_for_its_version() -> None:
    asked = completed(COMMAND, "--version")
    module = completed(sys.executable, "-m", "civitas", "version")

    assert asked.returncode == module.returncode == 0
    assert asked.stdout == module.stdout
    assert asked.stdout.startswith("civitas-core ")


def test_nothing_relies_on_docstrings_or_assertions(app: Callable[..., Path]) -> None:
    file = app(SPEAKS, "name: a, type: agents.Speaks")
    stripped = {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}

    ran = completed(COMMAND, "up", file, "--app-dir", file.parent, **stripped)
    schema = completed(COMMAND, "topology", "schema", **stripped)
    helped = completed(COMMAND, "dead-letters", "move", "--help", **stripped)

    assert (ran.returncode, ran.stdout) == (0, "supervisor | here\n"), ran.stderr
    assert "transport.nats" in json.loads(schema.stdout)["$defs"], schema.stderr
    assert "Move what waits for an agent" in helped.stdout


def test_the_conformance_kit_does_not_judge_without_assertions() -> None:
    done = completed(sys.executable, "-O", "-c", "from civitas.testing import TransportConformance")

    assert done.returncode == 1
    assert "every transport would pass" in done.stderr
