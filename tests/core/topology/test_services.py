"""Factories in the place of classes, and services that constructors are given by name."""

from __future__ import annotations

from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime
from civitas.errors import ConfigurationError
from civitas.topology import TopologyError

TEXT = """\
supervision:
  name: root
  children:
    - agent: {name: a, type: TYPE, config: CONFIG}
"""


class Pool:
    """What agents share."""


class Uses(AgentProcess):
    def __init__(self, name: str, size: int = 1, *, pool: Pool | None = None) -> None:
        super().__init__(name)
        self.size, self.pool = size, pool

    async def handle(self, message: Message) -> Message:
        if message.type == "crash":
            raise ValueError("crash")
        return self.reply({"pool": id(self.pool), "self": id(self)})


class TakesAll(AgentProcess):
    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(name)
        self.more = more


def make_two_sizes(name: str, size: int, pool: Pool) -> Uses:
    return Uses(name, 2 * size, pool=pool)


def tree(type_: str, **config: Any) -> dict[str, Any]:
    agent = {"name": "a", "type": type_, "config": config}
    backoff = {"backoff_base": 0.0}
    return {"supervision": {"name": "root", **backoff, "children": [{"agent": agent}]}}


CLASSES = {"uses": Uses, "all": TakesAll, "factory": make_two_sizes}


def made(type_: str, services: dict[str, Any] | None = None, **config: Any) -> Any:
    runtime = Runtime.from_config_dict(tree(type_, **config), CLASSES, services=services)
    return runtime.get_agent("a")


def problem_of(type_: str, services: dict[str, Any], **config: Any) -> Any:
    with pytest.raises(TopologyError) as caught:
        made(type_, services, **config)
    (problem,) = caught.value.problems
    return problem


def test_a_constructor_gets_the_services_that_it_names_and_no_others() -> None:
    pool = Pool()
    services = {"pool": pool, "cache": object()}
    agent = made("uses", services, size=3)
    assert (agent.size, agent.pool) == (3, pool)
    assert made("all", services, colour="red").more == {"colour": "red"}
    assert made("uses").pool is None


def test_a_factory_is_given_what_a_constructor_is() -> None:
    pool = Pool()
    agent = made("factory", {"pool": pool}, size=3)
    assert (type(agent), agent.size, agent.pool) == (Uses, 6, pool)


def test_what_a_factory_needs_is_judged_like_a_constructor() -> None:
    assert "make_two_sizes needs the argument 'pool'" in str(problem_of("factory", {}, size=1))
    unknown = problem_of("factory", {"pool": Pool()}, size=1, sise=2)
    assert "make_two_sizes takes no argument 'sise'" in str(unknown)
    assert unknown.suggestion == "did you mean 'size'?"


def test_a_key_of_config_that_is_a_service_too_is_refused_with_its_place() -> None:
    problem = problem_of("uses", {"pool": Pool()}, pool="mine")
    assert problem.path == "supervision.children.0.agent.config.pool"
    assert "'pool' is given by the services of this process" in str(problem)


async def test_a_restart_makes_a_fresh_object_with_the_same_services() -> None:
    pool = Pool()
    runtime = Runtime.from_config_dict(tree("factory", size=1), CLASSES, services={"pool": pool})
    async with runtime:
        first = (await runtime.ask("a", {})).payload
        with pytest.raises(Exception, match="crash"):
            await runtime.ask("a", {}, "crash")
        second = (await runtime.ask("a", {})).payload
    assert first["pool"] == second["pool"] == id(pool)
    assert first["self"] != second["self"]


@pytest.mark.parametrize(
    ("factory", "text"),
    [
        (lambda name: {"name": name}, "returned an object of type dict, not an agent"),
        (lambda name: Uses("b"), "named it 'b'; pass the name on to AgentProcess"),
        (lambda name: 1 / 0, "raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_factory_does_wrong_is_told_with_its_name(factory: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Runtime.from_config_dict(tree("made"), {"made": factory})
    assert f"agent 'a': the factory made {text}" in str(caught.value)


def test_a_factory_is_named_by_its_path_and_shown_by_it(workspace: Any) -> None:
    text = TEXT.replace("TYPE", "APP.agents.make_reader").replace("CONFIG", "{folder: there}")
    loaded = workspace.load(text)
    (agent,) = loaded.supervision.agents()
    assert agent.build().folder == "there"
    shown = loaded.as_mapping()["supervision"]["children"][0]["agent"]["type"]
    assert shown.endswith(".agents.make_reader")
