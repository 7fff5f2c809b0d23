"""The classes of agents: how they are found, and what is said when they are not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from civitas.process import AgentProcess

TEXT = """\
supervision:
  name: root
  children:
    - agent:
        name: a
        type: TYPE
        config: CONFIG
"""


def text(type_: str, config: str = "{}") -> str:
    return TEXT.replace("TYPE", type_).replace("CONFIG", config)


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("APP.agents.Plain", "Plain"),
        ("APP.agents:Plain", "Plain"),
        ("APP.agents:Outer.Inner", "Outer.Inner"),
    ],
)
def test_a_class_is_named_by_its_path(workspace: Any, type_: str, name: str) -> None:
    (agent,) = workspace.load(text(type_)).supervision.agents()

    assert agent.constructor.maker.__qualname__ == name
    assert agent.build().name == "a"


def test_a_class_may_be_given_by_name(workspace: Any) -> None:
    class Given(AgentProcess):
        pass

    loaded = workspace.load(text("Given"), agent_classes={"Given": Given})

    assert next(loaded.supervision.agents()).constructor.maker is Given


@pytest.mark.parametrize(
    ("type_", "message", "suggestion"),
    [
        ("Plain", "neither `package.module.Class` nor a name", "write"),
        ("Givn", "neither", "did you mean 'Given'?"),
        ("APP..Plain", "neither", "write"),
        ("no_such_package_at_all.Plain", "no module 'no_such_package_at_all'", "--app-dir"),
        ("APP.nowhere.Plain", "there is no module 'APP.nowhere'", "--app-dir"),
        ("APP.agents.Outer.Inner", "no module 'APP.agents.Outer'", "APP.agents:Outer.Inner"),
        ("APP.agents.Plane", "module 'APP.agents' has no 'Plane'", "did you mean 'Plain'?"),
        ("APP.agents.Zebra", "has no 'Zebra'", "its agents are Plain, Reader"),
        ("APP.agents:Outer.Innre", "class 'Outer' has no 'Innre'", "did you mean 'Inner'?"),
        ("APP.agents.Stranger", "is not an agent", "derives from AgentProcess"),
        ("APP.agents.PLAIN", "is neither a class nor a factory but a str", "a factory returns one"),
        ("APP.agents.waits", "is async, and an agent is made at once", "write `def`"),
        ("APP.agents.Abstract", "is abstract: it lacks work", ""),
        ("APP.broken.X", "importing APP.broken failed: RuntimeError: no such device, at", ""),
        ("APP.needy.X", "ModuleNotFoundError: No module named 'a_library_nobody_has'", ""),
        ("APP.garbled.X", "importing APP.garbled failed: SyntaxError", ""),
        ("APP.quitter.X", "importing APP.quitter failed: SystemExit: 3", ""),
        ("APP.shy.X", "looking at APP.shy.X failed: SystemExit: 0, at", ""),
    ],
)
def test_a_class_that_can_not_be_used_is_explained(
    workspace: Any, type_: str, message: str, suggestion: str
) -> None:
    class Given(AgentProcess):
        pass

    (problem,) = workspace.problems(text(type_), agent_classes={"Given": Given})

    assert problem.location.line == 6
    assert problem.path == "supervision.children.0.agent.type"
    assert message.replace("APP", workspace.app) in problem.message
    assert suggestion.replace("APP", workspace.app) in problem.suggestion


@pytest.mark.parametrize(
    ("module", "line"), [("broken", 3), ("needy", 1), ("garbled", 2), ("shy", 2)]
)
def test_a_failing_import_names_the_line_that_failed(
    workspace: Any, module: str, line: int
) -> None:
    (problem,) = workspace.problems(text(f"APP.{module}.X"))

    assert f"{workspace.app}/{module}.py:{line}" in problem.message


def test_a_failing_module_is_imported_once_and_told_at_each_agent(workspace: Any) -> None:
    workspace.write("counted.py", "import sys\nsys.count_of_imports += 1\nraise ValueError(1)\n")
    sys.count_of_imports = 0  # type: ignore[attr-defined]

    problems = workspace.problems(
        """\
        supervision:
          name: root
          children:
            - agent: {name: a, type: APP.counted.X}
            - agent: {name: b, type: APP.counted.X}
        """
    )

    assert [each.location.line for each in problems] == [4, 5]
    assert sys.count_of_imports == 1  # type: ignore[attr-defined]
    del sys.count_of_imports  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("type_", "config", "path", "message", "suggestion"),
    [
        ("Plain", "{colour: 1}", "config.colour", "Plain takes no argument 'colour'", "only the"),
        ("Reader", "{}", "config", "Reader needs the argument 'folder'", "add `folder:`"),
        ("Reader", "{folder: x, dpeth: 1}", "config.dpeth", "no argument 'dpeth'", "'depth'?"),
        ("Reader", "{folder: x, zz: 1}", "config.zz", "no argument", "folder, depth, strict"),
        ("Reader", "{folder: x, name: b}", "config.name", "the agent's name", "remove"),
        ("Open", "{size: 1}", "config", "Open needs the argument 'colour'", ""),
        ("Nameless", "{}", "config", "does not take the agent's name first", ""),
    ],
)
def test_config_is_compared_with_the_constructor(
    workspace: Any, type_: str, config: str, path: str, message: str, suggestion: str
) -> None:
    (problem,) = workspace.problems(text(f"APP.agents.{type_}", config))

    assert problem.location.line == 7
    assert problem.path == f"supervision.children.0.agent.{path}"
    assert message in problem.message
    assert suggestion in problem.suggestion


def test_every_wrong_argument_is_told(workspace: Any) -> None:
    problems = workspace.problems(text("APP.agents.Reader", "{flder: 1, dpth: 2}"))

    assert [each.path.split(".")[-1] for each in problems] == ["config", "dpth", "flder"]


def test_a_missing_argument_is_told_at_the_agent_when_there_is_no_config(workspace: Any) -> None:
    (problem,) = workspace.problems(text("APP.agents.Reader").replace("        config: {}\n", ""))

    assert problem.location.line == 4
    assert problem.path == "supervision.children.0.agent"


def test_an_agent_is_built_the_way_it_was_checked(workspace: Any) -> None:
    loaded = workspace.load(text("APP.agents.Reader", "{folder: x, strict: true}"))

    agent = next(loaded.supervision.agents()).build()

    assert (agent.name, agent.folder, agent.depth, agent.strict) == ("a", "x", 3, True)


def test_without_an_app_dir_the_path_is_left_as_it_is(workspace: Any) -> None:
    before = list(sys.path)

    workspace.problems(text("APP.agents.Plain"), app_dir=None)

    assert sys.path == before


def test_the_app_dir_comes_first(workspace: Any) -> None:
    workspace.load(text("APP.agents.Plain"))
    workspace.load(text("APP.agents.Plain"))

    assert sys.path[0] == str(workspace.folder)
    assert sys.path.count(str(workspace.folder)) == 1
