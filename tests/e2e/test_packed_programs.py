"""Programs that bring civitas along: an archive (zipapp), and one that is its own interpreter.

The interpreter that runs them does not find civitas by itself.
"""

from __future__ import annotations

import json
import shutil
import sys
import venv
import zipapp
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import completed
from support.environments import link_third_party

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
CORE = TESTS.parent / "civitas-core/src/civitas"

AGENTS = """
from civitas import AgentProcess

class Host(AgentProcess):
    async def handle(self, message):
        print("a guest from", message.payload["process"])
        self.stop()

class Guest(AgentProcess):
    async def on_start(self):
        import sys
        await self.send("host", {"process": sys.orig_argv[-1]})
        self.stop()
"""

TOPOLOGY = """
transport: {type: local_bus, path: bus.sock}
supervision:
  name: root
  children:
    - agent: {name: host, type: agents.Host}
    - agent: {name: guest, type: agents.Guest, process: hall}
"""

FROZEN = """\
#!/bin/sh
exec '{python}' -P -c '
import sys
sys.frozen, sys.executable = True, sys.argv[1]
del sys.argv[0]
sys.orig_argv[:] = sys.argv
sys.path.insert(0, "{archive}")
{main}
' "$0" "$@"
"""
"""Acts as a frozen program does: it is its own interpreter, and takes no options of Python."""

MAIN = "from civitas.cli import main; main()"
OF_ITS_OWN = "from civitas.cli.app import main; main()"

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name has what names may have, with archives of civitas and two agents."""
    folder = tmp_path_factory.mktemp("packed") / "bei Öl & Co"
    folder.mkdir()
    (folder / "agents.py").write_text(AGENTS)
    (folder / "topology.yaml").write_text(TOPOLOGY)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    link_third_party(folder / "third_party")
    tree = folder / "tree"
    no_cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CORE, tree / "civitas", ignore=no_cache)
    shutil.copytree(TESTS / "support/local_bus", tree / "support/local_bus", ignore=no_cache)
    (tree / "support/__init__.py").touch()
    shutil.copytree(TESTS / "support/plugins_site", tree, dirs_exist_ok=True)
    zipapp.create_archive(tree, folder / "bare.pyz", main="civitas.cli:main")
    (metadata,) = (
        found for each in sys.path for found in Path(each).glob("civitas_core-*.dist-info")
    )
    shutil.copytree(metadata, tree / metadata.name)
    zipapp.create_archive(tree, folder / "civitas.pyz", main="civitas.cli:main")
    shutil.rmtree(tree)
    return folder


@pytest.fixture
def run(shop: Path) -> Run:
    """Runs a program in the folder, whose interpreter has what civitas needs and not civitas."""

    def run_program(*command: str) -> Any:
        settings = {"PYTHONPATH": str(shop / "third_party"), "PYTHONWARNINGS": "ignore"}
        return completed(*command, cwd=shop, **settings)

    return run_program


def python(shop: Path) -> str:
    return str(shop / "venv/bin/python")


def frozen(shop: Path, main: str) -> str:
    program = shop / f"frozen {len(main)}"
    program.write_text(FROZEN.format(python=python(shop), archive=shop / "civitas.pyz", main=main))
    program.chmod(0o755)
    return str(program)


def test_an_archive_runs_all_processes_of_a_topology(shop: Path, run: Run) -> None:
    done = run(python(shop), "civitas.pyz", "up", "topology.yaml")
    assert done.returncode == 0, done.stderr
    assert "supervisor | a guest from --process=hall" in done.stdout


def test_an_archive_checks_what_is_in_it(shop: Path, run: Run) -> None:
    done = run(python(shop), "civitas.pyz", "plugins", "check", "local_bus", "json", "--json")
    verdicts = {each["name"]: each for each in json.loads(done.stdout)}
    assert {name: each["state"] for name, each in verdicts.items()} == {
        "local_bus": "ok",
        "json": "ok",
    }
    assert verdicts["json"]["unproved"] == [], "the report in the archive was not read"


def test_core_without_its_metadata_lists_plugins_and_says_that_its_version_is_unknown(
    shop: Path, run: Run
) -> None:
    listed = run(python(shop), "bare.pyz", "plugins", "list", "--json")
    rows = {each["name"]: each for each in json.loads(listed.stdout)}
    assert {rows[name]["state"] for name in ("in_process", "local_bus", "json")} == {"ok"}
    assert rows["json"]["version"] is None
    version = run(python(shop), "bare.pyz", "version")
    assert version.stdout.startswith("civitas-core of unknown version: its metadata is not here (")


def test_a_frozen_program_starts_itself_as_its_processes(shop: Path, run: Run) -> None:
    done = run(frozen(shop, MAIN), "up", "topology.yaml")
    assert done.returncode == 0, done.stderr
    assert "supervisor | a guest from --process=hall" in done.stdout


def test_a_program_with_a_command_line_of_its_own_says_that_it_can_not(
    shop: Path, run: Run
) -> None:
    done = run(frozen(shop, OF_ITS_OWN), "up", "topology.yaml")
    assert done.returncode == 1
    assert "error: this program can't start processes of civitas: it does not" in done.stderr
    assert "Traceback" not in done.stderr
