"""The files of the pages on deployment, as far as they can be judged without a cluster."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from civitas import AgentProcess
from civitas.messages import PRIMARY
from civitas.topology import Topology, load_topology
from support.commands import COMMAND, completed
from support.namespaces import as_process_1, first_of
from support.nats.server import NatsServer
from support.probing import probe

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "examples/deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
INSTALLED = "/opt/shop/bin/civitas"
KUBERNETES = "1.37"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def topology() -> Topology:
    return load_topology(DEPLOY / "topology.yaml", agent_base=AgentProcess, import_classes=False)


@pytest.fixture(scope="module")
def patience(topology: Topology) -> float:
    """Return the longest `shutdown_timeout`: whoever kills has to wait longer."""
    return max(each.block.shutdown_timeout or 0.0 for each in topology.supervision.agents())


def processes_of(topology: Topology) -> set[str]:
    return {PRIMARY, *topology.processes}


def connect_timeout(topology: Topology) -> float:
    return float((topology.model.transport.model_extra or {})["connect_timeout"])


def test_the_topology_is_valid() -> None:
    done = completed(
        COMMAND, "topology", "validate", DEPLOY / "topology.yaml", "--app-dir", REPOSITORY
    )
    assert done.returncode == 0, done.stderr


# --- systemd --------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_of_a_unit(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    assert INSTALLED in text
    (tmp_path / unit.name).write_text(text.replace(INSTALLED, str(COMMAND)))
    done = completed("systemd-analyze", "verify", "--man=no", tmp_path / unit.name)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_a_wrong_key(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.service"
    wrong.write_text(f"[Service]\nExecStart={COMMAND} version\nWatchdog=1\n")
    assert "Watchdog" in completed("systemd-analyze", "verify", "--man=no", wrong).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_waits_as_long_as_its_processes_may_take(
    unit: Path, topology: Topology, patience: float
) -> None:
    keys = dict(re.findall(r"(?m)^(\w+)=(.*)$", unit.read_text()))
    arguments = shlex.split(keys["ExecStart"])[1:]
    assert (DEPLOY / "topology.yaml").samefile(REPOSITORY / arguments[1])
    rounds = 2 if arguments[0] == "up" else 1  # the primary, then the workers
    grace = float(arguments[arguments.index("--grace") + 1]) if rounds == 2 else patience
    assert grace >= patience
    assert float(keys["TimeoutStopSec"]) > rounds * grace
    assert float(keys["TimeoutStartSec"]) > connect_timeout(topology)
    assert keys["Type"] == "notify"


# --- containers -----------------------------------------------------------------------------------


def compose(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "docker" / name).read_text())
    return loaded


def compose_schema() -> Any:
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / "compose-spec.json").read_text())


@pytest.mark.parametrize("name", ["compose.yaml", "compose.roles.yaml"])
def test_a_compose_file_is_what_its_schema_says(name: str) -> None:
    jsonschema.validate(compose(name), compose_schema())


def test_each_process_has_a_container_that_ends_in_order(
    topology: Topology, patience: float
) -> None:
    services = compose("compose.yaml")["services"]
    own = {name: each for name, each in services.items() if each["image"] == "shop"}
    commands = [each.get("command", []) for each in own.values()]
    assert {each[1] if each else PRIMARY for each in commands} == processes_of(topology)
    for each in own.values():
        assert float(each["stop_grace_period"].removesuffix("s")) > patience
    roles = compose("compose.roles.yaml")["services"]
    assert set(roles) == set(own)
    dockerfile = (DEPLOY / "docker/Dockerfile.roles").read_text()
    assert {each["build"]["target"] for each in roles.values()} <= set(
        re.findall(r"(?m)^FROM civitas AS (\w+)$", dockerfile)
    )
    for each in (*own.values(), *roles.values()):
        context = DEPLOY / "docker" / each["build"]["context"]
        assert (context / each["build"]["dockerfile"]).is_file()


def entrypoints(dockerfile: str) -> list[list[str]]:
    text = (DEPLOY / "docker" / dockerfile).read_text()
    return [json.loads(each) for each in re.findall(r"(?m)^ENTRYPOINT (\[.*\])$", text)]


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.roles"])
def test_what_an_image_copies_is_there(dockerfile: str) -> None:
    text = (DEPLOY / "docker" / dockerfile).read_text()
    copied = re.findall(r"(?m)^COPY (\S+) \S+$", text)
    assert [each for each in copied if "dist/" not in each]
    assert all((REPOSITORY / each).is_file() for each in copied if "dist/" not in each)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The working directory of the image."""
    folder = tmp_path / "app"
    (folder / "examples").mkdir(parents=True)
    shutil.copy(DEPLOY / "topology.yaml", folder)
    shutil.copy(REPOSITORY / "examples/distributed.py", folder / "examples")
    return folder


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "server", jetstream=True) as server:
        yield server


def test_the_command_of_the_image_as_process_1(image: Path, nats: NatsServer) -> None:
    [entrypoint] = entrypoints("Dockerfile")
    arguments = compose("compose.yaml")["services"]["press"]["command"]
    running = as_process_1(
        image,
        str(COMMAND),
        *entrypoint[1:],
        *arguments,
        CIVITAS_NATS=nats.url,
        CIVITAS_HEALTH="127.0.0.1:0",
    )
    try:
        running.until("running: 1 agent")
        messages = [json.loads(line)["message"] for line in running.err]
        [url] = [text.split()[1] for text in messages if text.startswith("health: ")]
        assert (probe(url, "/live").status, probe(url, "/ready").status) == (200, 200)
        os.kill(first_of(running), signal.SIGTERM)
        assert running.wait() == 0
    finally:
        running.close()


def test_the_image_of_each_role_is_judged_for_its_process(image: Path, topology: Topology) -> None:
    text = (DEPLOY / "docker/Dockerfile.roles").read_text()
    judged = re.findall(r"(?m)^RUN civitas (topology validate .*)$", text)
    assert {each.split()[-1] for each in judged} == processes_of(topology)
    for each in judged:
        done = completed(COMMAND, *each.split(), cwd=image)
        assert done.returncode == 0, done.stderr


# --- kubernetes -----------------------------------------------------------------------------------


RESOURCES = [
    (file, document)
    for file in sorted((DEPLOY / "kubernetes").iterdir())
    for document in yaml.safe_load_all(file.read_text())
]
PODS = [document for _, document in RESOURCES if document["kind"] in {"Deployment", "StatefulSet"}]


@pytest.mark.parametrize(
    "resource", [each for _, each in RESOURCES], ids=[f"{f.stem}-{d['kind']}" for f, d in RESOURCES]
)
def test_a_resource_is_what_the_schema_of_kubernetes_says(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_each_process_has_a_pod_that_ends_in_order_and_is_probed(
    topology: Topology, patience: float
) -> None:
    processes = set()
    for each in PODS:
        template = each["spec"]["template"]
        assert each["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
        assert template["spec"]["terminationGracePeriodSeconds"] > patience
        [container] = template["spec"]["containers"]
        processes.add(container["args"][1] if container["args"] else PRIMARY)
        assert container["livenessProbe"]["httpGet"]["path"] == "/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
        startup = container["startupProbe"]
        budget = startup["periodSeconds"] * startup["failureThreshold"]
        assert budget > connect_timeout(topology)
    assert processes == processes_of(topology)


def test_two_processes_of_one_name_never_meet() -> None:
    for each in PODS:
        assert each["spec"]["replicas"] == 1
        surges = each["kind"] == "Deployment" and each["spec"]["strategy"]["type"] != "Recreate"
        assert not surges


def test_the_variables_are_those_of_the_topology() -> None:
    [settings] = [each["data"] for _, each in RESOURCES if each["kind"] == "ConfigMap"]
    text = (DEPLOY / "topology.yaml").read_text()
    assert all(f"${{{name}" in text for name in settings)
