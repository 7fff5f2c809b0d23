"""Whose classes are imported and judged: those of the agents that a process hosts."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from civitas import Runtime
from civitas.client import Client
from civitas.errors import ConfigurationError
from civitas.process import AgentProcess
from civitas.topology import TopologyError
from civitas.worker import Worker

TEXT = """\
transport: {type: TRANSPORT}
supervision:
  name: root
  children:
    - agent: {name: desk, type: APP.desk.Agent}
    - agent: {name: lamp, type: APP.lamp.Agent, process: supervisor}
    - supervisor:
        name: heavy
        children:
          - agent: {name: gpu, type: APP.gpu.Agent, process: gpu}
          - agent: {name: web, type: APP.web.Agent, process: web}
"""
MODULES = ("desk", "lamp", "gpu", "web")
AGENT = "from civitas import AgentProcess\n\nclass Agent(AgentProcess):\n    pass\n"


def text(transport: str = "zmq") -> str:
    return TEXT.replace("TRANSPORT", transport)


@pytest.fixture
def modules(workspace: Any) -> Any:
    """A workspace with a module for each agent."""
    for name in MODULES:
        workspace.write(f"{name}.py", AGENT)
    return workspace


def imported(workspace: Any) -> set[str]:
    return {name for name in MODULES if f"{workspace.app}.{name}" in sys.modules}


def break_others(workspace: Any, *needed: str) -> None:
    """Let the import of all other modules fail, as where their libraries are not installed."""
    for name in {*MODULES, "spare"} - set(needed):
        workspace.write(f"{name}.py", "import a_library_nobody_has\n")


@pytest.mark.parametrize(
    ("processes", "needed"),
    [
        (("supervisor",), ("desk", "lamp")),
        (("gpu",), ("gpu",)),
        (("gpu", "web"), ("gpu", "web")),
        ((), ()),
        (("nobody",), ()),
    ],
)
def test_a_process_imports_the_classes_of_its_own_agents(
    modules: Any, processes: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    break_others(modules, *needed)

    loaded = modules.load(text(), processes=processes)

    assert imported(modules) == set(needed)
    agents = {each.block.name: each for each in loaded.supervision.agents()}
    assert {name for name, each in agents.items() if each.constructor is not None} == set(needed)


def test_without_a_choice_all_are_imported(modules: Any) -> None:
    modules.load(text())

    assert imported(modules) == set(MODULES)


@pytest.mark.parametrize(
    ("processes", "needed"), [(("supervisor",), set(MODULES)), (("gpu",), set())]
)
def test_where_the_transport_stays_within_one_process_the_primary_hosts_all(
    modules: Any, processes: tuple[str, ...], needed: set[str]
) -> None:
    modules.load(text("in_process"), processes=processes)

    assert imported(modules) == needed


def test_an_error_of_a_class_has_its_line_and_those_of_others_are_not_told(modules: Any) -> None:
    break_others(modules)

    problems = modules.problems(text(), processes=("gpu",))

    assert [(each.location.line, each.path) for each in problems] == [
        (10, "supervision.children.2.supervisor.children.0.agent.type")
    ]
    assert "a_library_nobody_has" in problems[0].message


@pytest.mark.parametrize("wrong", ["config: {colour: red}", "config: {greeting: 5}"])
def test_config_of_an_agent_elsewhere_is_not_compared(modules: Any, wrong: str) -> None:
    changed = text().replace("process: web}", f"process: web, {wrong}}}")

    modules.load(changed, processes=("supervisor", "gpu"))
    assert modules.problems(changed, processes=("web",))


def test_the_type_of_an_agent_elsewhere_may_be_a_name_that_only_its_process_knows(
    modules: Any,
) -> None:
    class Given(AgentProcess):
        pass

    changed = text().replace("APP.gpu.Agent", "Given")

    modules.load(changed, processes=("supervisor",))
    modules.load(changed, processes=("gpu",), agent_classes={"Given": Given})
    (problem,) = modules.problems(changed, processes=("gpu",))
    assert "neither `package.module.Class` nor a name" in problem.message


def test_settings_of_agents_elsewhere_are_judged_in_every_process(modules: Any) -> None:
    changed = text().replace("process: gpu}", 'process: gpu, mailbox_size: "5"}')

    (problem,) = modules.problems(changed, processes=("web",))

    assert problem.path.endswith("children.0.agent.mailbox_size")


def test_what_was_not_judged_is_said(modules: Any) -> None:
    assert modules.load(text(), processes=("gpu",)).not_judged == (
        "agents of other processes: desk, lamp, web",
    )
    assert modules.load(text()).not_judged == ()


def test_with_an_unknown_transport_agents_of_other_processes_stay_out(modules: Any) -> None:
    break_others(modules, "desk", "lamp")

    (problem,) = modules.problems(text("pigeon"), processes=("supervisor",))

    assert "unknown transport 'pigeon'" in problem.message


# --- in Python -----------------------------------------------------------------------------------


def test_a_runtime_from_a_file_is_the_primary_and_imports_its_agents_alone(modules: Any) -> None:
    break_others(modules, "desk", "lamp")
    sys.path.insert(0, str(modules.folder))

    runtime = Runtime.from_config(modules.topology(text()))

    assert [each.name for each in runtime.all_agents()] == ["desk", "lamp"]
    assert "gpu" in runtime.print_tree()
    assert imported(modules) == {"desk", "lamp"}


def test_a_client_from_a_file_imports_no_agent_and_takes_what_a_runtime_takes(
    modules: Any,
) -> None:
    break_others(modules)
    file = modules.topology(text().replace("APP.gpu.Agent", "Given"))

    client = Client.from_config(file, {"Given": AgentProcess}, connect_timeout=1.0)

    assert isinstance(client, Client)
    assert imported(modules) == set()
    assert isinstance(Client.from_config(path=str(file), agent_classes=None), Client)


def test_a_runtime_and_a_client_take_overlays(modules: Any) -> None:
    file = modules.topology(text("in_process"))
    (modules.folder / "prod.yaml").write_text("transport: {type: zmq}\nserializer: json\n")
    break_others(modules, "desk", "lamp")
    sys.path.insert(0, str(modules.folder))
    overlays = [modules.folder / "prod.yaml"]

    runtime = Runtime.from_config(file, overlays=overlays)
    client = Client.from_config(file, overlays=overlays)

    assert [each.name for each in runtime.all_agents()] == ["desk", "lamp"]
    assert isinstance(client, Client)


def test_a_client_from_a_mapping_imports_no_agent() -> None:
    agent = {"name": "a", "type": "no_such_module.Agent", "process": "b"}
    tree = {"name": "root", "children": [{"agent": agent}]}

    client = Client.from_config_dict({"transport": {"type": "zmq"}, "supervision": tree})

    assert isinstance(client, Client)


def test_a_client_from_a_file_needs_a_transport_between_processes(modules: Any) -> None:
    with pytest.raises(ConfigurationError, match="stays within its own"):
        Client.from_config(modules.topology(text("in_process")))


def test_a_client_from_a_file_says_what_is_wrong_with_it_by_line(modules: Any) -> None:
    with pytest.raises(TopologyError) as caught:
        Client.from_config(modules.topology(text().replace("name: root", "nam: root")))

    assert {each.location.line for each in caught.value.problems} == {2, 3}


def test_a_worker_of_a_topology_that_was_loaded_for_another_process_is_refused(
    modules: Any,
) -> None:
    loaded = modules.load(text(), processes=("supervisor",))

    with pytest.raises(ConfigurationError, match="class of agent 'gpu' was not imported"):
        Worker.from_topology(loaded, "gpu")
