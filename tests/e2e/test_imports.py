"""Which process imports which agents: a system whose agents need libraries that others lack."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, completed
from support.processes import MARK, outliving

DEADLINE = 30.0
PROCESSES = ("supervisor", "gpu", "web")

pytestmark = pytest.mark.slow

AGENTS = '''
"""Agents of one process: what they need is installed for that process alone."""

import pathlib, sys
from civitas import AgentProcess

with pathlib.Path(__file__).with_name("imported").open("a") as file:
    file.write(f"{__name__}\\n")
if "--process=PROCESS" not in sys.argv:
    raise ModuleNotFoundError("No module named 'library_of_PROCESS'")

class Agent(AgentProcess):
    async def handle(self, message):
        if message.payload.get("end"):
            self.stop()
        return self.reply({"by": self.name})
'''

TOPOLOGY = """\
transport: {type: zmq, pub_addr: "ipc://FOLDER/pub", sub_addr: "ipc://FOLDER/sub"}
supervision:
  name: root
  children:
    - agent: {name: desk, type: of_supervisor.Agent}
    - agent: {name: press, type: of_gpu.Agent, process: gpu}
    - agent: {name: page, type: of_web.Agent, process: web}
"""

CLIENT = """
import asyncio
from civitas.client import Client

async def main():
    async with Client.from_config("topology.yaml") as client:
        for name in ("desk", "press", "page"):
            print((await client.ask(name, {"end": True})).payload["by"])

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for process in PROCESSES:
        (tmp_path / f"of_{process}.py").write_text(AGENTS.replace("PROCESS", process))
    (tmp_path / "topology.yaml").write_text(TOPOLOGY.replace("FOLDER", str(tmp_path)))
    monkeypatch.setenv(MARK, str(tmp_path))
    yield tmp_path
    assert not outliving(str(tmp_path), DEADLINE)


def imported(folder: Path) -> list[str]:
    marks = folder / "imported"
    return sorted(marks.read_text().split()) if marks.exists() else []


def test_each_process_of_up_imports_its_own_agents_and_who_talks_to_them_none(
    folder: Path, start: Callable[..., Any]
) -> None:
    running = start("up")
    running.wait_for(lambda: running.count("running: 1 agent") == 3, "three processes")

    asked = completed(COMMAND, "ask", "press", cwd=folder)
    client = completed(sys.executable, "-c", CLIENT, cwd=folder)

    assert (asked.returncode, asked.stdout) == (0, '{\n  "by": "press"\n}\n')
    # Its stderr may tell of the proxy, which ends with the last agent.
    assert (client.returncode, client.stdout.split()) == (0, ["desk", "press", "page"])
    assert running.wait() == 0
    assert imported(folder) == [f"of_{each}" for each in sorted(PROCESSES)]


def test_a_wrong_class_of_a_worker_ends_up_with_its_file_and_line(
    folder: Path, start: Callable[..., Any]
) -> None:
    (folder / "of_gpu.py").write_text("import a_library_nobody_has\n")

    running = start("up")

    assert running.wait() == 2
    assert (
        running.count("gpu        | error: topology.yaml:6: supervision.children.1.agent.type") == 1
    )
    assert running.count("a_library_nobody_has") == 1


def test_validate_judges_all_or_the_share_of_one_process(folder: Path) -> None:
    def validate(*arguments: str) -> tuple[int, list[str], list[str]]:
        done = completed(COMMAND, "topology", "validate", *arguments, cwd=folder)
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    whole, _, problems = validate()
    share, (said,), notes = validate("--process=gpu")

    assert (whole, len(problems)) == (2, 4)
    assert [each.split(": ")[0] for each in problems[1:]] == [
        f"topology.yaml:{line}" for line in (5, 6, 7)
    ]
    assert share == 0
    assert said.startswith("topology.yaml has no mistake in what was judged (agents: 3, ")
    assert notes == ["note: not judged: agents of other processes: desk, page"]
    assert imported(folder) == sorted([*(f"of_{each}" for each in PROCESSES), "of_gpu"])
