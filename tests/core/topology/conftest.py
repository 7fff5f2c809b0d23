"""A workspace for topologies: an application with agents, and files that name them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from civitas.process import AgentProcess
from civitas.topology import Problem, Topology, TopologyError, load_topology

_numbers = count()

AGENTS = '''
"""Agents of the tests."""

import abc

from civitas.process import AgentProcess


class Plain(AgentProcess):
    """Takes the name alone."""

    def __init__(self, name):
        super().__init__(name)


class Reader(AgentProcess):
    """Needs a folder."""

    def __init__(self, name, folder, depth=3, *, strict=False):
        super().__init__(name)
        self.folder, self.depth, self.strict = folder, depth, strict


class Open(AgentProcess):
    """Takes whatever its base takes, and more."""

    def __init__(self, name, *, colour, **others):
        super().__init__(name)
        self.others = others


class Abstract(AgentProcess, abc.ABC):
    """Lacks a method."""

    @abc.abstractmethod
    def work(self): ...


class Nameless(AgentProcess):
    """Takes no name."""

    def __init__(self):
        super().__init__("nobody")


class Outer:
    """Holds an agent."""

    class Inner(AgentProcess):
        """An agent inside a class."""


class Stranger:
    """No agent."""


PLAIN = "no class"


def make_reader(name, folder="here"):
    """Makes an agent of another class."""
    return Reader(name, folder)


async def waits(name):
    """No factory."""
'''


class Workspace:
    """A folder with an application package `APP`; texts name it so, files by its real name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = f"app_of_test_{next(_numbers)}"
        self.file = folder / "topology.yaml"
        self.write("__init__.py", "")
        self.write("agents.py", AGENTS)
        self.write("broken.py", "VALUE = 1\n\nraise RuntimeError('no such device')\n")
        self.write("needy.py", "import a_library_nobody_has\n")
        self.write("garbled.py", "x = 1\ndef f(:\n")
        self.write("quitter.py", "import sys\nsys.exit(3)\n")
        self.write("shy.py", "def __getattr__(name):\n    raise SystemExit(0)\n")

    def write(self, name: str, content: str) -> Path:
        path = self.folder / self.app / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def topology(self, text: str) -> Path:
        text = textwrap.dedent(text).replace("APP", self.app)
        self.file.write_text(text, encoding="utf-8")
        return self.file

    def load(self, text: str, **arguments: Any) -> Topology:
        arguments = {"agent_base": AgentProcess, "app_dir": self.folder, **arguments}
        return load_topology(self.topology(text), **arguments)

    def problems(self, text: str, **arguments: Any) -> list[Problem]:
        with pytest.raises(TopologyError) as caught:
            self.load(text, **arguments)
        return list(caught.value.problems)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = Workspace(tmp_path)
    yield made
    for name in [each for each in sys.modules if each.split(".")[0] == made.app]:
        del sys.modules[name]
