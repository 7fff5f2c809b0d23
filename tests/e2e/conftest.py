"""The installed command, run as a person would."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from support.commands import Running

REPOSITORY = Path(__file__).parents[2]


Start = Callable[..., Running]

STARTED = pytest.StashKey[list[Running]]()
"""What a test has started."""

_LINES_SHOWN = 1000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the report of a test that failed show what was written by the processes it started.

    These are the commands, and the servers, whose logs are in its folder. A failure that comes once
    in many runs is explained by its report, or never.
    """
    report = yield
    if report.failed and call.when == "call":
        for running in item.stash.get(STARTED, []):
            for name, lines in (("stdout", running.out), ("stderr", running.err)):
                _show(report, f"{name} of {running.title}", lines)
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        for log in sorted(folder.rglob("*.log")) if folder else ():
            _show(report, log.name, log.read_text(errors="replace").splitlines())
    return report


def _show(report: pytest.TestReport, title: str, lines: list[str]) -> None:
    report.sections.append((title, "\n".join(lines[-_LINES_SHOWN:])))


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start `civitas` with arguments, by default in a folder of the test's own."""
    started = request.node.stash.setdefault(STARTED, [])

    def begin(*arguments: str, cwd: Path = tmp_path, **env: str) -> Running:
        running = Running(list(arguments), cwd, env)
        started.append(running)
        return running

    yield begin
    for running in started:
        running.close()


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., Path]:
    """Write agents and a topology that runs them, and return the topology's path."""

    def write(code: str, *agents: str, more: str = "") -> Path:
        (tmp_path / "agents.py").write_text(
            "import asyncio, time\nfrom civitas import AgentProcess, ErrorAction, Message\n"
            + textwrap.dedent(code)
        )
        children = "".join(f"    - agent: {{{agent}}}\n" for agent in agents)
        topology = tmp_path / "topology.yaml"
        topology.write_text(f"supervision:\n  name: root\n{more}  children:\n{children}")
        return topology

    return write


@pytest.fixture
def repository() -> Path:
    return REPOSITORY
