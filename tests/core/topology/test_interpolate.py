"""`${VAR}` in text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.topology.variables import interpolate

VARIABLES = {"NAME": "Ada", "_x1": "1", "EMPTY": "", "TRICKY": "${NAME}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("no variables", "no variables"),
        ("${NAME}", "Ada"),
        ("a ${NAME} and ${_x1}!", "a Ada and 1!"),
        ("${NAME}${NAME}", "AdaAda"),
        ("${UNSET:-Grace}", "Grace"),
        ("${UNSET:-}", ""),
        ("${EMPTY:-Grace}", "Grace"),
        ("${EMPTY}", ""),
        ("${NAME:-Grace}", "Ada"),
        ("${UNSET:-${NAME}}", "Ada"),
        ("${UNSET:-a ${ALSO_UNSET:-b} c}", "a b c"),
        ('${UNSET:-{"a": {"b": 1}}}', '{"a": {"b": 1}}'),
        ("${UNSET:-a:-b}", "a:-b"),
        ("$${NAME}", "${NAME}"),
        ("${UNSET:-$${NAME}}", "${NAME}"),
        ("$NAME, $$, $ and 5$", "$NAME, $$, $ and 5$"),
        ("${TRICKY}", "${NAME}"),
    ],
)
def test_variables_are_replaced(text: str, expected: str) -> None:
    assert interpolate(text, VARIABLES)[:3] == (expected, (), False)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("${UNSET}", ("UNSET",)),
        ("${ONE}/${NAME}/${TWO}", ("ONE", "TWO")),
        ("${UNSET:-${INNER}}", ("INNER",)),
    ],
)
def test_a_variable_without_a_value_is_named(text: str, missing: tuple[str, ...]) -> None:
    assert interpolate(text, VARIABLES).missing == missing


def test_the_default_of_a_variable_that_is_set_is_not_looked_at() -> None:
    assert interpolate("${NAME:-${UNSET}}", VARIABLES)[:3] == ("Ada", (), False)


@pytest.mark.parametrize(
    "text",
    ["${", "${}", "${1}", "${NAME", "${NA ME}", "${NAME:x}", "${NAME-x}", "${UNSET:-x", "${A:-{}"],
)
def test_what_begins_no_variable_is_malformed(text: str) -> None:
    result = interpolate(text, VARIABLES)

    assert result.malformed
    assert result.text == text


def test_defaults_nested_without_end_are_refused() -> None:
    assert interpolate("${X:-" * 5000 + "}" * 5000, {}).malformed


@given(st.text())
def test_text_without_an_opening_is_left_alone(text: str) -> None:
    text = text.replace("${", "")

    assert interpolate(text, VARIABLES).text == text


@given(st.text())
def test_any_text_can_be_written_by_doubling_the_dollar(text: str) -> None:
    text = text.replace("$$", "")

    assert interpolate(text.replace("${", "$${"), VARIABLES).text == text


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="$")), st.text())
def test_a_value_is_inserted_as_it_is(value: str, before: str, after: str) -> None:
    after = after.replace("${", "")

    assert interpolate(before + "${V}" + after, {"V": value}).text == before + value + after


@given(st.text(alphabet="${}:-AB "))
def test_no_text_raises(text: str) -> None:
    interpolate(text, {"A": "a"})
