"""Arguments of the verbs: what is sent as it was meant, and what is refused at the call."""

from __future__ import annotations

import asyncio
from collections import ChainMap, OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio

from civitas import Message, Runtime, Supervisor, Worker
from civitas.client import Client
from civitas.errors import MessageValidationError
from support.agents import SOON, Scripted, echo, runtime
from support.local_bus.broker import Broker
from support.local_bus.testbed import LocalBus


class Kind(str, Enum):  # noqa: UP042 - its hash and its text are not those of the value
    GREET = "greet"
    ECHO = "echoing"


class Plain(Enum):
    GREET = "greet"


@dataclass
class Question:
    text: str


WRONG: list[tuple[tuple[Any, ...], str]] = [
    (("a", {}, b"greet"), r"a message_type is text, not b'greet' \(bytes\); did you mean 'greet'"),
    (("a", {}, Plain.GREET), "not an object of type Plain; did you mean 'greet'"),
    (("a", {}, None), "not None; leave it out for 'message'"),
    (("a", {}, ["greet"]), "a message_type is text, not an object of type list"),
    (("a", "greet", {}), r"did you mean \('a', payload, 'greet'\)\?"),
    ((None, {}), "a recipient is an agent's name, a text, not None"),
    ((b"a", {}), r"not b'a' \(bytes\); did you mean 'a'"),
    ((5, {}), r"not 5 \(int\)$"),
    ((["a"], {}), "not an object of type list"),
    ((Scripted("bob"), {}), "not an object of type Scripted; did you mean its name, 'bob'"),
    ((Scripted, {}), "not the class Scripted"),
    (("a", [1]), r'payload .* is a dict .*not an object of type list; put the value under a key'),
    (("a", "text"), r"payload .*not 'text' \(str\); put the value under a key"),
    (("a", None), "payload .*not None"),
    (("a", Question), r"not the class Question; did you mean an object of it, Question\(\.\.\.\)"),
    (("a", Message()), "type Message; did you mean its payload"),
    (("a", {1, 2}), "type set; put the value under a key"),
]  # fmt: skip

WRONG_TIMEOUTS: list[tuple[Any, str]] = [
    ("5", r"a timeout is a number of seconds, or None .*not '5' \(str\); did you mean timeout=5\?"),
    (True, r"not True \(bool\)"),
    (float("nan"), r"not nan \(float\)"),
    (timedelta(seconds=5), r"timedelta; did you mean its total_seconds\(\)"),
    (Decimal(5), "an object of type Decimal"),
    ([5], "an object of type list"),
]


@pytest_asyncio.fixture(params=["runtime", "worker", "client", "agent"])
async def speaker(request: pytest.FixtureRequest, local_bus: LocalBus) -> AsyncIterator[Any]:
    """Who has the verbs, with an agent `a` that counts what it gets."""
    agent, asking = Scripted("a", echo), Scripted("asking")
    with Broker(local_bus.path):
        root = Supervisor("root", [agent, asking])
        async with Runtime(root, **local_bus.options()) as primary:
            other = None
            if request.param in {"worker", "client"}:
                kind: Any = {"worker": Worker, "client": Client}[request.param]
                arguments = ([Scripted("w")],) if kind is Worker else ()
                other = kind(*arguments, **local_bus.options())
                await other.start()
            who = {"agent": asking, "runtime": primary}.get(request.param, other)
            try:
                yield who
                answer = await primary.ask("a", {}, "last", timeout=SOON)
                assert answer.payload["from"] == "a"
                assert [message.type for message in agent.got] == ["last"]
            finally:
                if other is not None:
                    await other.stop()


async def test_wrong_types_are_refused_at_the_call_and_nothing_is_sent(speaker: Any) -> None:
    for arguments, text in WRONG:
        for verb in (speaker.send, speaker.ask, speaker.broadcast):
            with pytest.raises(MessageValidationError, match=text):
                await verb(*arguments)
    for verb in (speaker.send, speaker.ask):
        with pytest.raises(MessageValidationError):
            verb("a", None)  # not even awaited


async def test_a_number_as_the_message_type_of_an_ask_was_meant_as_its_timeout(
    speaker: Any,
) -> None:
    for number in (5.0, 5):
        text = rf"a message_type is text, not {number} .*did you mean timeout={number}\?"
        with pytest.raises(MessageValidationError, match=text):
            await speaker.ask("a", {}, number)
        with pytest.raises(MessageValidationError, match=rf"not {number} \(\w+\)$"):
            await speaker.send("a", {}, number)


async def test_a_timeout_that_is_no_number_is_refused(speaker: Any) -> None:
    for timeout, text in WRONG_TIMEOUTS:
        with pytest.raises(MessageValidationError, match=text):
            await speaker.ask("a", {}, timeout=timeout)


async def test_no_time_is_a_timeout_at_once_and_nothing_is_sent(speaker: Any) -> None:
    for timeout in (0, 0.0, -1, -0.5, float("-inf"), Fraction(0)):
        for name in ("a", "nobody"):
            asking = speaker.ask(name, {}, timeout=timeout)  # raises where it is awaited
            with pytest.raises(TimeoutError, match=rf"ask '{name}': not sent.*None is no limit"):
                await asking


@pytest.mark.parametrize(
    ("timeout", "ttl"),
    [(None, None), (float("inf"), None), (SOON, SOON), (10, 10.0), (Fraction(21, 2), 10.5)],
)
async def test_a_timeout_may_be_any_real_number_or_none(timeout: Any, ttl: float | None) -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as system:
        await asyncio.wait_for(system.ask("a", {}, timeout=timeout), SOON)
        [message] = agent.got
        assert (message.ttl, type(message.ttl)) == (ttl, type(ttl))


@pytest.mark.parametrize(
    "payload",
    [
        MappingProxyType({"n": 1}),
        ChainMap({"n": 1}, {"n": 2}),
        OrderedDict(n=1),
        type("Own", (dict,), {})(n=1),
    ],
)
async def test_a_payload_may_be_any_mapping_and_arrives_as_a_dict(payload: Any) -> None:
    async def answer(agent: Scripted, message: Message) -> Message:
        return agent.reply(payload)

    agent = Scripted("a", answer)
    async with runtime(agent) as system:
        await system.send("a", payload)
        await system.broadcast("a", payload)
        assert (await system.ask("a", payload)).payload == {"n": 1}
        assert [message.payload for message in agent.got] == [{"n": 1}] * 3


async def test_names_and_types_may_be_members_of_an_enum_of_texts() -> None:
    agent = Scripted("greet", echo)
    async with runtime(agent) as system:
        await system.send(Kind.GREET, {}, Kind.ECHO)
        await system.broadcast(Kind.GREET, {}, Kind.ECHO)
        await system.ask(Kind.GREET, {}, Kind.ECHO)
        assert [message.type for message in agent.got] == ["echoing"] * 3


@pytest.mark.parametrize("payload", [[1], "text", None, 7, Question])
async def test_a_reply_that_is_no_mapping_is_refused_where_it_is_made(payload: Any) -> None:
    caught: list[str] = []

    async def answer(agent: Scripted, message: Message) -> Message:
        try:
            return agent.reply(payload)
        except MessageValidationError as error:
            caught.append(str(error))
        return agent.reply({})

    async with runtime(Scripted("a", answer)) as system:
        assert (await system.ask("a", {}, timeout=SOON)).payload == {}
    assert (
        "the payload of a reply is a dict or another mapping, or an object of a model, not "
        in caught[0]
    )
