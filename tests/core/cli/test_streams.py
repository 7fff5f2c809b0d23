"""The streams of a command: what others do to stdout does not reach what it prints itself."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator

import pytest

from civitas.cli import streams
from civitas.cli.output import write, write_error, write_json
from civitas.cli.tables import Branch, Column, write_table, write_tree


@pytest.fixture(autouse=True)
def both(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    streams.open_streams()
    yield
    sys.stdout, sys.stderr = before
    streams.close_streams()


def say(text: str) -> None:
    """Print as foreign code does."""
    print(text)  # noqa: T201


def nothing() -> None:
    """Leave stdout alone."""


def remove() -> None:
    sys.stdout = sys.stderr = None  # type: ignore[assignment]


def replace() -> None:
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()


def write_past_python() -> None:
    os.write(sys.stdout.fileno(), b"foreign\n")


@pytest.mark.parametrize("spoil", [nothing, remove, replace, write_past_python])
def test_a_result_is_alone_on_stdout_whatever_others_do_to_it(
    spoil: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    streams.reserve_stdout()
    say("foreign")
    spoil()
    say("foreign")
    write("a line")
    write_json({"key": "é"})
    write_table([Column("name")], [["cell"]])
    write_tree(Branch("head", "", [Branch("leaf")]))
    write_error("a remark")
    say("foreign")
    streams.close_streams()
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert (lines[0], json.loads("".join(lines[1:4]))) == ("a line", {"key": "é"})
    assert lines[4:] == ["name", "cell", "head", "└── leaf"]
    assert "foreign" in err
    assert "a remark\n" in err


def test_before_others_may_print_stdout_is_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    say("1")
    write("2")
    say("3")
    assert capfd.readouterr().out.split() == ["1", "2", "3"]


def test_who_runs_commands_and_goes_on_gets_stdout_back(capfd: pytest.CaptureFixture[str]) -> None:
    streams.reserve_stdout()
    streams.reserve_stdout()
    streams.close_streams()
    streams.close_streams()
    say("again")
    assert capfd.readouterr().out == "again\n"


def test_streams_that_are_no_files_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    streams.close_streams()
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    streams.open_streams()
    streams.reserve_stdout()
    write("a line")
    write_error("a remark")
    assert (out.getvalue(), err.getvalue()) == ("a line\n", "a remark\n")
