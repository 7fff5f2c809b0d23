"""What documentation says of topologies: every key is described, and the page's tree runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from civitas.process import AgentProcess
from civitas.topology import load_topology
from civitas.topology.model import BLOCKS, Block
from support.pages import DOCS, write_files


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name or "top" for name, _ in BLOCKS])
def test_every_key_is_described(name: str, block: type[Block]) -> None:
    assert block.__doc__
    assert all(field.description for field in block.model_fields.values())


@pytest.mark.parametrize(
    ("overlays", "transport", "model"),
    [
        ((), "in_process", "small"),
        (("staging",), "zmq", "small"),
        (("production",), "nats", "large"),
    ],
)
def test_the_tree_of_the_page_runs_in_all_its_places(
    tmp_path: Path, overlays: tuple[str, ...], transport: str, model: str
) -> None:
    write_files((DOCS / "topology.md").read_text(encoding="utf-8"), tmp_path)

    loaded = load_topology(
        tmp_path / "topology.yaml",
        agent_base=AgentProcess,
        processes=(),
        overlays=[tmp_path / f"{each}.yaml" for each in overlays],
        variables={"NATS_URL": "nats://broker:4222"},
    )

    assert loaded.transport.type_name == transport
    agents = {each.block.name: each.block for each in loaded.supervision.agents()}
    assert list(agents) == ["desk", "press"]
    assert agents["press"].config == {"model": model}


def test_the_settings_of_the_page_fit_its_tree(tmp_path: Path) -> None:
    write_files((DOCS / "topology.md").read_text(encoding="utf-8"), tmp_path)
    compose = yaml.safe_load((tmp_path / "compose.yaml").read_text(encoding="utf-8"))

    loaded = load_topology(
        tmp_path / "topology.yaml",
        agent_base=AgentProcess,
        processes=(),
        variables=compose["services"]["gpu"]["environment"],
    )

    assert loaded.send_timeout == 60
    *_, press = loaded.supervision.agents()
    assert press.block.config == {"model": "medium"}
