"""The instrument `log`: a line for each message, and nothing without it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from civitas import ErrorAction, Message, Runtime, Supervisor
from civitas.errors import AgentError
from civitas.plugins.message_log import MessageLog
from support.agents import Scripted, echo, fail, until

LOGGER = "civitas.message_log"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LOGGER)
    return caplog


def events(logged: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    found = [each for each in logged.records if each.name == LOGGER]
    return [each.message_log for each in found]  # type: ignore[attr-defined]


def system(*agents: Scripted, instruments: Any = ("log",)) -> Runtime:
    return Runtime(Supervisor("root", agents, backoff_base=0.0), instruments=list(instruments))


async def test_each_message_is_logged_when_it_is_sent_and_when_it_is_handled(logged) -> None:
    async def passes_on(agent: Scripted, message: Message) -> Message:
        return agent.reply((await agent.ask("b", {"secret": "xyzzy"}, "bill")).payload)

    async with system(Scripted("a", passes_on), Scripted("b", echo)) as runtime:
        await runtime.ask("a", {}, "order")
        await until(lambda: len(events(logged)) == 4)
    sent, passed, inner, outer = events(logged)
    assert [each["event"] for each in (sent, passed, inner, outer)] == ["sent"] * 2 + [
        "handled"
    ] * 2
    assert (sent["type"], sent["recipient"], sent["parent"]) == ("order", "a", "")
    assert (passed["sender"], passed["parent"], passed["trace"]) == (
        "a",
        sent["span"],
        sent["trace"],
    )
    assert (inner["id"], inner["outcome"]) == (passed["id"], "done")
    assert (outer["id"], outer["outcome"], outer["attempt"]) == (sent["id"], "done", 0)
    assert 0 <= inner["seconds"] <= outer["seconds"]
    assert "xyzzy" not in logged.text
    assert "sent bill to b" in logged.messages


async def test_errors_and_retries_are_told_apart_and_what_is_dropped_has_its_reason(logged) -> None:
    async with system(Scripted("a", fail, ErrorAction.RETRY, max_retries=1)) as runtime:
        with pytest.raises(AgentError):
            await runtime.ask("a", {})
        await until(lambda: runtime.stats().restarts == 1)
        runtime.components.bus.dead_letters.record("no use", Message(id="1", recipient="a"))
        runtime.components.bus.dead_letters.record("no frame", b"\x00")
    found = events(logged)
    handled = [(each["outcome"], each["attempt"]) for each in found if each["event"] == "handled"]
    assert handled == [("ValueError", 0), ("ValueError", 1)]
    assert [each["reason"] for each in found if each["event"] == "dropped"] == ["no use"]


async def test_without_the_instrument_nothing_is_logged(logged) -> None:
    async with system(Scripted("a", echo), instruments=()) as runtime:
        await runtime.ask("a", {})
    assert events(logged) == []


def test_a_message_may_have_anything_in_it(logged) -> None:
    text = "\x1b[2J\n" + "x" * 1_000
    message = Message(id=text, type=text, sender=text, recipient=text, trace_id=text)
    log = MessageLog()
    log.sending(message)
    log.dead_letter(message, text)
    with log.handling("a", message):
        pass
    for about in events(logged):
        values = [each for each in about.values() if isinstance(each, str)]
        assert all(each.isprintable() and len(each) <= 200 for each in values)
