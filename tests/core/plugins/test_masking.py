"""Secrets stay out of what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from civitas.errors import printable
from civitas.plugins.masking import (
    describe_without_inputs,
    mask_text,
    mask_urls,
    mask_values,
    secret_texts,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://127.0.0.1:5559", "tcp://127.0.0.1:5559"),
        ("tcp://ada:pw@host:1/x", "tcp://***@host:1/x"),
        ("tcp://token@host", "tcp://***@host"),
        ("tcp://a:p@ss@host", "tcp://***@host"),
        ("a://u:p@h and b://v:q@i", "a://***@h and b://***@i"),
        ("tcp://ada:p/w@host:1", "tcp://***@host:1"),
        ("tcp://ada:p?w#@host", "tcp://***@host"),
        ("a://h:1,a://u:p/q@i", "a://h:1,a://***@i"),
        ("http://host:80/path?to=a@b", "http://host:80/path?to=a@b"),
        ("mail ada@example.org", "mail ada@example.org"),
        ("http://host/path?to=a@b", "http://host/path?to=a@b"),
        ("db://h/x?user=ada&password=pw&db=1", "db://h/x?user=ada&password=***&db=1"),
        ("at 'db://h?auth_token=pw', line 1", "at 'db://h?auth_token=***', line 1"),
    ],
)
def test_users_and_passwords_of_urls_are_masked(text: str, expected: str) -> None:
    assert mask_urls(text) == expected


def test_secrets_inside_a_text_are_masked() -> None:
    assert mask_text("can't log in with hunter2", ["hunter2"]) == "can't log in with ***"


@pytest.mark.parametrize("form", [repr, ascii, json.dumps, quote, str.strip, printable])
def test_a_secret_is_masked_however_it_is_written(form: Callable[[str], str]) -> None:
    secret = "se same\\'\u00e4\n/\x1bopen"
    assert mask_text(f"no {form(secret)}.", [secret]) in ("no ***.", "no '***'.", 'no "***".')


def test_a_line_of_a_secret_is_masked() -> None:
    key = "--- begin\nMIICXAIBAAKBgQ\n--- end"
    assert mask_text("at 'MIICXAIBAAKBgQ'", [key]) == "at '***'"


@pytest.mark.parametrize("secret", ["abcdefghij" * 6, "ab\n'\u00e4" * 30, "se" * 10])
def test_a_secret_is_masked_where_pydantic_repeats_it_shortened(secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python(secret)
    masked = mask_text(str(caught.value), [secret])
    assert "***" in masked
    assert secret[:4] not in masked
    assert repr(secret)[-8:-1] not in masked


def test_what_pydantic_says_of_a_value_is_told_without_it() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, Annotated[str, Field(max_length=3)]]).validate_python({"a": "b" * 90})
    assert "bbb" in str(caught.value)
    told = describe_without_inputs(caught.value)
    assert told == "ValidationError: a: String should have at most 3 characters"
    assert describe_without_inputs(KeyError("a")) == "KeyError: 'a'"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": "x", "host": "h"}, {"password": "***", "host": "h"}),
        ({"apiKey": "x", "auth_token": "y"}, {"apiKey": "***", "auth_token": "***"}),
        ({"deep": [{"secret": ["a", "b"]}]}, {"deep": [{"secret": "***"}]}),
        ({"servers": ["t://u:p@h"]}, {"servers": ["t://***@h"]}),
        ({"password": None, "n": 5, "on": True}, {"password": None, "n": 5, "on": True}),
    ],
)
def test_values_under_names_that_look_secret_are_masked(value: Any, expected: Any) -> None:
    assert mask_values(value) == expected


def test_the_texts_of_secret_fields_are_found_at_every_depth() -> None:
    values = {"loft": "one", "tls": {"pin": 1234, "password": ["two"]}}

    assert secret_texts(values, ["pin"]) == ["1234", "two"]
