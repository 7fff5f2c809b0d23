"""What commands load, and build, of the program: no more than they need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from civitas.cli.app import app, app_for
from support.commands import COMMAND, completed

NAMES = [
    "run",
    "up",
    "ask",
    "send",
    "stats",
    "check",
    "top",
    "restart",
    "trace",
    "bench",
    "new",
    "version",
    "dead-letters",
    "topology",
    "plugins",
]
MODULES_OF_HELP = 43
"""Of civitas, for `civitas --help`, at most; 41 were seen."""
MODULES_OF_RUN = 158
"""Of civitas, for a run on `in_process`, at most; 157 were seen."""


def commands_of(made: typer.Typer) -> list[str]:
    return list(get_command(made).commands)  # type: ignore[attr-defined]


def modules(folder: Path, *arguments: str) -> set[str]:
    """Return the modules that are imported by the end of a command."""
    (folder / "sitecustomize.py").write_text(
        "import atexit, json, sys\n"
        "atexit.register(lambda: open('modules.json', 'w').write(json.dumps([*sys.modules])))\n"
    )
    done = completed(COMMAND, *arguments, cwd=folder, PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stderr
    return set(json.loads((folder / "modules.json").read_text()))


def test_the_whole_program_has_all_commands_in_their_order() -> None:
    assert commands_of(app) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_command_line_gets_the_command_that_it_names(name: str) -> None:
    assert commands_of(app_for([name, "--help"])) == [name]


@pytest.mark.parametrize("arguments", [["rnu"], ["--version"], ["--install-completion"], ["-h"]])
def test_what_names_no_command_gets_all(arguments: list[str]) -> None:
    assert commands_of(app_for(arguments)) == NAMES


def test_a_completion_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CIVITAS_COMPLETE", "complete_bash")
    command = get_command(app_for([])).commands["topology"]  # type: ignore[attr-defined]
    assert set(command.commands) == {"validate", "show", "schema"}


def test_a_list_of_the_commands_says_what_the_commands_say() -> None:
    def helps(made: typer.Typer) -> dict[str, str]:
        found = get_command(made).commands  # type: ignore[attr-defined]
        return {name: each.get_short_help_str(1_000) for name, each in found.items()}

    assert helps(app_for([])) == helps(app_for(["--help"])) == helps(app)


def test_help_loads_neither_asyncio_nor_the_runtime(tmp_path: Path) -> None:
    loaded = modules(tmp_path, "--help")
    own = {each for each in loaded if each.partition(".")[0] == "civitas"}
    assert not {"asyncio", "yaml", "civitas.runtime", "civitas.topology"} & loaded
    assert len(own) <= MODULES_OF_HELP


def test_a_run_loads_no_other_command_and_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "ready.py").write_text(
        "from civitas import AgentProcess\n"
        "class Ready(AgentProcess):\n"
        "    async def on_start(self):\n"
        "        self.stop()\n"
    )
    (tmp_path / "topology.yaml").write_text(
        "supervision: {name: root, children: [{name: ready, type: ready.Ready}]}\n"
    )
    loaded = modules(tmp_path, "run")
    own = {each for each in loaded if each.partition(".")[0] == "civitas"}
    others = {"talk", "up", "plugins", "topology", "dead_letters", "version"}
    assert not {f"civitas.cli.{each}" for each in others} & own
    assert "civitas._cluster.cluster" not in own
    assert len(own) <= MODULES_OF_RUN
