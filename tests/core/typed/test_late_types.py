"""Types that are defined after the class that uses them, and models of each shape with tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic

from civitas import AgentProcess, Message, message, on
from civitas.errors import ConfigurationError
from support.agents import SOON, runtime


async def asked(agent: AgentProcess, payload: Any, kind: str = "message") -> Any:
    async with runtime(agent) as system:
        return (await system.ask(agent.name, payload, kind, timeout=SOON)).payload


# --- types that are defined later -----------------------------------------------------------------


@dataclass
class Early:
    item: Late


class Shop(AgentProcess):
    """Is made while a type within its model is not there."""

    @on(Early)
    async def early(self, early: Early, message: Message) -> Late:
        return early.item


MADE_TOO_EARLY: list[str] = []
try:
    Shop("too early")
except ConfigurationError as error:
    MADE_TOO_EARLY.append(str(error))


@dataclass
class Late:
    number: int


async def test_a_class_may_be_made_before_the_types_within_its_models() -> None:
    assert await asked(Shop("a"), Early(Late(1))) == {"number": 1}


def test_an_object_of_it_can_t_be_made_before_and_it_is_said_which_name_is_missing() -> None:
    assert "an annotation of Early" in MADE_TOO_EARLY[0]
    assert "name 'Late' is not defined" in MADE_TOO_EARLY[0]
    assert "at the top level of the module" in MADE_TOO_EARLY[0]


# --- names and shapes -----------------------------------------------------------------------------


class InPydantic(pydantic.BaseModel):
    number: int


class InMsgspec(msgspec.Struct, tag=True):
    number: int


class InDict(TypedDict):
    number: int


for each in (InPydantic, InMsgspec, InDict):
    message(f"{each.__name__}.v2")(each)


class OfEachShape(AgentProcess):
    @on(InPydantic)
    async def one(self, given: InPydantic, message: Message) -> InPydantic:
        return InPydantic(number=given.number + 1)

    @on(InMsgspec)
    async def two(self, given: InMsgspec, message: Message) -> InMsgspec:
        return InMsgspec(number=given.number + 1)

    @on(InDict)
    async def three(self, given: InDict, message: Message) -> InDict:
        return InDict(number=given["number"] + 1)


async def test_each_shape_may_have_a_tag_of_its_own_and_is_asked_with_a_dict_too() -> None:
    async with runtime(OfEachShape("a")) as system:
        for model in (InPydantic(number=1), InMsgspec(number=1)):
            answer = await system.ask("a", model, timeout=SOON)
            kind = type(model)
            assert answer.type == f"{kind.__name__}.v2"
            assert await system.ask("a", model, reply=kind) == kind(number=2)
        for kind in ("InPydantic.v2", "InMsgspec.v2", "InDict.v2"):
            payload = {"number": 1} | ({"type": "InMsgspec"} if kind == "InMsgspec.v2" else {})
            answer = await system.ask("a", payload, kind)
            assert answer.payload["number"] == 2
