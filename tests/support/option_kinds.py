"""A plugin with an option of every kind, and what each is given, is shown as, and is refused with.

`SESAME` stands in each secret value: nothing that is shown or told may have it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Kind(NamedTuple):
    """One kind of option.

    Attributes:
        type: its type, as the plugin's source has it.
        field: more arguments of its `Field`.
        good: a value as YAML; none where only code can give one.
        shown: that value as JSON shows it.
        bad: a value as YAML that it refuses.
        told: what is said of the bad value.
        key: the key that gives it, where that is not its name.
        silent: whether it has no JSON Schema.
    """

    type: str
    good: str
    shown: Any
    bad: str = "[[]]"
    told: str = "must be"
    field: str = "None"
    key: str = ""
    silent: bool = False


_MASKED: Final = "***"

KINDS: Final[dict[str, Kind]] = {
    "text": Kind("str", "abc", "abc", "5", "must be text, not a number"),
    "number": Kind("float", "2.5", 2.5, "x", "must be a number, not text"),
    "not_finite": Kind("float", ".inf", "inf", "x", "must be a number"),
    "truth": Kind("bool", "true", True, "perhaps", "must be true or false"),
    "choice": Kind("Literal['slow', 'fast']", "fast", "fast", "faster", "must be 'slow' or 'fast'"),
    "enumerated": Kind("Speed", "fast", "fast", "faster", "must be 'slow' or 'fast'"),
    "either": Kind("int | list[int]", "[1, 2]", [1, 2], "{}", "whole number"),
    "numbers": Kind("list[int]", "[1, 2]", [1, 2], "[1, x]", "must be a whole number, not text"),
    "distinct": Kind("set[int]", "[3, 1, 3]", [1, 3], "7", "must be a list, not a number"),
    "frozen": Kind("frozenset[str]", "[b, a]", ["a", "b"], "7", "must be a list, not a number"),
    "pair": Kind("tuple[str, int]", "[a, 1]", ["a", 1], "[a, x]", "must be a whole number"),
    "many": Kind("tuple[int, ...]", "[1, 2]", [1, 2], "7", "must be a list, not a number"),
    "queue": Kind("deque[int]", "[1, 2]", [1, 2], "7", "must be a list"),
    "by_name": Kind("dict[str, int]", "{a: 1}", {"a": 1}, "7", "must be a mapping"),
    "by_number": Kind("dict[int, str]", "{1: a}", {"1": "a"}, "{x: a}", "must be a whole number"),
    "nothing": Kind("int | None", "null", None, "x", "must be a whole number"),
    "anything": Kind("Any", "{a: [1, {b: 2}]}", {"a": [1, {"b": 2}]}, "", ""),
    "file": Kind("Path", "/tmp/a", "/tmp/a", "7", "must be text, not a number"),
    "pause": Kind("timedelta", "PT1.5S", "PT1.5S", "soon", "must be a valid"),
    "moment": Kind(
        "datetime", "'2026-01-02T03:04:05'", "2026-01-02T03:04:05", "x", "valid datetime"
    ),
    "day": Kind("date", "'2026-01-02'", "2026-01-02", "x", "valid date"),
    "at": Kind("time", "'12:30'", "12:30:00", "x", "valid time"),
    "address": Kind("IPv4Address", "10.0.0.1", "10.0.0.1", "10.0.0", ""),
    "network": Kind("IPv4Network", "10.0.0.0/8", "10.0.0.0/8", "x", ""),
    "url": Kind("AnyUrl", "db://ada:sesame@h/x", "db://***@h/x", "sesame", "must be a valid URL"),
    "dsn": Kind("PostgresDsn", "postgres://a:sesame@h/x", "postgres://***@h/x", "sesame", "URL"),
    "exact": Kind("Decimal", "'1.10'", "1.10", "x", "must be a valid decimal"),
    "octets": Kind("bytes", "abc", "abc", "7", "must be text, not a number"),
    "size": Kind("ByteSize", "2KB", 2000, "much", "could not parse"),
    "unique": Kind("UUID", f"'{'0' * 32}'", "00000000-0000-0000-0000-000000000000", "x", "UUID"),
    "pattern": Kind("Pattern[str]", "a+", "a+", "'('", "must be a valid regular expression"),
    "parsed": Kind("Json[list[int]]", "'[1, 2]'", [1, 2], "'[1, x]'", "Invalid JSON"),
    "bounded": Kind("Annotated[int, Field(gt=0)]", "3", 3, "0", "must be greater than 0"),
    "short": Kind("constr(max_length=2)", "ab", "ab", "abc", "has at most 2 characters"),
    "judged": Kind("Judged", "fine", "fine", "bad", "no loft at bad"),
    "nested": Kind("Basket", "{size: 2}", {"size": 2, "lid": None}, "{size: x}", "whole number"),
    "nests": Kind("list[Basket]", "[{size: 2}]", [{"size": 2, "lid": None}], "[{}]", "is missing"),
    "plain": Kind("Ring", "{size: 2}", {"size": 2}, "{size: x}", "must be a whole number"),
    "typed": Kind("Tag", "{size: 2}", {"size": 2}, "{size: x}", "must be a whole number"),
    "link": Kind(
        "Annotated[Wire | Radio, Field(discriminator='by')]",
        "{by: wire, metres: 2}",
        {"by": "wire", "metres": 2},
        "{by: wire, metres: x}",
        "must be a whole number, not text",
    ),
    "made": Kind("list[int]", "[5]", [5], "x", "must be a list", "default_factory=lambda: [1]"),
    "renamed": Kind("int", "5", 5, "x", "whole number", "1, alias='ring-list'", "ring-list"),
    "read_as": Kind(
        "int", "5", 5, "x", "whole", "1, validation_alias=AliasChoices('one', 'two')", "one"
    ),
    "below": Kind(
        *("int", "{deep: 5}", 5, "{deep: x}", "must be a whole number"),
        *("1, validation_alias=AliasPath('far', 'deep')", "far"),
    ),
    "hook": Kind("Callable[[int], str]", "", None, "7", "must be a function", silent=True),
    "context": Kind("ssl.SSLContext", "", None, "7", "must be of the class", silent=True),
    "contexts": Kind("list[ssl.SSLContext]", "[]", [], "[7]", "of the class", silent=True),
    "of_text": Kind("Made", "abc", "(Thing)", "7", "must be text", silent=True),
    "code": Kind("SecretStr", "sesame", _MASKED, "[sesame]", "must be text"),
    "raw": Kind("SecretBytes", "sesame", _MASKED, "[sesame]", "must be text"),
    "any_code": Kind("Secret[str]", "sesame", _MASKED, "[sesame]", "must be text"),
    "pin": Kind("Secret[int]", "123456", _MASKED, "sesame", "must be a whole number"),
    "own": Kind("Own", "sesame", _MASKED, "[sesame]", "must be text"),
    "codes": Kind("list[SecretStr]", "[sesame]", [_MASKED], "[{sesame: 1}]", "must be text"),
    "code_of": Kind(
        "dict[str, Secret[str]]", "{a: sesame}", {"a": _MASKED}, "{a: [sesame]}", "must be text"
    ),
    "maybe": Kind("str | SecretStr | None", "sesame", _MASKED, "[sesame]", "must be text"),
    "weak": Kind("Weak", "sesame-strong", _MASKED, "sesame", "is too weak"),
    "login": Kind(
        "Login",
        "{who: ada, key_of: sesame}",
        {"who": "ada", "key_of": _MASKED},
        "{who: [], key_of: sesame}",
        "must be text",
    ),
    "logins": Kind(
        "dict[str, Login]",
        "{a: {who: b, key_of: sesame}}",
        {"a": {"who": "b", "key_of": _MASKED}},
        "{a: {who: bad-sesame, key_of: sesame}}",
        "nobody is called bad-***",
    ),
    "pins": Kind("Pins", "{a: sesame}", {"a": _MASKED}, "{a: sesame-x}", "no pin: ***"),
    "old": Kind("int", "5", 5, "x", "must be a whole number", "1, deprecated='it is old'"),
    "tree": Kind(
        "Tree",
        "{below: [{below: []}]}",
        {"below": [{"below": []}]},
        "{below: [{below: x}]}",
        "must be a list",
    ),
    "of_any": Kind("Any", "{a: b}", {"a": "b"}, "", "", "Thing()"),
    "revealed": Kind("SecretStr", "sesame", _MASKED, "[sesame]", "must be text"),
    "password": Kind("str", "sesame", _MASKED, "[sesame]", "must be text"),
}

_CLASSES: Final = """
class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"

class Basket(Strict):
    size: int
    lid: Path | None = None

class Wire(Strict):
    by: Literal["wire"]
    metres: int

class Radio(Strict):
    by: Literal["radio"]

@dataclass
class Ring:
    size: int

class Tag(NamedTuple):
    size: int

class Tree(Strict):
    below: "list[Tree]"

def judge_pins(pins):
    for value in pins.values():
        if value.get_secret_value() == "sesame-x":
            raise ValueError("no pin: " + value.get_secret_value())
    return pins

class Pins(RootModel[Annotated[dict[str, SecretStr], AfterValidator(judge_pins)]]):
    pass

class Own(SecretStr):
    pass

class Thing:
    def __repr__(self):
        return "sesame"

def judge(value):
    if value.startswith("bad"):
        raise ValueError("no loft at " + value)
    return value

def judge_secret(value):
    if value.get_secret_value() == "sesame":
        raise ValueError(f"{value.get_secret_value()!r} is too weak")
    return value

def make(value):
    if not isinstance(value, str):
        raise ValueError("must be text")
    return Thing()

Judged = Annotated[str, AfterValidator(judge)]
Weak = Annotated[SecretStr, AfterValidator(judge_secret)]
Made = Annotated[Thing, BeforeValidator(make)]

class Login(Strict):
    who: str
    key_of: SecretStr

    @field_validator("who")
    @classmethod
    def judge(cls, who):
        if who.startswith("bad"):
            raise ValueError("nobody is called " + who)
        return who

class Options(Strict):
    model_config = ConfigDict({config})
{fields}

    @computed_field
    @property
    def revealing(self) -> str:
        return "sesame"

    @field_serializer("revealed")
    def reveal(self, value):
        return "sesame"

class Flies(InProcessTransport):
    def __init__(self, options, context):
        super().__init__(context)
        self.options = options

@dataclass(frozen=True)
class OwnSpec(TransportSpec):
    more: str = "of its own"

@hookimpl
def civitas_transports():
    yield OwnSpec("acme-hawk", "Has options of every kind", Flies, Options)
"""
_IMPORTS: Final = """
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from re import Pattern
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from civitas.plugins import TransportSpec, hookimpl
from civitas.transport import InProcessTransport
from pydantic import *
"""


def source(*, config: str = "", kinds: dict[str, Kind] = KINDS) -> str:
    """Return the source of the plugin `acme-hawk`, with these settings of its options."""
    fields = (
        f"    {name}: {kind.type} = Field({kind.field}, description='One of {name}.')\n"
        for name, kind in kinds.items()
    )
    return _IMPORTS + _CLASSES.replace("{config}", config).replace("{fields}", "".join(fields))


def block(values: str, kinds: dict[str, Kind] = KINDS) -> str:
    """Return a transport block as YAML, each option in a line; `values` is `good` or `bad`."""
    given = ((kind.key or name, getattr(kind, values)) for name, kind in kinds.items())
    lines = "".join(f"  {key}: {value}\n" for key, value in given if value)
    return f"transport:\n  type: acme-hawk\n{lines}"
