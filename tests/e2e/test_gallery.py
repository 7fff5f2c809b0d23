"""The gallery of examples: small systems that run as they stand, on each transport."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import pages
from support.commands import COMMAND, Running, completed
from support.nats.server import NatsServer
from support.waiting import eventually

REPOSITORY = Path(__file__).parents[2]
GALLERY = REPOSITORY / "examples" / "gallery"
PAGES = REPOSITORY / "docs" / "examples"
MOST_LINES = 150
NOT_COPIED = ("__pycache__", ".pytest_cache", "rooms", "books")

pytestmark = pytest.mark.slow


class Question(NamedTuple):
    """What an example is asked, and a part of the answer that comes sooner or later."""

    agent: str
    payload: dict[str, Any]
    kind: str
    expected: str
    settings: tuple[str, ...] = ()
    """What lets several of them run side by side on one machine."""


QUESTIONS = {
    "chat": Question(
        *("lobby", {"by": "Ada", "text": "Hello"}, "say", '"text": "Hello"'),
        ("supervision.children.web.config.port=0",),
    ),
    "crawler": Question("crawler", {}, "message", '"waiting": 0'),
    "llm_pipeline": Question(
        *("planner", {"question": "tea and a secret"}, "message", 'about tea.", "left_out": ["a s')
    ),
    "map_reduce": Question("reducer", {"folder": "logs"}, "message", '"login refused": 11'),
    "order_pipeline": Question(
        *("desk", {"order": "A1", "cents": 250}, "message", '"taken": "A1", "shipped": true')
    ),
    "sensor_fleet": Question("aggregator", {}, "message", '"AgentError": '),
}
EXAMPLES = sorted(QUESTIONS)


IN_ONE_PROCESS = """
import asyncio, json, sys
from civitas import Runtime

async def main():
    agent, payload, kind, expected = json.loads(sys.argv[1])
    async with asyncio.timeout(20), Runtime.from_config("topology.yaml") as runtime:
        while True:
            answer = json.dumps((await runtime.ask(agent, payload, kind)).payload)
            if expected in answer:
                break
            await asyncio.sleep(0.1)

asyncio.run(main())
"""


def test_every_example_of_the_gallery_is_tested_here() -> None:
    assert sorted(path.parent.name for path in GALLERY.glob("*/topology.yaml")) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_small(name: str) -> None:
    assert len((GALLERY / name / "agents.py").read_text(encoding="utf-8").splitlines()) < MOST_LINES


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("overlay", [None, "zmq.yaml", "nats.yaml"])
def test_its_topology_is_valid_for_each_transport(name: str, overlay: str | None) -> None:
    options = ["--overlay", overlay] if overlay else []
    done = completed(COMMAND, "topology", "validate", *options, cwd=GALLERY / name)
    assert done.returncode == 0, done.stderr
    assert f"transport: {overlay.removesuffix('.yaml') if overlay else 'in_process'}" in done.stdout


class Example(NamedTuple):
    """A copy of an example's folder, for the files that it writes."""

    name: str
    folder: Path

    @property
    def question(self) -> Question:
        return QUESTIONS[self.name]


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    folder = tmp_path / "example"
    shutil.copytree(GALLERY / request.param, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    shutil.copy(GALLERY / "pytest.ini", folder)
    return Example(request.param, folder)


def test_it_answers_in_one_process(example: Example) -> None:
    asked = example.question
    settings = {"CIVITAS_SET": "\n".join(asked.settings)}
    question = json.dumps(asked[:4])
    done = completed(sys.executable, "-c", IN_ONE_PROCESS, question, cwd=example.folder, **settings)
    assert done.returncode == 0, done.stderr


class Up:
    """An example in all its processes, and what it answers."""

    def __init__(self, example: Example, *options: str) -> None:
        self.question, self.folder = example.question, example.folder
        self.options = options + tuple(f"--set={each}" for each in self.question.settings)
        self.running = Running(["up", *self.options], self.folder, {})

    def answers(self) -> bool:
        """Ask, and return whether that is the answer which is expected."""
        agent, payload, kind, expected, _ = self.question
        told = [agent, json.dumps(payload), "--type", kind, *self.options]
        done = completed(COMMAND, "ask", *told, cwd=self.folder)
        return done.returncode == 0 and expected in json.dumps(json.loads(done.stdout))

    def end(self) -> None:
        """Stop it in order."""
        self.running.signal(signal.SIGTERM)
        assert self.running.wait() == 0, self.running.err


Start = Callable[..., Up]


@pytest.fixture
def up() -> Iterator[Start]:
    """Start an example, and see that nothing is left of it."""
    started: list[Up] = []

    def begin(example: Example, *options: str) -> Up:
        started.append(Up(example, *options))
        return started[-1]

    yield begin
    for each in started:
        each.running.close()


def test_it_answers_on_zmq(example: Example, up: Start, tmp_path: Path) -> None:
    addresses = [f"--set=transport.{end}_addr=ipc://{tmp_path}/{end}" for end in ("pub", "sub")]
    system = up(example, "--overlay=zmq.yaml", *addresses)
    eventually(system.answers)
    system.end()


def test_it_answers_on_nats(example: Example, up: Start, tmp_path: Path) -> None:
    with NatsServer(tmp_path / "server", jetstream=True) as server:
        system = up(example, "--overlay=nats.yaml", f"--set=transport.servers={server.url}")
        eventually(system.answers)
        system.end()


def test_its_own_tests_pass(example: Example) -> None:
    done = completed(sys.executable, "-m", "pytest", "-q", cwd=example.folder)
    assert done.returncode == 0, done.stdout


OWN_ADDRESSES = [
    (r"^( *)type: zmq$", r"\g<0>\n\1pub_addr: ipc://pub\n\1sub_addr: ipc://sub"),
    (r"\bport: 8080\b", "port: 0"),
]


def test_the_sessions_of_its_page_go_as_shown(example: Example) -> None:
    for path in example.folder.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        for pattern, instead in OWN_ADDRESSES:
            text = re.sub(pattern, instead, text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
    pages.run((PAGES / f"{example.name}.md").read_text(encoding="utf-8"), example.folder)
