"""How the options of a plugin are described."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr

from civitas.plugins import TransportSpec
from civitas.plugins.options import describe_options, options_advice, type_text


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Options(BaseModel):
    loft: str = Field("home", description="Where the\n pigeons return to.")
    birds: int = Field(description="How many.")
    token: SecretStr | None = Field(SecretStr("coo"), description="For the keeper.")
    url: str = Field("post://me:c@o@loft/1", description="The loft.")
    rings: list[str] = Field(default_factory=list, alias="ring-list")
    api_token: str = Field("", description="For the ministry.")
    token_file: Path | None = Field(None, description="Where there is another one.")


def described(name):
    return next(each for each in describe_options(Options) if each.name == name)


def test_an_option_has_a_type_a_default_and_a_description():
    loft = described("loft")
    assert (loft.type, loft.default, loft.description, loft.required, loft.secret) == (
        "str",
        "'home'",
        "Where the pigeons return to.",
        False,
        False,
    )


def test_a_required_option_has_no_default():
    assert (described("birds").required, described("birds").default) == (True, "")


def test_a_secret_is_never_shown():
    token = described("token")
    assert (token.secret, token.default) == (True, "(hidden)")


def test_a_password_in_a_url_is_never_shown():
    assert described("url").default == "'post://***@loft/1'"


def test_an_option_goes_by_its_alias_and_a_computed_default_is_named_so():
    assert described("ring-list").default == "(computed)"


def test_a_transport_without_options_has_none():
    assert describe_options(None) == []


def test_advice_for_authors():
    spec = TransportSpec("pigeon", "Slow but sure", lambda options, context: None, Options)
    assert options_advice(spec) == [
        "option 'ring-list' has no description",
        "option 'api_token' sounds like a secret and is not a SecretStr",
    ]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (str | None, "str | None"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (Literal["a.b", 1], "'a.b' | 1"),
        (Annotated[int, Field(gt=0)], "int"),
        (tuple[int, ...], "tuple[int, ...]"),
        (SecretStr, "SecretStr"),
        (None, "None"),
        (Callable[[int], str], "Callable[[int], str]"),
        (Mood, "'calm' | 'wild'"),
    ],
)
def test_types_are_written_as_a_reader_would(annotation, text):
    assert type_text(annotation) == text
