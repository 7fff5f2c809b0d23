"""What the READMEs show is what happens."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import completed

Start = Callable[..., Any]

pytestmark = pytest.mark.slow


def block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_agents_of_the_readme_run_as_it_says(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    readme = (repository / "README.md").read_text()
    (tmp_path / "agents.py").write_text(block(readme, "python"))
    (tmp_path / "topology.yaml").write_text(block(readme, "yaml"))
    running = start("run", "topology.yaml")
    running.until("Hello, Ada!")
    running.signal(signal.SIGINT)
    assert running.wait() == 0, running.err
    assert 'prints "Hello, Ada!"' in readme


def test_only_the_transport_of_the_readme_changes_for_two_processes(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    readme = (repository / "README.md").read_text()
    (tmp_path / "agents.py").write_text(block(readme, "python"))
    topology = block(readme, "yaml")
    changed = topology.replace("transport: {type: in_process}", "transport: {type: zmq}")
    assert changed != topology
    (tmp_path / "topology.yaml").write_text(changed)
    # The defaults are for one system at a time, and tests run side by side.
    addresses = ("--set=transport.pub_addr=ipc://pub", "--set=transport.sub_addr=ipc://sub")
    running = start("up", "topology.yaml", *addresses)
    running.until("supervisor | Hello, Ada!")
    asked = start("ask", "greeter", '{"name": "Bob"}', *addresses)
    assert asked.wait() == 0, asked.err
    assert "Hello, Bob!" in "".join(asked.out)
    running.signal(signal.SIGINT)
    assert running.wait() == 0, running.err
    assert 'prints "supervisor | Hello, Ada!"' in readme


def test_the_script_of_the_core_readme_runs(repository: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(block((repository / "civitas-core/README.md").read_text(), "python"))
    done = completed(sys.executable, script)
    assert (done.returncode, done.stdout) == (0, "Hello, Ada!\n"), done.stderr


def test_the_readme_links_to_pages_that_exist_and_commands_that_make_knows(
    repository: Path,
) -> None:
    readme = (repository / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert links
    assert [link for link in links if not (repository / link).exists()] == []
    makefile = (repository / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_fits_on_a_screen_or_two(repository: Path) -> None:
    assert len((repository / "README.md").read_text().splitlines()) < 100
