"""Trees that are refused when their node is made: children, settings and names that can't be."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from civitas import AgentProcess, Runtime, Supervisor, Worker
from civitas._supervision.remote import RemoteChild
from civitas.errors import ConfigurationError, SpawnError
from support.agents import SOON, Scripted, echo, runtime
from support.local_bus.testbed import LocalBus


class Unmade(AgentProcess):
    """Leaves out the constructor of AgentProcess."""

    def __init__(self, name: str) -> None:
        self.own = name


class MadeOtherwise(AgentProcess):
    """Leaves out that and `__new__`."""

    def __new__(cls, *arguments: Any) -> Any:
        return object.__new__(cls)


@pytest.fixture
def worker(local_bus: LocalBus) -> Callable[[Any], Worker]:
    return lambda agents: Worker(agents, **local_bus.options())


def refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make()


# --- children -------------------------------------------------------------------------------------

NO_AGENTS: list[tuple[Any, str]] = [
    (Scripted, r"is the class Scripted, not an object of it: write Scripted\('a_name'\)"),
    ("a", r"is no agent: it is 'a' \(str\)"),
    (None, "is no agent: it is None"),
    (Runtime, "is no agent: it is the class Runtime"),
    ([Scripted("a")], "is no agent: it is an object of type list"),
    (Unmade("a"), r"the constructor of Unmade does not call super\(\).__init__\(name\)"),
    (MadeOtherwise("a"), r"the constructor of MadeOtherwise does not call super\(\)"),
    (Scripted("a/b"), r"'a/b' \(str\) can't be an agent's name: .*'/'"),
    (Scripted(5), r"5 \(int\) can't be an agent's name: a name is text"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("child", "text"), NO_AGENTS)
def test_a_child_that_is_no_agent_is_refused(
    child: Any, text: str, worker: Callable[[Any], Worker]
) -> None:
    below = Supervisor("in", [Scripted("first"), child])
    refused(lambda: Runtime(Supervisor("root", [below])), f"child number 2 of .*'in'.*{text}")
    refused(lambda: worker([Scripted("first"), child]), f"agent number 2 of the worker.*{text}")


@pytest.mark.parametrize("children", [Scripted("a"), "agents", 5])
def test_children_that_are_no_list_are_refused(
    children: Any, worker: Callable[[Any], Worker]
) -> None:
    refused(lambda: Supervisor("root", children), "children of supervisor 'root' is a list of")
    refused(lambda: worker(children), "a Worker takes a list of agents, not")


def test_a_worker_has_no_tree(worker: Callable[[Any], Worker]) -> None:
    refused(lambda: worker([Supervisor("in")]), "is no agent: it is an object of type Supervisor")


@pytest.mark.parametrize("root", [Scripted("a"), [Scripted("a")], None, Supervisor])
def test_the_root_of_a_runtime_is_a_supervisor(root: Any) -> None:
    refused(lambda: Runtime(root), r"takes the supervisor of its agents.*not (None|an? |the class)")


# --- names ----------------------------------------------------------------------------------------

TWICE: list[tuple[Supervisor, str]] = [
    (Supervisor("root", [Scripted("a"), Scripted("a")]), "agent root/a and to agent root/a"),
    (
        Supervisor("root", [Supervisor("in", [Scripted("a")]), Scripted("a")]),
        "agent root/in/a and to agent root/a",
    ),
    (Supervisor("root", [Scripted("root")]), "supervisor root and to agent root/root"),
    (
        Supervisor("root", [Supervisor("a"), Supervisor("in", [Supervisor("a")])]),
        "supervisor root/a and to supervisor root/in/a",
    ),
    (
        Supervisor("root", [RemoteChild("a"), Supervisor("in", [Scripted("a")])]),
        "remote child root/a and to agent root/in/a",
    ),
    (
        Supervisor("root", [RemoteChild("a"), RemoteChild("a")]),
        "remote child root/a and to remote child root/a",
    ),
]


@pytest.mark.parametrize(("tree", "text"), TWICE)
def test_a_name_that_is_given_twice_in_a_tree_is_refused(
    tree: Supervisor, text: str, local_bus: LocalBus
) -> None:
    refused(lambda: Runtime(tree, **local_bus.options()), f"is given twice, to {text}; give each")


def test_a_tree_within_itself_is_refused() -> None:
    root = Supervisor("root")
    root.children.append(root)
    refused(lambda: Runtime(root), "supervisor root and to supervisor root/root")


def test_so_is_a_name_that_is_given_twice_in_a_worker(worker: Callable[[Any], Worker]) -> None:
    refused(
        lambda: worker([Scripted("a"), Scripted("b"), Scripted("a")]),
        "'a' is given twice, to agent number 1 of the worker and to agent number 3 of",
    )


# --- settings -------------------------------------------------------------------------------------

SETTINGS: list[tuple[str, Any, str]] = [
    ("mailbox_size", "10", r"a whole number of at least 1, not '10' \(str\)"),
    ("mailbox_size", 0, r"not 0 \(int\)"),
    ("mailbox_size", 1.5, r"not 1.5 \(float\)"),
    ("mailbox_size", None, "not None"),
    ("retry_delay", -1, r"a number of seconds of at least 0, not -1 \(int\)"),
    ("retry_delay", math.nan, r"a number of seconds of at least 0, not nan"),
    ("retry_delay", math.inf, "a finite number of seconds, not infinity"),
    ("retry_delay", None, "a number of seconds of at least 0, not None"),
    ("retry_backoff", "sometimes", "'sometimes'; it is one of CONSTANT, LINEAR, EXPONENTIAL"),
    ("retry_backoff", 2.0, "2.0; it is one of CONSTANT"),
    ("max_retries", -1, r"a whole number of at least 0, not -1 \(int\)"),
    ("max_retries", True, r"not True \(bool\)"),
    ("max_retries", math.nan, r"not nan \(float\)"),
    ("shutdown_timeout", None, "of at least 0, not None; math.inf is no limit"),
    ("shutdown_timeout", -0.5, r"of at least 0, not -0.5 \(float\)"),
    ("shutdown_timeout", math.nan, r"not nan \(float\)"),
    ("shutdown_timeout", "5", r"not '5' \(str\)"),
    ("handle_timeout", "5", r"a number of seconds above 0, not '5' \(str\)"),
    ("handle_timeout", 0, r"not 0 \(int\)"),
    ("handle_timeout", math.nan, r"not nan \(float\)"),
    ("handle_timeout", [5], "not an object of type list"),
]


@pytest.mark.parametrize(("setting", "value", "text"), SETTINGS)
def test_a_wrong_setting_of_an_agent_is_refused_when_its_node_is_made(
    setting: str, value: Any, text: str, worker: Callable[[Any], Worker]
) -> None:
    given: dict[str, Any] = {setting: value}
    assigned = Scripted("a")
    setattr(assigned, setting, value)
    for agent in (Scripted("a", **given), assigned):
        whole = f"{setting} of agent 'a' is .*{text}"
        refused(lambda agent=agent: Runtime(Supervisor("root", [agent])), whole)  # type: ignore[misc]
        refused(lambda agent=agent: worker([agent]), whole)  # type: ignore[misc]


async def test_a_setting_that_on_start_makes_wrong_fails_the_start() -> None:
    class Late(AgentProcess):
        async def on_start(self) -> None:
            self.shutdown_timeout = None  # type: ignore[assignment]

    with pytest.raises(SpawnError, match="shutdown_timeout of agent 'late' is .* not None"):
        await runtime(Late("late")).start()


async def test_a_wrong_setting_that_a_topology_s_class_makes_is_a_problem_of_its_line() -> None:
    class Sized(AgentProcess):
        def __init__(self, name: str, size: Any) -> None:
            super().__init__(name, mailbox_size=size)

    agent = {"name": "a", "type": "Sized", "config": {"size": "10"}}
    topology = {"supervision": {"name": "root", "children": [{"agent": agent}]}}
    refused(
        lambda: Runtime.from_config_dict(topology, {"Sized": Sized}),
        r"supervision.children.0.agent: mailbox_size of agent 'a' is a whole number",
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"shutdown_timeout": math.inf, "handle_timeout": math.inf},
        {"shutdown_timeout": 0, "max_retries": 0, "mailbox_size": 1},
        {"handle_timeout": Fraction(10), "shutdown_timeout": Fraction(10)},
    ],
)
async def test_settings_may_be_infinite_zero_or_any_real_number(settings: dict[str, Any]) -> None:
    async with runtime(Scripted("a", echo, **settings)) as system:
        await system.ask("a", {}, timeout=SOON)


OF_SUPERVISORS: list[tuple[str, Any, str]] = [
    ("max_restarts", 1.5, r"a whole number of at least 0, not 1.5 \(float\)"),
    ("max_restarts", "3", r"not '3' \(str\)"),
    ("max_restarts", -1, r"not -1 \(int\)"),
    ("restart_window", "60", r"a number of seconds above 0, not '60' \(str\)"),
    ("restart_window", 0, r"not 0 \(int\)"),
    ("restart_window", math.nan, r"not nan \(float\)"),
    ("backoff_base", None, "a number of seconds of at least 0, not None"),
    ("backoff_base", -1, r"not -1 \(int\)"),
    ("backoff_max", "1", r"not '1' \(str\)"),
]


@pytest.mark.parametrize(("setting", "value", "text"), OF_SUPERVISORS)
def test_a_wrong_setting_of_a_supervisor_is_refused(setting: str, value: Any, text: str) -> None:
    given: dict[str, Any] = {setting: value}
    refused(lambda: Supervisor("root", **given), f"{setting} of supervisor 'root' is .*{text}")


OF_HEARTBEATS: list[tuple[str, Any, str]] = [
    ("heartbeat_interval", "5", r"interval of remote child 'a' is .* above 0, not '5' \(str\)"),
    ("heartbeat_interval", 0, r"interval .* not 0 \(int\)"),
    ("heartbeat_timeout", math.nan, r"timeout of remote child 'a' is .* not nan"),
    ("missed_heartbeats_threshold", 1.5, "threshold of remote child 'a' is a whole number"),
    ("missed_heartbeats_threshold", 0, r"at least 1, not 0 \(int\)"),
]


@pytest.mark.parametrize(("setting", "value", "text"), OF_HEARTBEATS)
def test_a_wrong_setting_of_a_heartbeat_is_refused(setting: str, value: Any, text: str) -> None:
    given: dict[str, Any] = {setting: value}
    refused(lambda: Supervisor("root").add_remote_child("a", **given), text)
