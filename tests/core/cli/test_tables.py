"""Tables and trees: data is printed as data, and whole."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

import civitas
from civitas.cli.tables import Branch, Column, write_table, write_tree
from support.hostile import HOSTILE, SHOWN

LONG = "x" * 300
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
TEXTS = ["[red]x[/red]", "[brackets]", "[/]", ":cd:", ":smile:", "a\\[b]", LONG, "名前"]

Printed = Callable[..., list[str]]
"""Runs a function with arguments, and returns the lines that it prints."""


class Terminal(io.StringIO):
    """A terminal, as far as a program can tell."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=["pipe", "terminal", "dumb terminal"])
def printed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Printed:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb" if "dumb" in request.param else "xterm")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def lines(write: Callable[..., None], *given: Any, **settings: Any) -> list[str]:
        with redirect_stdout(io.StringIO() if request.param == "pipe" else Terminal()) as stream:
            write(*given, **settings)
        return [_STYLE.sub("", each) for each in stream.getvalue().splitlines()]

    return lines


@pytest.mark.parametrize("text", [*TEXTS, HOSTILE])
def test_a_cell_is_what_it_says(text: str, printed: Printed) -> None:
    columns = [Column("a"), Column("n", is_number=True)]
    _, row = printed(write_table, columns, [[text, "5"]])

    assert row == f"{SHOWN if text == HOSTILE else text}  5"


@pytest.mark.parametrize("text", [*TEXTS, HOSTILE])
def test_a_line_of_a_tree_is_what_it_says(text: str, printed: Printed) -> None:
    root, child = printed(write_tree, Branch(text, f" {text}", [Branch(text)]))

    shown = SHOWN if text == HOSTILE else text
    assert (root, child) == (f"{shown} {shown}", f"└── {shown}")


def test_a_terminal_breaks_texts_between_words_and_nothing_is_lost(printed: Printed) -> None:
    words = [f"word{number}" for number in range(20)]
    columns = [Column("a"), Column("b", wraps=True)]

    lines = printed(write_table, columns, [[LONG, " ".join(words)]])

    assert LONG in lines[1]
    assert [each for each in words if each not in " ".join(lines).split()] == []


def test_a_table_may_lack_its_header_and_be_indented(printed: Printed) -> None:
    columns = [Column("a"), Column("b")]

    lines = printed(write_table, columns, [["1", "2"], ["333", "4"]], has_header=False, indent=2)

    assert lines == ["  1    2", "  333  4"]
    assert printed(write_table, columns, [], has_header=False) == []


def test_all_that_is_laid_out_but_the_live_view_is_laid_out_in_one_place() -> None:
    folder = Path(civitas.__file__).parent
    users = {
        str(each.relative_to(folder))
        for each in folder.rglob("*.py")
        if "import rich" in each.read_text() or "from rich" in each.read_text()
    }

    assert users == {"cli/tables.py", "cli/top/screen.py", "cli/top/terminal.py"}
