"""The main of a command line: how its errors are shown, and its exit codes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer

from civitas.cli.entry import CommandGroup, run_commands
from civitas.errors import CivitasError, ConfigurationError, Location
from civitas.topology import Problem, TopologyError
from support.hostile import HOSTILE, SHOWN, obeyed


def raising(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=CommandGroup, pretty_exceptions_enable=False)

    @app.command()
    def begin() -> None:
        raise error

    @app.command()
    def other() -> None:
        pass

    return app


@pytest.fixture
def ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int | str | None, str]]:
    def run(app: typer.Typer, *arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr("sys.argv", ["program", *arguments])
        with pytest.raises(SystemExit) as caught:
            run_commands(app)
        return caught.value.code, capsys.readouterr().err

    return run


PROBLEM = Problem(Location("a.yaml", 3), "", HOSTILE)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (CivitasError(HOSTILE), 1, [f"error: {SHOWN}"]),
        (ConfigurationError("at x://ada:sesame@h"), 2, ["error: at x://***@h"]),
        (TopologyError([PROBLEM]), 2, [f"error: a.yaml:3: {SHOWN}"]),
        (
            TopologyError([PROBLEM, PROBLEM]),
            2,
            ["error: the topology has 2 problems", *[f"a.yaml:3: {SHOWN}"] * 2],
        ),
        (KeyboardInterrupt(), 130, []),
        (typer.Exit(7), 7, []),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_error_is_explained_and_becomes_an_exit_code(
    ended: Callable[..., tuple[int | str | None, str]],
    error: BaseException,
    code: int,
    lines: list[str],
) -> None:
    status, shown = ended(raising(error), "begin")
    assert (status, shown.splitlines()) == (code, lines)


def test_an_error_that_nobody_expected_has_a_traceback_that_no_terminal_obeys(
    ended: Callable[..., tuple[int | str | None, str]],
) -> None:
    status, shown = ended(raising(ValueError(HOSTILE)), "begin")
    assert status == 1
    assert shown.startswith("Traceback (most recent call last):\n")
    assert "\n  error: forged" in shown
    assert obeyed(shown) == []


@pytest.mark.parametrize(
    "arguments", [[f"--{HOSTILE}"], [HOSTILE], ["begin", HOSTILE], ["other", f"-{HOSTILE}"]]
)
def test_what_typer_says_of_wrong_arguments_is_escaped(
    ended: Callable[..., tuple[int | str | None, str]], arguments: list[str]
) -> None:
    status, shown = ended(raising(ValueError()), *arguments)
    assert status == 2
    assert obeyed(shown) == []
