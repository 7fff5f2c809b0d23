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

TYPED_SLIPS = """
from dataclasses import dataclass
from civitas import AgentProcess, Message, Runtime, on

@dataclass
class Book:
    cents: int

@dataclass
class Receipt:
    cents: int

class Cashier(AgentProcess):
    @on(Book)
    async def book(self, book: Receipt, message: Message) -> Receipt:
        return book

    @on(Receipt)
    async def receipt(self, receipt: Receipt, message: Message) -> list[int]:
        return []

async def slips(runtime: Runtime) -> int:
    answer = await runtime.ask("cashier", Book(cents=1))
    answer.cents
    receipt = await runtime.ask("cashier", Book(cents=1), reply=Receipt)
    receipt.payload
    await runtime.ask("cashier", Book(cents=1), reply="Receipt")
    return receipt.cents
"""
"""A handler of another class, one that returns a list, the fields of a message and of a receipt, a
class that is text."""


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
    slips.write_text(TYPED_SLIPS)
    errors = mypy(slips, tmp_path).splitlines()
    found = {int(line.split(":")[1]) for line in errors if ": error:" in line}
    assert found == {14, 18, 24, 26, 27}
