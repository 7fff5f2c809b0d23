"""Callbacks: functions of the user that are called, and awaited, about crashes and dead letters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message
from civitas.errors import AgentError
from support.agents import SOON, Scripted, echo, fail, runtime, until
from support.raising import RAISED

KINDS = pytest.mark.parametrize("kind", RAISED)


@KINDS
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_callback_that_raises_is_logged_and_harms_nobody(
    kind: str, asynchronous: bool, caplog: Any
) -> None:
    def bad(*_: Any) -> None:
        raise RAISED[kind][0]()

    async def bad_later(*_: Any) -> None:
        raise RAISED[kind][0]()

    heard: list[str] = []
    async with runtime(Scripted("a", fail), Scripted("b", echo)) as r:
        for subscribe in (r.on_crash, r.on_dead_letter):
            subscribe(bad_later if asynchronous else bad)
        r.on_crash(lambda name, error: heard.append(name))
        r.on_dead_letter(lambda item, reason: heard.append(reason))
        with pytest.raises(AgentError):
            await r.ask("a", {}, timeout=SOON)
        await until(lambda: r.stats().restarts == 1)
        await r.ask("b", {}, timeout=SOON)
        r.components.dead_letters.record("of the test", b"")
    assert heard == ["a", "of the test"]
    for what in ("on_crash", "on_dead_letter"):
        assert f"a callback of {what} raised" in caplog.text


async def test_async_callbacks_are_awaited_in_order_and_hold_up_no_agent() -> None:
    opened, heard = asyncio.Event(), []

    async def slow(name: str, error: Exception) -> None:
        await opened.wait()
        heard.append(str(error))

    async def crash(agent: Scripted, message: Message) -> Message:
        if message.reply_to is None:
            raise ValueError(message.payload["n"])
        return agent.reply({})

    async with runtime(Scripted("a", crash), max_restarts=100) as r:
        r.on_crash(slow)
        for n in range(5):
            await r.send("a", {"n": n})
        await r.ask("a", {}, timeout=SOON)
        assert r.stats().restarts == 5
        assert heard == []
        opened.set()
        await until(lambda: len(heard) == 5)
    assert heard == list("01234")


async def test_an_async_callback_may_stop_its_node() -> None:
    crashed = asyncio.Event()
    r = runtime(Scripted("a", fail))

    async def stop(name: str, error: Exception) -> None:
        await r.stop()
        crashed.set()

    r.on_crash(stop)
    await r.start()
    await r.send("a", {})
    assert await asyncio.wait_for(r.wait(), SOON) == 0
    assert crashed.is_set()


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_callback_that_does_not_return_ends_with_the_node(
    stubborn: bool, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("civitas._node.node._CALLBACKS_TIMEOUT", 0.05)
    entered, waited = asyncio.Event(), asyncio.Event()

    async def hang(name: str, error: Exception) -> None:
        entered.set()
        try:
            await waited.wait()
        finally:
            if stubborn:
                await waited.wait()

    async with runtime(Scripted("a", fail)) as r:
        r.on_crash(hang)
        for _ in range(2):
            await r.send("a", {})
        await asyncio.wait_for(entered.wait(), SOON)
        await until(lambda: r.stats().restarts == 2)
    assert "2 calls of async callbacks were not done in time" in caplog.text
    waited.set()


async def test_a_callback_that_takes_too_long_makes_room_for_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("civitas._bus.callbacks.TIMEOUT", 0.01)
    heard: list[str] = []

    async def hang_once(name: str, error: Exception) -> None:
        if not heard:
            heard.append("first")
            await asyncio.Event().wait()
        heard.append("second")

    async with runtime(Scripted("a", fail)) as r:
        r.on_crash(hang_once)
        for _ in range(2):
            await r.send("a", {})
        await until(lambda: heard == ["first", "second"])
    assert "a callback of on_crash raised" in caplog.text
