"""One topology for development and production: overlays, and what a container sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, completed
from support.processes import MARK, outliving

DEADLINE = 60.0

pytestmark = pytest.mark.slow

AGENTS = """
import os
from civitas import AgentProcess

class Teller(AgentProcess):
    def __init__(self, name, told="nothing", by="nobody"):
        super().__init__(name)
        self.said = {"told": told, "by": by}

    async def handle(self, message):
        self.stop()
        return self.reply(self.said)
"""

TOPOLOGY = """\
supervision:
  name: root
  children:
    - agent: {name: near, type: tellers.Teller, config: {told: dev}}
    - agent: {name: far, type: tellers.Teller, process: worker, config: {by: dev}}
"""

PROD = """\
transport: {type: zmq, pub_addr: "ipc://dev-pub", sub_addr: "ipc://FOLDER/sub"}
supervision:
  children:
    - agent: {name: far, config: {told: prod}}
"""

SETTINGS = """
transport.pub_addr=ipc://FOLDER/pub
supervision.children.near.config.by=environment
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "tellers.py").write_text(AGENTS)
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    (tmp_path / "prod.yaml").write_text(PROD.replace("FOLDER", str(tmp_path)))
    monkeypatch.setenv(MARK, str(tmp_path))
    yield tmp_path
    assert not outliving(str(tmp_path), DEADLINE)


def test_all_processes_of_up_and_who_asks_them_have_the_overlay_and_the_environment(
    folder: Path, start: Callable[..., Any]
) -> None:
    environment = {"CIVITAS_SET": SETTINGS.replace("FOLDER", str(folder))}
    running = start("up", "--overlay=prod.yaml", **environment)
    running.wait_for(lambda: running.count("running: 1 agent") == 2, "two processes")

    answers = [
        completed(COMMAND, "ask", name, "--overlay=prod.yaml", cwd=folder, **environment).stdout
        for name in ("far", "near")
    ]

    assert [each.split() for each in answers] == [
        ["{", '"told":', '"prod",', '"by":', '"dev"', "}"],
        ["{", '"told":', '"dev",', '"by":', '"environment"', "}"],
    ]
    assert running.wait() == 0


def test_a_mistake_in_an_overlay_or_a_variable_has_its_place(folder: Path) -> None:
    (folder / "prod.yaml").write_text(PROD.replace("name: far", "name: farr"))

    done = completed(
        *(COMMAND, "run", "--overlay", "prod.yaml"), cwd=folder, CIVITAS_SET="send_timeout=soon"
    )

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: the topology has 2 problems",
        "prod.yaml:4: supervision.children.farr: there is no agent 'farr' here to change "
        "(did you mean 'far'?)",
        "CIVITAS_SET send_timeout: must be a number, not text",
    ]
