"""How a part of civitas is started as a process of its own, by how this program was started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from civitas import _program
from civitas.errors import CivitasError
from support.commands import completed

PROBE = "civitas._authoring.probe"
SHOW = f"""
import json
from civitas._program import begin, command_of_part
begin()
print(json.dumps(command_of_part({PROBE!r}, "a")))
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"-P"}),
        (("-I",), {"-I"}),
        (
            ("-O", "-X", "dev", "-W", "error::BytesWarning"),
            {"-O", "-X", "dev", "-Werror::BytesWarning", "-P"},
        ),
    ],
)
def test_a_new_interpreter_gets_the_options_of_this_one(options, expected) -> None:
    done = completed(sys.executable, *options, "-c", SHOW, "some", "argument")
    assert done.returncode == 0, done.stderr
    first, *found, flag, module, argument = json.loads(done.stdout)
    assert (first, flag, module, argument) == (sys.executable, "-m", PROBE, "a")
    assert expected <= set(found)
    assert set(found) - expected <= {"-B", "-Wdefault"}, "what is of this environment, or of dev"


def begun(monkeypatch: pytest.MonkeyPatch, whole: list[str], given: list[str]) -> Any:
    """Return the command of a part in a frozen program that was started so."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "orig_argv", whole)
    monkeypatch.setattr(sys, "argv", ["civitas", *given])
    assert _program.begin() is False
    try:
        return _program.command_of_part(PROBE, "a")
    finally:
        monkeypatch.setattr(sys, "argv", ["civitas", "changed"])
        _program.begin()


EXE = sys.executable
PART = ["--civitas-part", PROBE, "a"]


@pytest.mark.parametrize(
    ("started", "own"),
    [
        (["civitas-frozen"], [EXE]),
        (["python3", "-Im", "civitas"], [EXE, "-Im", "civitas"]),
        (["python3", "-m", "civitas"], [EXE, "-m", "civitas"]),
        (["python3", "-c", "main()"], [EXE, "-c", "main()"]),
        (["python3", "-X", "dev", "an app.pyz"], [EXE, "-X", "dev", "{here}/an app.pyz"]),
        (["python3", "/opt/Öl/app"], [EXE, "/opt/Öl/app"]),
    ],
)
@pytest.mark.parametrize("given", [[], ["up"], ["up", "-m", "a b"]])
def test_a_program_is_started_again_as_it_was(monkeypatch, started, own, given) -> None:
    expected = [each.format(here=Path.cwd()) for each in own]
    assert begun(monkeypatch, [*started, *given], given) == [*expected, *PART]


@pytest.mark.parametrize(
    ("whole", "given"),
    [
        (["my-app", "start"], ["up", "topology.yaml"]),
        (["my-app"], ["up"]),
        ([], []),
    ],
)
def test_a_program_that_changes_its_arguments_is_not_started_again(
    monkeypatch, whole, given
) -> None:
    with pytest.raises(CivitasError, match="can't start processes of civitas: it does not begin"):
        begun(monkeypatch, whole, given)


def test_nothing_but_a_part_is_run_as_a_part(monkeypatch) -> None:
    for arguments in ([], ["--civitas-part"], ["--civitas-part", "os"], [PROBE]):
        monkeypatch.setattr(sys, "argv", ["civitas", *arguments])
        assert _program.begin() is False
