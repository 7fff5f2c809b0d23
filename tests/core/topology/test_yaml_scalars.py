"""What texts without quotes mean, as values and as keys."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from civitas.errors import Location
from civitas.topology import Problem
from civitas.topology.variables import expand
from civitas.topology.yaml_nodes import plain
from civitas.topology.yaml_reader import Parsed, parse
from civitas.topology.yaml_scalars import read_plain

TEXTS = [
    *("12:30", "12:30:45", "-1:30", "190:20:30", "1:2.5", "1:30.", "2024-02-30", "12:30 "),
    *("017", "0644", "08", "00", "-017", "0_1", "01.10", "007.5", "01e3", "0o8", "0x", "0b2"),
    *("1.10.3", "1.2-rc1", "1e", "e3", "1_a", "_1", ".", "._", "+", "1.5.", "0X1F", "0O17"),
    *("y", "n", "yES", "nan", "inf", "infinity", "Nil", "None", "=", "<<", "١٢"),
]
VALUES = [
    *(("5", 5), ("-5", -5), ("+5", 5), ("0", 0), ("-0", 0), ("1_000", 1000), ("1_0_", 10)),
    *(("0o17", 15), ("-0o17", -15), ("0x1F", 31), ("0b11", 3), ("0x1_F", 31)),
    *(("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1.10", 1.1), ("0.5", 0.5), ("-.5", -0.5)),
    *(("1e3", 1000.0), ("1E3", 1000.0), ("1e-3", 0.001), ("1.0e+3", 1000.0), ("-1.5e2", -150.0)),
    *((".inf", math.inf), ("-.INF", -math.inf), ("1_0.5", 10.5)),
    *(("true", True), ("False", False), ("yes", True), ("NO", False), ("on", True), ("Off", False)),
    *(("", None), ("~", None), ("null", None), ("Null", None)),
]


def read(text: str) -> Parsed:
    return parse(text, lambda line: Location("t.yaml", line))


def expanded(written: str, value: str) -> tuple[Any, list[Problem]]:
    root = read(f"a: {written}\n").root
    problems = expand(root, {"X": value})
    return plain(root)["a"], problems


@pytest.mark.parametrize("text", TEXTS)
def test_times_leading_zeros_and_words_are_text(text: str) -> None:
    assert plain(read(f"a: {text}\n").root) == {"a": text.strip()}


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_numbers_and_words_have_their_values(text: str, value: Any) -> None:
    read_value = plain(read(f"a: {text}\n").root)["a"]

    assert (type(read_value), read_value) == (type(value), value)


def test_there_is_a_value_that_is_no_number() -> None:
    assert math.isnan(read_plain(".NaN"))


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 5000, "1." + "0" * 400 + "e999"])
def test_a_number_that_can_not_be_kept_is_a_problem(text: str) -> None:
    (problem,) = read(f"a: {text}\n").problems

    assert "number" in problem.message


@pytest.mark.parametrize(
    "written", ['!!int ""', "!!int x", "!!float x", "!!bool maybe", '!!bool ""', "!!float ''"]
)
def test_a_tag_before_something_else_is_a_problem(written: str) -> None:
    (problem,) = read(f"a: {written}\n").problems

    assert "stands before something else" in problem.message


@pytest.mark.parametrize("around", ["\n", "\r", "\r\n", "\n\n", " ", "\t \n"])
@pytest.mark.parametrize(("text", "value"), [*VALUES, ("abc", "abc"), ("12:30", "12:30")])
def test_white_space_around_a_variable_without_quotes_is_no_part_of_it(
    text: str, value: Any, around: str
) -> None:
    assert expanded("${X}", text + around) == (value, [])
    assert expanded("${X}", around + text) == (value, [])


@pytest.mark.parametrize("value", ["sesame\n", "\r\n", " a ", "\ufeffx", "0123"])
def test_a_variable_in_quotes_is_kept_as_it_is(value: str) -> None:
    assert expanded('"${X}"', value) == (value, [])


@given(st.text())
@example("yes\n")
@example("true\x00")
@example("\ufeff5")
@example("null\u2028")
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    with suppress(ValueError):
        read_plain(text)


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none())
def test_what_yaml_writes_is_read_as_it_was(value: Any) -> None:
    written = yaml.safe_dump({"a": value})

    assert plain(read(written).root) == {"a": value}


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "On", "NO", "y"])
def test_a_key_is_the_word_that_is_written(word: str) -> None:
    parsed = read(f"a: {{{word}: 1}}\n{word}: 2\n")

    assert parsed.problems == []
    assert plain(parsed.root) == {"a": {word: 1}, word: 2}


@pytest.mark.parametrize("key", ["true", "1.10", "null", "~", "5", "0x1F", "1e3"])
def test_a_key_given_twice_is_told_as_it_is_written(key: str) -> None:
    (problem,) = read(f"{key}: 1\nb: 2\n{key}: 3\n").problems

    assert problem.message == f"the key {key!r} stands here already, at t.yaml:1"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines_of_any_system_are_read_and_counted(end: str) -> None:
    parsed = read(end.join(["a: 5", "b: |", "  x", "  y", "c: yes", "a: 6", ""]))

    assert plain(parsed.root) == {"a": 5, "b": "x\ny\n", "c": True}
    assert parsed.problems[0].location.line == 6
