"""Secrets stay out of what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from civitas.plugins.masking import mask_text, mask_urls, mask_values, secret_texts


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
