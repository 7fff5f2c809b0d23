"""Hooks: what comes of whatever an agent's constructor, hooks and callbacks raise or return."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas.errors import AgentError, SpawnError, describe
from support.agents import SOON, Scripted, echo, fail, runtime, until
from support.raising import RAISED

KINDS = pytest.mark.parametrize("kind", RAISED)


class Raising(AgentProcess):
    """Raises in the hook that the test names: each object, or only the one with that number."""

    made = 0

    def __init__(self, name: str, hook: str, kind: str, only: int | None = None) -> None:
        super().__init__(name)
        self.hook = hook
        self.kind = kind
        type(self).made += 1
        self.raises = only in {None, self.made}
        self._raise_in("constructor")

    def _raise_in(self, hook: str) -> None:
        if hook == self.hook and self.raises:
            raise RAISED[self.kind][0]()

    async def on_start(self) -> None:
        self._raise_in("on_start")

    async def handle(self, message: Message) -> Message:
        if message.payload.get("do") == "crash":
            raise ValueError("crash")
        return self.reply({})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        self._raise_in("on_error")
        return await super().on_error(error, message)

    async def on_stop(self) -> None:
        self._raise_in("on_stop")


@pytest.fixture(autouse=True)
def _none_made() -> None:
    Raising.made = 0


def said(kind: str, hook: str) -> str:
    """Return how the description of what is raised begins."""
    return RAISED[kind][1].format(hook=hook)


@KINDS
async def test_what_on_start_raises_fails_the_start(kind: str) -> None:
    starting = runtime(Scripted("before"), Raising("a", "on_start", kind))
    with pytest.raises(SpawnError) as caught:
        await asyncio.wait_for(starting.start(), SOON)
    expected = said(kind, "on_start")
    assert str(caught.value).startswith(f"agent 'a' could not start: {expected}")
    assert str(describe(caught.value.__cause__ or caught.value)).startswith(expected)
    assert await starting.wait() == 1


@pytest.mark.parametrize("hook", ["constructor", "on_start"])
@KINDS
async def test_what_a_fresh_object_raises_counts_as_a_crash_of_its_own(
    kind: str, hook: str
) -> None:
    heard: list[str] = []
    async with runtime(Raising("a", hook, kind, only=2)) as r:
        r.on_crash(lambda name, error: heard.append(str(describe(error))))
        await r.send("a", {"do": "crash"})
        assert (await r.ask("a", {}, timeout=SOON)).payload == {}
        assert Raising.made == 3
    of = "the constructor" if hook == "constructor" else hook
    assert heard[0] == "ValueError: crash"
    assert heard[1].startswith(f"SpawnError: agent 'a' could not start: {said(kind, of)}")


@KINDS
async def test_what_on_error_raises_is_the_crash_and_who_asked_gets_the_first_error(
    kind: str,
) -> None:
    heard: list[str] = []
    async with runtime(Raising("a", "on_error", kind)) as r:
        r.on_crash(lambda name, error: heard.append(str(describe(error))))
        with pytest.raises(AgentError, match="ValueError: crash"):
            await r.ask("a", {"do": "crash"}, timeout=SOON)
        assert (await r.ask("a", {}, timeout=SOON)).payload == {}
        await until(lambda: bool(heard))
    assert heard[0].startswith(said(kind, "on_error"))


@KINDS
async def test_what_on_stop_raises_is_logged_and_the_stop_goes_on(kind: str, caplog: Any) -> None:
    agents = Scripted("before"), Raising("a", "on_stop", kind), Scripted("after")
    async with runtime(*agents) as r:
        assert (await r.ask("a", {}, timeout=SOON)).payload == {}
        await asyncio.wait_for(r.stop(), SOON)
        assert await r.wait() == 0
    assert "on_stop of agent 'a' raised" in caplog.text


@pytest.mark.parametrize("action", [None, "RETRY", ErrorAction, 0, object()])
async def test_what_is_no_action_is_a_crash_that_says_so(action: Any) -> None:
    class Undecided(Scripted):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            return action

    heard: list[str] = []
    async with runtime(Undecided("a", fail)) as r:
        r.on_crash(lambda name, error: heard.append(str(error)))
        with pytest.raises(AgentError, match="ValueError: no good"):
            await r.ask("a", {}, timeout=SOON)
        await until(lambda: r.stats().restarts == 1)
    assert "on_error of agent 'a' returned" in heard[0]
    assert "not an ErrorAction" in heard[0]


async def test_an_on_error_that_does_not_return_ends_with_the_handle_timeout() -> None:
    class Hanging(Scripted):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            await asyncio.Event().wait()
            raise AssertionError

    async with runtime(Hanging("a", fail, handle_timeout=0.05)) as r:
        with pytest.raises(AgentError, match="ValueError: no good"):
            await r.ask("a", {}, timeout=SOON)
        await until(lambda: r.stats().restarts == 1)


async def test_what_a_handler_returns_to_a_send_is_looked_at_once_for_each_type(
    caplog: Any,
) -> None:
    async def plain(agent: Scripted, message: Message) -> Any:
        return None if message.reply_to else {"n": 1}

    async with runtime(Scripted("a", plain)) as r:
        for kind in ("x", "x", "y"):
            await r.send("a", {}, kind)
        await until(lambda: r.stats().agents[0].handled == 3)
    assert caplog.text.count("handle returned an object of type dict; it returns") == 2


async def test_who_asked_an_agent_that_is_left_behind_hears_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("civitas._agents.slot.CANCEL_GRACE", 0.01)
    opened = asyncio.Event()

    async def ignore(agent: Scripted, message: Message) -> None:
        while not opened.is_set():
            try:
                await opened.wait()
            except asyncio.CancelledError:
                continue

    stubborn = Scripted("stubborn", ignore, shutdown_timeout=0.01)
    r = runtime(stubborn)
    await r.start()
    asking = asyncio.create_task(r.ask("stubborn", {}, timeout=SOON))
    await until(lambda: bool(stubborn.got))
    await asyncio.wait_for(r.stop(), SOON)
    with pytest.raises(AgentError, match="stopped before it could answer"):
        await asking
    opened.set()


# --- payloads -------------------------------------------------------------------------------------


class Poisoned(dict[str, Any]):
    """A payload whose items are not to be had."""

    def items(self) -> Any:
        raise SystemExit("poisoned")


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
async def test_a_payload_that_raises_when_it_is_read_is_an_error_of_who_made_it(
    serializer: str,
) -> None:
    async def poison(agent: Scripted, message: Message) -> Message | None:
        match message.payload["verb"]:
            case "reply":
                return agent.reply(Poisoned(n=1))
            case "send":
                await agent.send("b", Poisoned(n=1))
            case "ask":
                await agent.ask("b", Poisoned(n=1))
            case "broadcast":
                await agent.broadcast("[bc]", Poisoned(n=1))
        return agent.reply({})

    agents = Scripted("a", poison), Scripted("b", echo), Scripted("c", echo)
    root = Supervisor("root", agents, backoff_base=0.0, max_restarts=9)
    async with Runtime(root, serializer=serializer) as r:
        for verb in ("reply", "send", "ask", "broadcast"):
            with pytest.raises(AgentError) as caught:
                await r.ask("a", {"verb": verb}, timeout=SOON)
            expected = "ExceptionGroup" if verb == "broadcast" else "SerializationError"
            assert caught.value.error_type == expected
            assert (await r.ask("a", {"verb": "none"}, timeout=SOON)).payload == {}
        assert r.stats().agents[1].handled == 0
