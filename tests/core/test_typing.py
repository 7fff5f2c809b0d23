"""Typing: what users write, as they write it, passes mypy in its strictest mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.commands import completed

USERS_CODE = Path(__file__).parent / "users_code.py"
SLIPS = """
from civitas import AgentProcess, Runtime, Supervisor

async def slips(agent: AgentProcess, runtime: Runtime) -> None:
    await runtime.ask("a", {}, 5.0)
    await agent.send("a", ["a list"])
    await agent.send(agent, {})
    await agent.ask("a", {}, timeout="5")
    Supervisor("root", ["a"])
"""


def mypy(path: Path, cache: Path) -> str:
    options = ["--strict", "--config-file", "", "--cache-dir", str(cache), "--no-error-summary"]
    return completed(sys.executable, "-m", "mypy", *options, str(path)).stdout


@pytest.mark.packaging
def test_users_code_passes_mypy_and_its_slips_do_not(tmp_path: Path) -> None:
    assert mypy(USERS_CODE, tmp_path) == ""
    slips = tmp_path / "slips.py"
    slips.write_text(SLIPS)
    errors = mypy(slips, tmp_path).splitlines()
    assert [int(line.split(":")[1]) for line in errors if ": error:" in line] == [5, 6, 7, 8, 9]
