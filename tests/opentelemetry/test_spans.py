"""Spans of messages: which there are, whose children they are, and what they say."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from civitas import ErrorAction, Message, trace
from civitas.errors import AgentError
from support.agents import SOON, Scripted, echo, fail, until
from support.instruments import runtime_with

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def pass_on(agent: Scripted, message: Message) -> Message:
    return agent.reply((await agent.ask("bank", {}, timeout=SOON)).payload)


def ids(span: Any) -> tuple[str, str]:
    return format_trace_id(span.context.trace_id), format_span_id(span.context.span_id)


async def test_an_ask_that_causes_another_is_one_tree(record: Any) -> None:
    recorded = record()
    shop, bank = Scripted("shop", pass_on), Scripted("bank", echo)
    async with runtime_with(shop, bank, instruments=[recorded.instrument()]) as r:
        reply = await r.ask("shop", {}, "order", timeout=SOON)
    spans = recorded.spans()
    order = ["send shop", "process shop", "send bank", "process bank"]
    assert set(spans) == set(order)
    assert spans["send shop"].parent is None
    for parent, child in pairwise(order):
        assert spans[child].parent.span_id == spans[parent].context.span_id
    assert len({span.context.trace_id for span in spans.values()}) == 1
    kinds = [spans[name].kind for name in order]
    assert kinds == [SpanKind.PRODUCER, SpanKind.CONSUMER] * 2
    # Logs and messages are of the same trace.
    assert {m.trace_id for m in (*shop.got, *bank.got, reply)} == {ids(spans["send shop"])[0]}
    assert bank.got[0].parent_span_id == ids(spans["send bank"])[1]


async def test_a_span_says_what_the_conventions_have_for_it(record: Any) -> None:
    recorded = record()
    a = Scripted("a", echo)
    async with runtime_with(a, instruments=[recorded.instrument()]) as r:
        await r.ask("a", {}, "greeting", timeout=SOON)
    for operation in ("send", "process"):
        span = recorded.spans()[f"{operation} a"]
        assert dict(span.attributes) == {
            "messaging.system": "civitas",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": "a",
            "messaging.message.id": a.got[0].id,
            "messaging.message.conversation_id": a.got[0].id,
            "messaging.client.id": "supervisor",
            "civitas.message.type": "greeting",
        }
        assert span.status.status_code is StatusCode.UNSET
        assert span.instrumentation_scope.name == "civitas_opentelemetry"


async def test_an_error_is_the_status_of_its_execution_and_a_retry_is_one_of_its_own(
    record: Any,
) -> None:
    recorded = record()

    async def second_time(agent: Scripted, message: Message) -> Message:
        if not message.attempt:
            raise KeyError("first")
        return agent.reply({})

    agent = Scripted("a", second_time, ErrorAction.RETRY)
    async with runtime_with(agent, instruments=[recorded.instrument()]) as r:
        await r.ask("a", {}, timeout=SOON)
    send, first, second = recorded.exporter.get_finished_spans()
    assert (first.attributes["error.type"], first.status.status_code) == (
        "KeyError",
        StatusCode.ERROR,
    )
    assert first.status.description == "KeyError: 'first'"
    assert (second.status.status_code, second.attributes["civitas.message.attempt"]) == (
        StatusCode.UNSET,
        1,
    )
    assert first.parent.span_id == second.parent.span_id == send.context.span_id


async def test_the_class_of_an_error_has_its_module(record: Any) -> None:
    recorded = record()

    async def ask_nobody(agent: Scripted, message: Message) -> None:
        await agent.send("nobody", {})

    agent = Scripted("a", ask_nobody, ErrorAction.SKIP)
    async with runtime_with(agent, instruments=[recorded.instrument()]) as r:
        with pytest.raises(AgentError):
            await r.ask("a", {}, timeout=SOON)
    found = recorded.spans()["process a"].attributes["error.type"]
    assert found == "civitas.errors.MessageRoutingError"


async def test_a_trace_comes_in_by_the_headers_and_goes_on(record: Any) -> None:
    recorded = record(ParentBased(ALWAYS_OFF))
    shop, bank = Scripted("shop", pass_on), Scripted("bank", echo)
    async with runtime_with(shop, bank, instruments=[recorded.instrument()]) as r:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "x=1", "tenant": "t"}
        await r.ask("shop", {}, headers=headers, timeout=SOON)
    spans = recorded.spans()
    assert {ids(span)[0] for span in spans.values()} == {TRACE}
    assert format_span_id(spans["send shop"].parent.span_id) == SPAN
    assert spans["process bank"].context.trace_state.to_header() == "x=1"
    assert shop.got[0].headers["tenant"] == "t"
    assert bank.got[0].headers == {
        "traceparent": f"00-{TRACE}-{ids(spans['send bank'])[1]}-01",
        "tracestate": "x=1",
    }


async def test_what_is_not_sampled_has_no_span_and_says_so(record: Any) -> None:
    recorded = record(ParentBased(ALWAYS_ON))
    found: list[Any] = []

    async def look(agent: Scripted, message: Message) -> Message:
        found.append(api.get_current_span().get_span_context())
        with recorded.tracers.get_tracer("mine").start_as_current_span("mine"):
            await agent.send("bank", {})
        return agent.reply({})

    shop, bank = Scripted("shop", look), Scripted("bank")
    async with runtime_with(shop, bank, instruments=[recorded.instrument()]) as r:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
        await r.ask("shop", {}, headers=headers, timeout=SOON)
        await until(lambda: bool(bank.got))
    assert recorded.spans() == {}
    assert (format_trace_id(found[0].trace_id), found[0].trace_flags.sampled) == (TRACE, False)
    assert bank.got[0].trace_id == TRACE
    assert bank.got[0].headers["traceparent"].endswith("-00")


async def test_the_sampler_is_asked_once_where_the_trace_begins(record: Any) -> None:
    recorded = record(ParentBased(ALWAYS_OFF))
    shop, bank = Scripted("shop", pass_on), Scripted("bank", echo)
    async with runtime_with(shop, bank, instruments=[recorded.instrument()]) as r:
        await r.ask("shop", {}, timeout=SOON)
    assert recorded.spans() == {}
    assert not int(shop.got[0].headers["traceparent"][-2:], 16) & 1
    assert bank.got[0].trace_id == shop.got[0].trace_id


async def test_spans_of_the_handler_stand_between(record: Any) -> None:
    recorded = record()

    async def work(agent: Scripted, message: Message) -> Message:
        with recorded.tracers.get_tracer("mine").start_as_current_span("mine"):
            await asyncio.create_task(agent.send("bank", {}))
        return agent.reply({})

    shop, bank = Scripted("shop", work), Scripted("bank", echo)
    async with runtime_with(shop, bank, instruments=[recorded.instrument()]) as r:
        with recorded.tracers.get_tracer("mine").start_as_current_span("request"):
            await r.ask("shop", {}, timeout=SOON)
        await until(lambda: "process bank" in recorded.spans())
    spans = recorded.spans()
    order = ["request", "send shop", "process shop", "mine", "send bank", "process bank"]
    for parent, child in pairwise(order):
        assert spans[child].parent.span_id == spans[parent].context.span_id


async def test_headers_given_in_a_handler_name_another_trace(record: Any) -> None:
    recorded = record()

    async def elsewhere(agent: Scripted, message: Message) -> Message:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        await agent.ask("bank", {}, headers=headers, timeout=SOON)
        return agent.reply({})

    agents = [Scripted("shop", elsewhere), Scripted("bank", echo)]
    async with runtime_with(*agents, instruments=[recorded.instrument()]) as r:
        await r.ask("shop", {}, timeout=SOON)
    spans = recorded.spans()
    assert format_span_id(spans["send bank"].parent.span_id) == SPAN
    assert ids(spans["process bank"])[0] == TRACE != ids(spans["process shop"])[0]


async def test_with_links_each_execution_begins_a_trace(record: Any) -> None:
    recorded = record()
    agents = [Scripted("shop", pass_on), Scripted("bank", echo)]
    async with runtime_with(*agents, instruments=[recorded.instrument(relation="link")]) as r:
        await r.ask("shop", {}, timeout=SOON)
    spans = recorded.spans()
    for role in ("shop", "bank"):
        process, send = spans[f"process {role}"], spans[f"send {role}"]
        assert process.parent is None
        assert [link.context.span_id for link in process.links] == [send.context.span_id]
        assert process.context.trace_id != send.context.trace_id
    assert spans["send bank"].parent.span_id == spans["process shop"].context.span_id


async def test_members_of_a_role_have_its_name(record: Any) -> None:
    recorded = record()
    instrument = recorded.instrument()
    sent = Message(recipient="worker~3", span_id=SPAN, trace_id=TRACE)
    instrument.sending(sent)
    with instrument.handling("worker", sent):
        pass
    assert set(recorded.spans()) == {"send worker", "process worker"}


async def test_a_message_with_as_many_headers_as_there_may_be_is_sent_without_its_trace(
    record: Any,
) -> None:
    a = Scripted("a", echo)
    async with runtime_with(a, instruments=[record().instrument()]) as r:
        await r.ask("a", {}, headers={"a": "x" * 4095}, timeout=SOON)
        assert r.stats().instruments == {"OpenTelemetry": {}}
    assert a.got[0].headers == {"a": "x" * 4095}


async def test_texts_of_others_can_be_exported(record: Any) -> None:
    recorded = record()
    odd = Message(type="\ud800", id="\x1b", recipient="\udfff", correlation_id="x" * 9_000)
    instrument = recorded.instrument()
    instrument.sending(odd)
    with instrument.handling("\ud800", odd):
        pass
    for span in recorded.exporter.get_finished_spans():
        for value in (span.name, *span.attributes.values()):
            assert len(str(value).encode()) <= 250


async def test_without_an_sdk_a_trace_passes_through() -> None:
    from civitas_opentelemetry.instrument import OpenTelemetry

    shop, bank = Scripted("shop", pass_on), Scripted("bank", echo)
    api_only = api.NoOpTracerProvider()
    async with runtime_with(shop, bank, instruments=[OpenTelemetry(tracer_provider=api_only)]) as r:
        await r.ask("shop", {}, timeout=SOON)
        await r.ask("shop", {}, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}, timeout=SOON)
    assert bank.got[0].headers == {}
    assert bank.got[0].trace_id == shop.got[0].trace_id
    assert bank.got[1].trace_id == TRACE


async def test_current_of_core_and_of_the_api_agree(record: Any) -> None:
    found: list[Any] = []

    async def look(agent: Scripted, message: Message) -> Message:
        found.append((trace.current(), api.get_current_span().get_span_context()))
        return agent.reply({})

    async with runtime_with(Scripted("a", look), instruments=[record().instrument()]) as r:
        await r.ask("a", {}, timeout=SOON)
    ((ours, theirs),) = found
    assert ours.trace_id == format_trace_id(theirs.trace_id)


async def test_nothing_of_a_handler_stays_in_the_context_of_the_agent(record: Any) -> None:
    found: list[Any] = []

    class Looks(Scripted):
        async def on_stop(self) -> None:
            found.append(api.get_current_span().get_span_context().is_valid)

    agent = Looks("a", fail, ErrorAction.SKIP)
    async with runtime_with(agent, instruments=[record().instrument()]) as r:
        with pytest.raises(AgentError):
            await r.ask("a", {}, timeout=SOON)
    assert found == [False]
