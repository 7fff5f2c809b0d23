"""Sending objects: what they are on the wire, and that only models are taken for models."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest

from civitas import Message, message
from civitas._typed.sending import as_message
from civitas.errors import MessageValidationError, SerializationError
from support.agents import SOON, Scripted, echo, runtime


class Size(Enum):
    SMALL = "s"


class Grade(IntEnum):
    GOOD = 1


class Inner(pydantic.BaseModel):
    at: date


class Struct(msgspec.Struct):
    at: date


@dataclass(slots=True, frozen=True)
class Item:
    name: str
    note: str = field(default="", init=False)


@message("all.v1")
@dataclass
class All:
    size: Size
    grades: tuple[Grade, ...]
    tags: set[str]
    by_size: dict[Size, Item]
    inner: Inner
    struct: Struct
    at: datetime
    id: UUID
    ordered: Any
    raw: bytes = b"\0"
    many: list[Any] = field(default_factory=list)


ALL = All(
    Size.SMALL,
    (Grade.GOOD,),
    {"a"},
    {Size.SMALL: Item("a")},
    Inner(at=date(2026, 1, 2)),
    Struct(date(2026, 1, 2)),
    datetime(2026, 1, 2, 3),
    UUID(int=5),
    OrderedDict(a=Item("b")),
    many=[Item("c"), [Size.SMALL], {"d": (1, None)}],
)


def test_on_the_wire_an_object_is_a_type_and_a_dict_of_plain_values() -> None:
    assert as_message(ALL) == (
        "all.v1",
        {
            "size": "s",
            "grades": [1],
            "tags": ["a"],
            "by_size": {"s": {"name": "a"}},
            "inner": {"at": "2026-01-02"},
            "struct": {"at": "2026-01-02"},
            "at": "2026-01-02T03:00:00",
            "id": "00000000-0000-0000-0000-000000000005",
            "ordered": {"a": {"name": "b"}},
            "raw": b"\0",
            "many": [{"name": "c"}, ["s"], {"d": [1, None]}],
        },
    )
    assert type(as_message(ALL)[1]["grades"][0]) is int


class Listed(msgspec.Struct, array_like=True):
    number: int


class Root(pydantic.RootModel[list[int]]):
    pass


class Broken(pydantic.BaseModel):
    number: int

    @pydantic.field_serializer("number")
    def fail(self, value: int) -> int:
        raise ValueError("no number")


class Unknown(msgspec.Struct):
    value: Any


async def test_what_its_library_does_not_turn_into_a_dict_is_an_error_at_the_call() -> None:
    async with runtime(Scripted("a", echo)) as system:
        for model, text in [
            (Listed(1), "a Listed is sent as a list, and a payload is a dict"),
            (Root([1]), "a Root is sent as a list"),
        ]:
            with pytest.raises(MessageValidationError, match=text):
                await system.send("a", model)
        for model, text in [
            (Broken(number=1), "Broken does not become a dict: .*no number"),
            (Unknown(object()), "Unknown does not become a dict: TypeError"),
        ]:
            with pytest.raises(SerializationError, match=text) as caught:
                await system.send("a", model)
            assert caught.value.path == "payload"
        assert system.stats().sent == 0


async def test_an_object_may_be_sent_by_another_type_and_by_every_verb() -> None:
    got: list[tuple[str, Any]] = []

    async def answer(agent: Scripted, message: Message) -> Message | None:
        got.append((message.type, message.payload))
        return agent.reply(Item("answer")) if message.reply_to else None

    async with runtime(Scripted("a", answer)) as system:
        await system.send("a", Item("x"))
        await system.send("a", Item("x"), "other")
        await system.broadcast("*", Item("x"))
        reply = await system.ask("a", Item("x"), timeout=SOON)
    assert (reply.type, reply.payload) == ("Item", {"name": "answer"})
    assert got == [(kind, {"name": "x"}) for kind in ("Item", "other", "Item", "Item")]


async def test_the_payload_that_arrives_is_not_the_object_of_the_sender() -> None:
    many = ["a"]
    agent = Scripted("a")
    async with runtime(agent) as system:
        await system.send("a", Listing(many))
        many.append("b")
        await system.stop()
    assert agent.got[0].payload == {"names": ["a"]}


@dataclass
class Listing:
    names: list[str]
