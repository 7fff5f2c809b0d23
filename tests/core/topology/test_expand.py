"""Variables in a whole topology."""

from __future__ import annotations

from typing import Any

import pytest

from civitas.errors import Location
from civitas.topology import Problem
from civitas.topology.variables import expand
from civitas.topology.yaml_nodes import plain
from civitas.topology.yaml_reader import parse

VARIABLES = {"SIZE": "100", "ON": "true", "TOKEN": "0123", "HOST": "db", "EMPTY": ""}


def expanded(text: str) -> tuple[Any, list[Problem]]:
    root = parse(text, lambda line: Location("t.yaml", line)).root
    problems = expand(root, VARIABLES)
    return plain(root), problems


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${SIZE}", 100),
        ("${SIZE:-5}", 100),
        ("${UNSET:-5}", 5),
        ("${UNSET:-2.5}", 2.5),
        ("${ON}", True),
        ("${UNSET:-false}", False),
        ("${EMPTY}", None),
        ('"${SIZE}"', "100"),
        ("'${TOKEN}'", "0123"),
        ('"${EMPTY}"', ""),
        ("${HOST}:5559", "db:5559"),
        ("1${SIZE}", 1100),
        ("tcp://${HOST}:${SIZE}", "tcp://db:100"),
        ("$${SIZE}", "${SIZE}"),
        ("!!str ${SIZE}", "100"),
        ("|\n  ${SIZE}\n", "100\n"),
    ],
)
def test_text_without_quotes_is_typed_again_and_text_in_quotes_is_not(
    written: str, value: Any
) -> None:
    assert expanded(f"a: {written}\n") == ({"a": value}, [])


def test_variables_are_replaced_at_every_depth() -> None:
    assert expanded("a:\n  - {b: '${HOST}'}\n  - ${SIZE}\n")[0] == {"a": [{"b": "db"}, 100]}


def test_keys_are_left_alone() -> None:
    assert expanded("'${HOST}': 1\n") == ({"${HOST}": 1}, [])


def test_a_value_can_not_add_structure() -> None:
    variables = {"X": "{a: 1}"}
    root = parse("a: ${X}", lambda line: Location("t.yaml", line)).root

    assert expand(root, variables) == []
    assert plain(root) == {"a": "{a: 1}"}


def test_a_variable_without_a_value_is_named_with_its_line() -> None:
    _, problems = expanded("a: 1\nb:\n  - x\n  - ${NOPE}/${NOPE}/${ALSO}\n")

    assert [(each.location.line, each.path) for each in problems] == [(4, "b.1"), (4, "b.1")]
    assert "'NOPE'" in problems[0].message
    assert problems[0].suggestion == "set it, or write ${NOPE:-default}"
    assert "'ALSO'" in problems[1].message


def test_a_mistyped_variable_gets_a_suggestion() -> None:
    _, (problem,) = expanded("a: ${TOKNE}\n")

    assert problem.suggestion == "did you mean 'TOKEN'?"


def test_a_malformed_variable_is_told_with_its_line() -> None:
    _, (problem,) = expanded("a: 1\nb: '${oops'\n")

    assert problem.location.line == 2
    assert "$${" in problem.suggestion


def test_a_number_too_long_to_read_is_a_problem() -> None:
    root = parse("a: ${X}", lambda line: Location("t.yaml", line)).root

    (problem,) = expand(root, {"X": "9" * 5000})
    assert "number" in problem.message
