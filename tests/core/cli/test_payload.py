"""The payload that a command is given, and the JSON that commands print."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from civitas.cli.output import write_json
from civitas.cli.payload import read_payload

NESTED = '{"a":' * 200_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "payload.a is NaN"),
        ('{"a": [1, {"b": Infinity}]}', "payload.a[1].b is infinite"),
        ('{"a": -Infinity}', "payload.a is infinite"),
        ('{"a": 1e999}', "too large a number"),
        ('{"a": "\\ud800"}', "payload.a has half of a surrogate pair"),
        ('{"a": {"\\udfff": 1}}', "a key of payload.a has half"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' twice"),
        (f'{{"a": {"9" * 5000}}}', "more digits"),
        (NESTED, "nested so deep"),
        ("", "no JSON"),
        ("{'a': 1}", "no JSON"),
        ("NaN", "payload is NaN"),
        ("[1]", "a payload is a JSON object"),
        ("5", "a payload is a JSON object"),
        ("null", "a payload is a JSON object"),
    ],
)
def test_what_is_no_payload_is_refused_with_its_path(text: str, reason: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        read_payload(text)
    assert reason in caught.value.message


@given(st.text('{}[]"\\ud8001e9:,aNIn-f '))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        payload = read_payload(text)
    except typer.BadParameter:
        return
    json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()


@dataclass
class Measured:
    rate: float


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_number_that_json_lacks_is_printed_as_text(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(word: str) -> Any:
        pytest.fail(word)

    write_json({"a": [float(number), Measured(float(number))], "b": 1})

    shown = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert shown == {"a": [number, {"rate": number}], "b": 1}
