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


def block(text: str, language: str, file: str = "") -> str:
    """Return the first block of a language; with a file, the one that begins with its name."""
    for code in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL):
        if code.startswith(f"# {file}" if file else ""):
            return str(code)
    raise AssertionError(f"no block of {language} {file}")


def test_the_first_agent_of_the_readme_crashes_and_answers_again_as_it_says(
    repository: Path, tmp_path: Path
) -> None:
    readme = (repository / "README.md").read_text()
    (tmp_path / "divider.py").write_text(block(readme, "python", "divider.py"))
    command, *said = block(readme, "console").splitlines()
    assert command == "$ python divider.py 2>crash.log"
    done = completed(sys.executable, tmp_path / "divider.py")
    assert (done.returncode, done.stdout.splitlines()) == (0, said), done.stderr
    assert "agent 'divider' crashed: ZeroDivisionError" in done.stderr


def test_the_agents_of_the_readme_run_as_it_says(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    readme = (repository / "README.md").read_text()
    (tmp_path / "agents.py").write_text(block(readme, "python", "agents.py"))
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
    (tmp_path / "agents.py").write_text(block(readme, "python", "agents.py"))
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


def test_the_readme_begins_with_what_it_is_an_install_line_and_a_crash(repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    lines = readme.splitlines()
    assert len(lines) < 150
    first_screen = "\n".join(lines[:50])
    for part in ("pip install civitas-core", "ZeroDivisionError", "| you need |"):
        assert part in first_screen, part
    assert readme.index("## Work on Civitas") > readme.index("## Read on")
