"""What a test says to agents in a harness, and what it sees of what they say to others."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import assert_type

import pytest

from civitas import AgentProcess, Message, on
from civitas.errors import (
    AgentError,
    ConfigurationError,
    MessageRoutingError,
    MessageValidationError,
    UnansweredError,
)
from civitas.testing import HarnessError, harness


class Crawler(AgentProcess):
    """Stores what it is told, and says how that went."""

    async def handle(self, message: Message) -> Message | None:
        reply = await self.ask("store", {"url": message.payload["url"]}, "page")
        return self.reply({"stored": reply.payload})


class Notifier(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        await self.send("store", message.payload, message.type)
        return None


class Store(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        self.state.setdefault("urls", []).append(message.payload["url"])
        return self.reply({"id": len(self.state["urls"])})


async def test_a_dict_is_the_answer_to_everybody_who_asks_the_fake():
    async with harness(Crawler("crawler"), fakes={"store": {"id": 7}}) as h:
        first = await h.ask("crawler", {"url": "/a"})
        second = await h.ask("crawler", {"url": "/b"})
        assert [first.payload, second.payload] == [{"stored": {"id": 7}}] * 2
        assert [(m.sender, m.type, m.payload) for m in h.sent("store")] == [
            ("crawler", "page", {"url": "/a"}),
            ("crawler", "page", {"url": "/b"}),
        ]


async def test_a_function_answers_by_the_message():
    def store(message: Message) -> dict[str, object]:
        return {"id": len(message.payload["url"]), "type": message.type}

    async with harness(Crawler("crawler"), fakes={"store": store}) as h:
        reply = await h.ask("crawler", {"url": "/abc"})
        assert reply.payload == {"stored": {"id": 4, "type": "page"}}


async def test_an_async_function_answers_later_and_delays_no_other():
    async def store(message: Message) -> dict[str, object]:
        await asyncio.sleep(10.0)
        return {"slept": True}

    async with harness(Crawler("a"), Crawler("b"), fakes={"store": store}) as h:
        await asyncio.gather(h.ask("a", {"url": "/"}), h.ask("b", {"url": "/"}))
        assert h.now == 10.0


async def test_what_a_fake_raises_is_an_error_of_the_one_who_asked_and_no_crash_of_the_fake():
    class Patient(Crawler):
        async def handle(self, message: Message) -> Message | None:
            try:
                return await super().handle(message)
            except AgentError as error:
                return self.reply({"error": str(error)})

    def store(message: Message) -> None:
        raise ConnectionError("no disk")

    async def later(message: Message) -> None:
        await asyncio.sleep(1.0)
        raise ConnectionError("no disk, at last")

    async with harness(Patient("crawler"), fakes={"store": store}) as h:
        assert "ConnectionError: no disk" in (await h.ask("crawler", {"url": "/"})).payload["error"]
        h.fake("store", later)
        assert "at last" in (await h.ask("crawler", {"url": "/"})).payload["error"]
        assert h.crashes == []


async def test_a_fake_that_returns_none_does_not_answer():
    async with harness(Crawler("crawler"), fakes={"store": lambda message: None}) as h:
        with pytest.raises(AgentError, match="gave no answer"):
            await h.ask("crawler", {"url": "/"})
        h.expect_crash(UnansweredError)

    async def later(message: Message) -> None:
        await asyncio.sleep(1.0)

    async with harness(Crawler("crawler"), fakes={"store": later}) as h:
        with pytest.raises(AgentError, match="gave no answer"):
            await h.ask("crawler", {"url": "/"})
        h.expect_crash(UnansweredError)


async def test_a_fake_may_answer_otherwise_from_now_on():
    async with harness(Crawler("crawler"), fakes={"store": {"id": 1}}) as h:
        h.fake("store", {"id": 2})
        assert (await h.ask("crawler", {"url": "/"})).payload == {"stored": {"id": 2}}
        with pytest.raises(ConfigurationError, match=r"no fake 'shop' in this harness.*'store'"):
            h.fake("shop", {})


async def test_an_assertion_of_a_fake_fails_the_test_though_an_agent_has_caught_it():
    class Careless(Crawler):
        async def handle(self, message: Message) -> Message | None:
            with suppress(AgentError):
                await super().handle(message)
            return self.reply({})

    def store(message: Message) -> dict[str, object]:
        assert message.payload["url"] == "/right"
        return {}

    with pytest.raises(HarnessError, match="fake 'store' raised on a message 'page'.*Assert"):
        async with harness(Careless("crawler"), fakes={"store": store}) as h:
            await h.ask("crawler", {"url": "/wrong"})


async def test_what_a_fake_raises_on_a_send_fails_the_test_for_nobody_else_has_it():
    def store(message: Message) -> None:
        raise KeyError("colour")

    with pytest.raises(HarnessError, match="fake 'store' raised.*colour.*nobody has asked"):
        async with harness(Notifier("notifier"), fakes={"store": store}) as h:
            await h.send("notifier", {})
            await h.idle()


async def test_a_fake_that_returns_what_is_no_payload_fails_the_test():
    with pytest.raises(HarnessError, match="it returned 3 .int.; a fake returns a dict"):
        async with harness(Crawler("crawler"), fakes={"store": lambda message: 3}) as h:  # type: ignore[dict-item]
            with pytest.raises(AgentError):
                await h.ask("crawler", {"url": "/"})
            h.expect_crash(AgentError)


@pytest.mark.parametrize(
    ("fake", "text"),
    [
        (Store("store"), "is an agent: give it to harness"),
        (Store, "is a dict, which is its answer, or a function"),
        ([1, 2], "is a dict, which is its answer, or a function"),
        (None, "is a dict, which is its answer, or a function"),
    ],
)
def test_what_can_be_no_fake_is_refused_at_once(fake: object, text: str):
    with pytest.raises(ConfigurationError, match=text):
        harness(Crawler("crawler"), fakes={"store": fake})  # type: ignore[dict-item]


def test_a_name_stands_for_an_agent_or_for_a_fake():
    with pytest.raises(ConfigurationError, match="'store' is an agent of this harness, and a fake"):
        harness(Store("store"), fakes={"store": {}})


async def test_agents_of_one_harness_talk_to_each_other_and_the_test_sees_it():
    async with harness(Crawler("crawler"), Store("store")) as h:
        await h.ask("crawler", {"url": "/"})
        await h.send("store", {"url": "/other"}, "direct")
        await h.idle()
        assert h.agents["store"].state["urls"] == ["/", "/other"]
        assert [m.sender for m in h.sent("store", "page")] == ["crawler"]
        assert [m.type for m in h.sent("store")] == ["page", "direct"]
        assert list(h.agents) == ["crawler", "store"]


async def test_what_was_sent_is_shown_as_it_was_then():
    class Careless(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            payload = {"urls": ["/"]}
            await self.send("store", payload)
            payload["urls"].append("/later")
            return None

    def store(message: Message) -> None:
        message.payload["urls"].clear()

    async with harness(Careless("careless"), fakes={"store": store}) as h:
        await h.send("careless", {})
        await h.idle()
        assert [m.payload for m in h.sent("store")] == [{"urls": ["/"]}]


async def test_what_could_not_be_sent_is_not_shown():
    async with harness(Store("store"), fakes={"shop": {}}) as h:
        with pytest.raises(MessageRoutingError):
            await h.send("nobody", {})
        with pytest.raises(ConfigurationError, match=r"no agent 'nobody'.*'shop', 'store'"):
            h.sent("nobody")
        with pytest.raises(Exception, match="can't be sent|cannot|serial"):
            await h.send("store", {"url": object()})
        assert h.sent("store") == []


async def test_idle_is_when_the_last_of_a_chain_has_handled_its_message():
    class Link(AgentProcess):
        def __init__(self, name: str, to: str) -> None:
            super().__init__(name)
            self.to = to

        async def handle(self, message: Message) -> Message | None:
            await asyncio.sleep(1.0)
            await self.send(self.to, message.payload)
            return None

    async with harness(Link("a", "b"), Link("b", "c"), Link("c", "end"), fakes={"end": {}}) as h:
        await h.send("a", {"n": 1})
        assert h.sent("end") == []
        await h.idle()
        assert [m.payload for m in h.sent("end")] == [{"n": 1}]
        assert h.now == 3.0


async def test_idle_waits_for_answers_that_are_deferred():
    class Later(AgentProcess):
        async def on_start(self) -> None:
            self.tasks: list[asyncio.Task[None]] = []

        async def handle(self, message: Message) -> Message | None:
            later = self.defer()

            async def answer() -> None:
                await asyncio.sleep(8.0)
                await later.reply({})

            self.tasks.append(asyncio.create_task(answer()))
            return None

    async with harness(Later("later")) as h:
        await h.send("later", {})
        await h.idle()
        assert h.now == 8.0


async def test_asks_beside_each_other_are_under_way_together():
    class Barrier(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            waiting = self.state.setdefault("waiting", [])
            waiting.append(self.defer())
            if len(waiting) == 2:
                for each in waiting:
                    await each.reply({"together": True})
            return None

    async with harness(Barrier("barrier")) as h:
        replies = await asyncio.gather(h.ask("barrier", {}), h.ask("barrier", {}))
        assert [reply.payload for reply in replies] == [{"together": True}] * 2
        assert h.now == 0.0


async def test_objects_of_asyncio_are_shared_between_the_test_and_its_agents():
    queue: asyncio.Queue[str] = asyncio.Queue()
    release = asyncio.Event()

    class Sharing(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            queue.put_nowait("in")
            await release.wait()
            queue.put_nowait("out")
            return None

    async with harness(Sharing("sharing")) as h:
        await h.send("sharing", {})
        assert await queue.get() == "in"
        getting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        release.set()
        assert await getting == "out"  # no verb of the harness is needed for it
        await h.idle()


async def test_a_test_may_let_an_ask_wait_for_what_it_does_later():
    release = asyncio.Event()

    async def store(message: Message) -> dict[str, object]:
        await release.wait()
        return {"id": 1}

    async with harness(Crawler("crawler"), fakes={"store": store}) as h:
        asking = asyncio.create_task(h.ask("crawler", {"url": "/"}, timeout=math.inf))
        await h.advance(20.0)
        assert not asking.done()
        release.set()
        assert (await asking).payload == {"stored": {"id": 1}}


async def test_a_test_that_gives_up_an_ask_leaves_nothing_behind():
    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    async with harness(Crawler("crawler"), fakes={"store": never}) as h:
        asking = asyncio.create_task(h.ask("crawler", {"url": "/"}))
        await h.advance(1.0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_dead_letters_are_shown():
    class Slow(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            await asyncio.sleep(10.0)
            return self.reply({})

    async with harness(Slow("slow")) as h:
        await h.send("slow", {})
        with pytest.raises(TimeoutError):
            await h.ask("slow", {"n": 1}, timeout=2.0)
        await h.idle()
        (letter,) = h.dead_letters
        assert isinstance(letter.message, Message)
        assert letter.message.payload == {"n": 1}
        assert letter.reason == "expired before it was handled"


async def test_the_counters_are_those_of_the_runtime():
    async with harness(Store("store")) as h:
        await h.ask("store", {"url": "/"})
        await h.advance(30.0)
        (store,) = h.stats().agents
        assert (store.handled, store.since) == (1, 30.0)


@dataclass
class Greeting:
    text: str


@dataclass
class Farewell:
    until: str


class Greeter(AgentProcess):
    @on(Greeting)
    async def greet(self, greeting: Greeting, message: Message) -> Greeting:
        return Greeting(greeting.text.upper())


async def test_a_test_asks_with_a_model_and_gets_one() -> None:
    async with harness(Greeter("greeter")) as h:
        answer = await h.ask("greeter", Greeting("hello"), reply=Greeting)
        assert_type(answer, Greeting)
        assert answer == Greeting("HELLO")
        with pytest.raises(MessageValidationError, match="Farewell"):
            await h.ask("greeter", Greeting("hello"), reply=Farewell)
