"""Properties: what is sent is what is handled, and no payload does any harm."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal, NotRequired, Optional, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import AgentProcess, Message, on
from civitas._typed.converting import converter_of
from civitas._typed.refusals import ValueRefusedError
from civitas._typed.sending import as_message
from civitas.errors import MessageValidationError
from civitas.serializer import JsonSerializer, MsgpackSerializer
from support.agents import SOON, runtime


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True)
class Leaf:
    kind: Literal["oak", "elm", 7]
    at: datetime | None = None


@dataclass
class Tree:
    number: int
    share: float
    name: str = ""
    size: Size = Size.SMALL
    leaves: tuple[Leaf, ...] = ()
    tags: frozenset[str] = frozenset()
    by_name: dict[str, list[int | str | None]] = field(default_factory=dict)
    pair: tuple[bool, date] | None = None
    id: UUID | None = None
    inner: Tree | None = None


class InDict(TypedDict):
    number: int
    trees: NotRequired[list[Tree]]


class InPydantic(pydantic.BaseModel):
    number: int
    at: datetime | None = None
    names: list[str] = []


class InMsgspec(msgspec.Struct):
    number: int
    names: list[str] = []


MODELS = (Tree, Leaf, InDict, InPydantic, InMsgspec)

# --- round trips ----------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
numbers = st.integers(-(2**63), 2**63 - 1)
leaves = st.builds(Leaf, st.sampled_from(["oak", "elm", 7]), st.none() | st.datetimes())
trees = st.recursive(
    st.none(),
    lambda inner: st.builds(
        Tree,
        numbers,
        st.floats(allow_nan=False),
        text,
        st.sampled_from(Size),
        st.lists(leaves, max_size=3).map(tuple),
        st.frozensets(text, max_size=3),
        st.dictionaries(text, st.lists(numbers | text | st.none(), max_size=3), max_size=3),
        st.none() | st.tuples(st.booleans(), st.dates()),
        st.none() | st.uuids(),
        inner,
    ),
    max_leaves=4,
).filter(bool)
objects = (
    trees
    | st.builds(InPydantic, number=numbers, at=st.none() | st.datetimes(), names=st.lists(text))
    | st.builds(InMsgspec, number=numbers, names=st.lists(text))
)


@pytest.mark.parametrize("serializer", [MsgpackSerializer(), JsonSerializer()])
@given(sent=objects)
def test_an_object_arrives_as_it_was(serializer: Any, sent: Any) -> None:
    tag, payload = as_message(sent)
    came = serializer.deserialize(serializer.serialize(Message(type=tag, payload=payload)))
    assert came.type == type(sent).__name__
    assert converter_of(type(sent), "it")(came.payload) == sent


SCALARS: list[tuple[Any, Any]] = [
    (int, numbers),
    (str, text),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False)),
    (bytes, st.binary(max_size=3)),
    (None, st.none()),
    (Size, st.sampled_from(Size)),
    (date, st.dates()),
    (datetime, st.datetimes()),
    (UUID, st.uuids()),
    (Leaf, leaves),
]


def wider(inner: Any) -> Any:
    """Return types made of another one, each with its values."""
    return st.one_of(
        inner.map(lambda each: (list[each[0]], st.lists(each[1], max_size=3))),
        inner.map(lambda each: (dict[str, each[0]], st.dictionaries(text, each[1], max_size=3))),
        inner.map(lambda each: (tuple[each[0], ...], st.lists(each[1], max_size=3).map(tuple))),
        st.tuples(inner, inner).map(
            lambda both: (tuple[both[0][0], both[1][0]], st.tuples(both[0][1], both[1][1]))
        ),
        inner.map(lambda each: (Optional[each[0]], each[1] | st.none())),  # noqa: UP045 - `|` takes no two Nones
    )


annotated = st.recursive(st.sampled_from(SCALARS), wider, max_leaves=4)


@given(st.data())
def test_a_field_of_any_type_arrives_as_it_was(data: Any) -> None:
    annotation, values = data.draw(annotated)
    model = make_dataclass("M", [("x", annotation)])
    sent = model(data.draw(values))
    serializer = MsgpackSerializer()
    payload = as_message(sent)[1]
    came = serializer.deserialize(serializer.serialize(Message(payload=payload))).payload
    assert converter_of(model, "it")(came) == sent


# --- anything at all ------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
names = st.sampled_from(["number", "share", "name", "size", "leaves", "kind", "at", "inner", "x"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(), inner),
    max_leaves=8,
)
payloads = st.dictionaries(names | st.text(), values)


@given(payloads)
def test_any_payload_becomes_an_object_or_is_refused_in_a_few_printable_words(
    payload: dict[str, Any],
) -> None:
    for model in MODELS:
        refused = refusal(model, payload)
        if refused is not None:
            assert refused.path.startswith("payload")
            assert len(str(refused)) < 5_000
            assert str(refused).isprintable()


def refusal(model: Any, payload: dict[str, Any]) -> ValueRefusedError | None:
    try:
        converter_of(model, "it")(payload)
    except ValueRefusedError as refused:
        return refused
    return None


class Careful(AgentProcess):
    @on(Tree)
    async def tree(self, tree: Tree, message: Message) -> Tree:
        return tree

    @on(Leaf)
    async def leaf(self, leaf: Leaf, message: Message) -> Leaf:
        return leaf

    @on(InDict)
    async def in_dict(self, given: InDict, message: Message) -> InDict:
        return given

    @on(InPydantic)
    async def in_pydantic(self, given: InPydantic, message: Message) -> InPydantic:
        return given

    @on(InMsgspec)
    async def in_msgspec(self, given: InMsgspec, message: Message) -> InMsgspec:
        return given


kinds = st.sampled_from([model.__name__ for model in MODELS]) | st.text(max_size=5)


@given(st.lists(st.tuples(kinds, st.dictionaries(names, values, max_size=4)), max_size=10))
def test_no_payload_and_no_type_crashes_an_agent(messages: Any) -> None:
    async def ask_all() -> None:
        async with runtime(Careful("careful"), max_restarts=0) as system:
            for kind, payload in messages:
                if "_agency" in kind or not _can_be_sent(payload):
                    continue
                try:
                    await system.ask("careful", payload, kind, timeout=SOON)
                except MessageValidationError:
                    refused[0] += 1
            assert system.stats().restarts == 0
            assert sum(system.stats().dropped.values()) == refused[0]

    refused = [0]
    asyncio.run(ask_all())


def _can_be_sent(payload: Any) -> bool:
    try:
        MsgpackSerializer().serialize(Message(payload=payload))
    except Exception:  # noqa: BLE001 - such as a number of too many digits
        return False
    return True
