"""Headers, and how a trace comes from other systems and goes on in them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import Message, trace
from civitas.errors import MessageValidationError
from civitas.messages import NO_HEADERS, compose, headers_problem
from civitas.trace import Traceparent, give_headers
from support.agents import SOON, Scripted, echo, runtime, until
from support.instruments import runtime_with

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


async def test_a_traceparent_sets_the_trace_and_goes_on_with_what_it_causes() -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message:
        await agent.ask("b", {}, timeout=SOON)
        await agent.send("b", {})
        return agent.reply({})

    a, b = Scripted("a", pass_on), Scripted("b", echo)
    async with runtime(a, b) as r:
        headers = {"traceparent": PARENT, "tracestate": "x=1", "tenant": "t"}
        reply = await r.ask("a", {}, headers=headers, timeout=SOON)
        await until(lambda: len(b.got) == 2)
    (first,) = a.got
    assert (first.trace_id, first.parent_span_id) == (TRACE, SPAN)
    assert first.headers == headers
    for caused in b.got:
        assert (caused.trace_id, caused.parent_span_id) == (TRACE, first.span_id)
        assert caused.headers == {
            "traceparent": f"00-{TRACE}-{first.span_id}-01",
            "tracestate": "x=1",
        }
    assert (reply.trace_id, reply.headers) == (TRACE, {})


async def test_current_tells_the_place_in_the_trace() -> None:
    found: list[Any] = []

    async def look(agent: Scripted, message: Message) -> Message:
        found.append(trace.current())
        return agent.reply({})

    a = Scripted("a", look)
    async with runtime(a) as r:
        await r.ask("a", {}, headers={"traceparent": PARENT, "tenant": "t"}, timeout=SOON)
        await r.ask("a", {}, timeout=SOON)
    (came, begun), (first, second) = found, a.got
    assert (came.trace_id, came.span_id, came.parent_span_id) == (TRACE, first.span_id, SPAN)
    assert came.traceparent() == f"00-{TRACE}-{first.span_id}-01"
    assert came.headers == {"traceparent": PARENT, "tenant": "t"}
    assert begun.traceparent() == f"00-{second.trace_id}-{second.span_id}-00"
    assert begun.headers == {}
    assert trace.current() is None


async def test_headers_given_in_a_handler_come_before_those_of_its_message() -> None:
    other = f"00-{'1' * 32}-{'2' * 16}-00"

    async def send(agent: Scripted, message: Message) -> Message:
        await agent.send("b", {}, headers={"traceparent": other})
        await agent.send("b", {}, headers={"traceparent": "nonsense", "tracestate": "y=2"})
        await agent.send("b", {}, headers={"tracestate": "y=2"})
        await agent.broadcast("b*", {}, headers={"tenant": "t"})
        return agent.reply({})

    a, b = Scripted("a", send), Scripted("b", echo)
    async with runtime(a, b) as r:
        await r.ask("a", {}, headers={"traceparent": PARENT, "tracestate": "x=1"}, timeout=SOON)
        await until(lambda: len(b.got) == 4)
    own = {"traceparent": f"00-{TRACE}-{a.got[0].span_id}-01", "tracestate": "x=1"}
    assert [m.headers for m in b.got] == [{"traceparent": other}, own, own, {"tenant": "t"} | own]
    assert b.got[0].trace_id == "1" * 32
    assert {m.trace_id for m in b.got[1:]} == {TRACE}


async def test_the_headers_of_a_receiver_are_its_own() -> None:
    sent = {"a": "1"}
    b, c = Scripted("b", echo), Scripted("c", echo)
    async with runtime(b, c) as r:
        await r.broadcast("*", {}, headers=sent)
        await until(lambda: bool(b.got) and bool(c.got))
        b.got[0].headers["a"] = "2"
        answer = c.reply
    assert (sent, c.got[0].headers) == ({"a": "1"}, {"a": "1"})
    assert answer is not None


async def test_so_are_those_of_who_asked() -> None:
    kept = {"a": "1"}

    async def reply(agent: Scripted, message: Message) -> Message:
        answer = agent.reply({})
        answer.headers = kept
        return answer

    async with runtime(Scripted("a", reply)) as r:
        answer = await r.ask("a", {}, timeout=SOON)
        answer.headers["a"] = "2"
    assert kept == {"a": "1"}


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"a": "x" * 4096}, "4097 bytes of names and values, and 4096 at most"),
        ({"a": 1}, "text, not int"),
        ({1: "a"}, "text, not int"),
        ({"a": "\ud800"}, "not valid Unicode"),
        ("a=b", "not a str"),
        ([("a", "b")], "not a list"),
        ({"traceparent": b"x"}, "text, not bytes"),
    ],
)
async def test_headers_that_can_not_be_sent_are_the_senders_error(
    headers: Any, problem: str
) -> None:
    async with runtime(Scripted("a", echo)) as r:
        for talking in (r.send, r.ask, r.broadcast):
            with pytest.raises(MessageValidationError, match=problem):
                await talking("a", {}, headers=headers)


async def test_names_of_http_are_known_in_any_case() -> None:
    a = Scripted("a", echo)
    async with runtime(a) as r:
        headers = {"Traceparent": PARENT, "TraceState": "x=1", "Tenant": "t"}
        await r.ask("a", {}, headers=headers, timeout=SOON)
    assert a.got[0].headers == {"traceparent": PARENT, "tracestate": "x=1", "Tenant": "t"}


def test_a_message_without_headers_makes_no_dict_for_them() -> None:
    one, other = Message(), compose("a", "b", {}, "message")
    assert one.headers is other.headers is NO_HEADERS == {}
    for change in ("__setitem__", "setdefault"):
        with pytest.raises(TypeError, match="assign new ones"):
            getattr(one.headers, change)("a", "b")
    with pytest.raises(TypeError, match="assign new ones"):
        one.headers |= {"a": "b"}
    assert type(copy.deepcopy(one).headers) is dict
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", PARENT[:-1], PARENT + "0", PARENT + "-00", PARENT.upper(), f" {PARENT}",
        f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0g", f"0-{TRACE}-{SPAN}-01", f"00-{TRACE[:-1]}-{SPAN}-01",
        PARENT + "\n", f"00_{TRACE}_{SPAN}_01", f"01-{TRACE}-{SPAN}-01.more",
    ],
)  # fmt: skip
def test_a_malformed_traceparent_is_none(text: str) -> None:
    assert Traceparent.parse(text) is None
    message = compose("a", "b", {}, "message")
    trace_id = message.trace_id
    give_headers(message, None, {"traceparent": text, "tracestate": "x=1"})
    assert (message.trace_id, message.headers) == (trace_id, {})


@pytest.mark.parametrize(
    ("text", "passed_on"),
    [
        (PARENT, PARENT),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", PARENT),  # the level that we know
        (f"01-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-03", f"00-{TRACE}-{SPAN}-03"),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-03"),
    ],
)
def test_a_traceparent_of_a_later_version_is_passed_on_as_one_of_ours(
    text: str, passed_on: str
) -> None:
    assert str(Traceparent.parse(text)) == passed_on


@given(st.text(max_size=70))
def test_no_text_fails_to_be_parsed(text: str) -> None:
    found = Traceparent.parse(text)
    assert found is None or Traceparent.parse(str(found)) == found


def test_a_trace_that_a_handler_has_spoiled_makes_no_header() -> None:
    cause = compose("a", "b", {}, "message")
    cause.headers = {"traceparent": PARENT}
    for trace_id, span_id in (("", "x"), ("no trace", ""), ("x", None)):
        cause.trace_id, cause.span_id = trace_id, span_id  # type: ignore[assignment]
        message = compose("b", "c", {}, "message", cause)
        give_headers(message, cause, None)
        assert headers_problem(message.headers) is None
        assert Traceparent.parse(message.headers.get("traceparent", "")) is None


class Gives:
    """An instrument that gives each message headers."""

    def __init__(self, headers: Any) -> None:
        self.headers = headers

    def sending(self, message: Message) -> None:
        message.headers = self.headers


async def test_headers_that_an_instrument_gives_make_a_message_part_of_their_trace() -> None:
    a = Scripted("a", echo)
    async with runtime_with(a, instruments=[Gives({"traceparent": PARENT})]) as r:
        await r.ask("a", {}, timeout=SOON)
    assert (a.got[0].trace_id, a.got[0].parent_span_id) == (TRACE, SPAN)


@pytest.mark.parametrize("headers", [None, {"a": 1}, {"a": "x" * 4096}, "text"])
async def test_what_an_instrument_gives_that_are_no_headers_is_its_own_error(headers: Any) -> None:
    a = Scripted("a", echo)
    async with runtime_with(a, instruments=[Gives(headers)]) as r:
        await r.ask("a", {}, headers={"tenant": "t"}, timeout=SOON)
        assert r.stats().instruments == {"Gives": {"sending": 1}}
    assert a.got[0].headers == {"tenant": "t"}


class WritesInPlace:
    """An instrument that writes into the headers that are there."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def sending(self, message: Message) -> None:
        message.headers["more"] = self.value


@pytest.mark.parametrize("given", [None, {"tenant": "a"}], ids=["no headers", "headers"])
async def test_an_instrument_may_write_into_the_headers_that_are_there(given: Any) -> None:
    a = Scripted("a", echo)
    async with runtime_with(a, instruments=[WritesInPlace("x")]) as r:
        await r.ask("a", {}, headers=given)
        assert r.stats().instruments == {"WritesInPlace": {}}
    assert a.got[0].headers == {**(given or {}), "more": "x"}


@pytest.mark.parametrize("value", [7, "x" * 5000], ids=["a number", "too long"])
async def test_what_is_written_into_headers_in_vain_touches_no_message(value: Any) -> None:
    a = Scripted("a", echo)
    async with runtime_with(a, instruments=[WritesInPlace(value)]) as r:
        await r.ask("a", {}, headers={"tenant": "a"})
        assert r.stats().instruments == {"WritesInPlace": {"sending": 1}}
    assert a.got[0].headers == {"tenant": "a"}
