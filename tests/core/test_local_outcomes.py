"""LocalDelivery and frames: a message has one outcome, whichever way it goes in the process."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import Message, Runtime, Supervisor
from civitas.errors import CivitasError
from civitas.transport import InProcessTransport
from support.agents import SOON, Scripted, echo
from support.alone import Alone, Framed, FramedAlone


class Lying(dict[str, Any]):
    """Says that it is longer than it is."""

    def __len__(self) -> int:
        return 70_000


class Raising(dict[str, Any]):
    """Raises where it is read."""

    def items(self) -> Any:
        raise SystemExit("no")


class Kind(StrEnum):
    """A type of messages that is no plain text."""

    GREETING = "greeting"


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def numbered(keys: int) -> dict[Any, Any]:
    return dict.fromkeys(range(keys))


text = st.text(max_size=5) | st.sampled_from(["ä", "\ud800", "x" * 2_500, "_agency.error"])
odd: st.SearchStrategy[Any] = st.sampled_from(
    [
        float("nan"), 2**64, -(2**63) - 1, 2**70, True, b"bytes", bytearray(b"b"), {1, 2}, object(),
        Kind.GREETING, OrderedDict(b=1, a=2), Counter("abc"), Lying(a=1), Raising(a=1),
        msgpack.ExtType(1, b""), msgpack.Timestamp(1), (1, (2, [3])), {1: 2, (1, 2): 3, b"k": 4},
        nested(100), nested(508), nested(509), nested(510), nested(511), nested(600),
        numbered(200), numbered(5_000), {"a": numbered(5_000)}, {None: 1}, {1.5: 1, True: 2},
        {"x": "y" * 9_000}, {"many": [[]] * 10_000},
    ]
)  # fmt: skip
scalars = st.none() | st.integers() | st.floats() | st.binary(max_size=3) | text
values = st.recursive(
    scalars | odd,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(text, inner, max_size=3)
    ),
    max_leaves=5,
)
payloads = st.dictionaries(text, values, max_size=3) | odd
types = text | st.sampled_from(["message", Kind.GREETING, 5, None, b"bytes"])


def shown(message: Message) -> dict[str, Any]:
    """Return what is to be equal of a message, by its text: NaN is not equal to itself."""
    here = {field: repr(getattr(message, field)) for field in Message.__slots__}
    for field in ("id", "correlation_id", "timestamp", "trace_id", "span_id", "parent_span_id"):
        value = getattr(message, field)
        here[field] = f"{type(value)} {len(value) if isinstance(value, str) else ''}"
    for field in ("recipient", "reply_to"):
        here[field] = without_addresses(here[field])
    return here


def without_addresses(text: str) -> str:
    """Return a text without what differs in two requests: reply addresses, and their lengths."""
    return re.sub(r"_reply\.[0-9a-f]{16}(\.\d+)?|a frame of \d+ bytes", "_", text)


class Side:
    """A runtime with an agent that answers as it is told, and the account of what happened."""

    def __init__(self, transport: Any) -> None:
        self.changes: dict[str, Any] = {}
        self.answer: Any = {}
        self.agent = Scripted("a", self._answer)
        self.runtime = Runtime(Supervisor("root", [self.agent]), transport=transport)
        self.dead: list[Any] = []
        self.runtime.on_dead_letter(self._note)

    def _note(self, item: Message | bytes, reason: str) -> None:
        self.dead.append((shown(item) if isinstance(item, Message) else len(item) > 100, reason))

    async def _answer(self, agent: Scripted, message: Message) -> Message | None:
        if message.reply_to is None:
            return None
        reply = agent.reply({})
        reply.payload = self.answer
        for field, value in self.changes.items():
            setattr(reply, field, value)
        return reply

    async def told(self, talking: Any) -> Any:
        """Return what came of a send or an ask."""
        try:
            reply = await talking()
        except CivitasError as error:
            return type(error), without_addresses(str(error)), getattr(error, "path", None)
        return reply if reply is None else shown(reply)

    async def happened(self, payload: Any, kind: Any) -> Any:
        """Send and ask, and return all that there is to see of it."""
        said = [
            await self.told(lambda: self.runtime.send("a", payload, kind)),
            await self.told(lambda: self.runtime.ask("a", payload, kind, timeout=SOON)),
            await self.told(lambda: self.runtime.ask("a", {}, timeout=SOON)),
        ]
        got = [shown(message) for message in self.agent.got]
        self.agent.got.clear()
        stats = self.runtime.stats()
        agents = [(each.name, each.handled, each.errors) for each in stats.agents]
        return said, got, self.dead, stats.sent, stats.delivered, stats.dropped, agents


class Pair:
    """Two runtimes that differ in nothing but whether what they carry is a frame."""

    def __init__(self, runner: asyncio.Runner, *transports: Any) -> None:
        self.runner = runner
        self.sides = [Side(each) for each in transports]

    def happened(
        self, payload: Any, kind: Any = "message", answer: Any = None, **changes: Any
    ) -> list[Any]:
        """Return what happened to a message on each side."""
        outcomes = []
        for side in self.sides:
            side.answer, side.changes = {} if answer is None else answer, changes
            side.dead.clear()
            outcomes.append(self.runner.run(side.happened(payload, kind)))
        return outcomes


def paired(*transports: Any) -> Iterator[Pair]:
    with asyncio.Runner() as runner:
        pair = Pair(runner, *transports)
        for side in pair.sides:
            runner.run(side.runtime.start())
        yield pair
        for side in pair.sides:
            runner.run(side.runtime.stop())


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from paired(InProcessTransport(), Framed())


@pytest.fixture(scope="module")
def narrow() -> Iterator[Pair]:
    yield from paired(Alone(10_000), FramedAlone(10_000))


@given(payload=payloads, kind=types)
def test_a_message_has_the_outcome_that_a_frame_has(pair: Pair, payload: Any, kind: Any) -> None:
    here, framed = pair.happened(payload, kind)
    assert here == framed


@given(answer=payloads)
def test_so_has_an_answer(pair: Pair, answer: Any) -> None:
    here, framed = pair.happened({}, answer=answer)
    assert here == framed


FIELDS = sorted({*Message.__slots__} - {"payload"})
ALTERED: list[Any] = [
    None, "", "ä", "\ud800", "x" * 3_000, 5, 0, -1, True, 1.5, 2**63, 2**64, float("nan"), b"b",
    [], {}, {1}, object(), Kind.GREETING, "_agency.error", "a", "_reply.0123456789abcdef.7",
    {"a": "b"}, {"a": 1}, {1: "a"}, {"ä": "x" * 4_094}, {"ä": "x" * 4_095}, {"a": "\ud800"},
    {Kind.GREETING: "a"},
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_so_has_an_answer_of_which_the_handler_has_made_anything(pair: Pair, field: str) -> None:
    for value in ALTERED:
        here, framed = pair.happened({}, **{field: value})
        assert here == framed


@pytest.mark.parametrize("length", [7, 1_990, 2_010, 6_000])
@pytest.mark.parametrize("size", [3_000, 4_500, 5_890, 5_910, 7_200, 8_300, 9_400, 10_200])
def test_so_has_what_is_near_the_largest_frame(narrow: Pair, size: int, length: int) -> None:
    here, framed = narrow.happened({"x": b"." * size}, "t" * length, {"x": b"." * size})
    assert here == framed


@pytest.mark.parametrize("value", ALTERED, ids=[type(each).__name__ for each in ALTERED])
@pytest.mark.parametrize("field", ["trace_id", "span_id"])
def test_so_has_what_is_sent_in_a_trace_of_which_a_handler_has_made_anything(
    field: str, value: Any
) -> None:
    async def outcome(transport: Any) -> Any:
        said: list[Any] = []

        async def send_on(agent: Scripted, message: Message) -> Message:
            kept = getattr(message, field)
            setattr(message, field, value)
            for verb in (agent.send, agent.ask):
                try:
                    said.append(await verb("b", {}) is None)
                except CivitasError as error:
                    said.append((type(error), str(error)))
            setattr(message, field, kept)
            return agent.reply({})

        agents = [Scripted("a", send_on), Scripted("b", echo)]
        async with Runtime(Supervisor("root", agents), transport=transport) as runtime:
            await runtime.ask("a", {}, timeout=SOON)
            heard = [(type(m.trace_id), type(m.parent_span_id)) for m in agents[1].got]
            return said, heard, runtime.stats().dropped

    assert asyncio.run(outcome(InProcessTransport())) == asyncio.run(outcome(Framed()))
