"""The message that code belongs to: in hooks, in what they have started, and outside."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor, trace
from civitas.errors import AgentError, MessageRoutingError
from civitas.messages import compose
from support.agents import SOON, Scripted, echo, runtime, until


class Jobs:
    """A handler that leaves a job behind, which sends when it is told."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, agent: Scripted, message: Message) -> Message | None:
        async def job() -> None:
            await self.go_on.wait()
            await agent.send("b", {"job": message.payload["n"]})

        if message.payload.get("job", True):
            self.tasks.append(asyncio.create_task(job()))
        else:
            await agent.send("b", {"n": message.payload["n"]})
        return agent.reply({})


async def test_what_a_task_sends_belongs_to_the_message_that_started_it() -> None:
    jobs, sink = Jobs(), Scripted("b")
    a = Scripted("a", jobs)
    async with runtime(a, sink) as r:
        for n in range(3):
            await r.ask("a", {"n": n}, timeout=SOON)
        jobs.go_on.set()
        await asyncio.gather(*jobs.tasks)
        await until(lambda: len(sink.got) == 3)
    causes = {message.payload["n"]: message for message in a.got}
    for sent in sink.got:
        cause = causes[sent.payload["job"]]
        assert (sent.trace_id, sent.parent_span_id) == (cause.trace_id, cause.span_id)


async def test_so_it_does_while_another_message_is_in_hand() -> None:
    jobs, sink = Jobs(), Scripted("b")

    async def let_go(agent: Scripted, message: Message) -> Message | None:
        if message.type == "go on":
            jobs.go_on.set()
            await asyncio.gather(*jobs.tasks)
            return agent.reply({})
        return await jobs(agent, message)

    a = Scripted("a", let_go)
    async with runtime(a, sink) as r:
        await r.ask("a", {"n": 0}, timeout=SOON)
        await r.ask("a", {}, "go on", timeout=SOON)
        await until(lambda: bool(sink.got))
    assert sink.got[0].parent_span_id == a.got[0].span_id != a.got[1].span_id


class FromTheStart(AgentProcess):
    """Starts a task in `on_start` that does what the test says, with each message."""

    def __init__(self, name: str, job: Callable[[AgentProcess], Any]) -> None:
        super().__init__(name)
        self.job, self.found = job, asyncio.Queue[Any]()

    async def on_start(self) -> None:
        self.turn = asyncio.Semaphore(0)
        self.task = asyncio.create_task(self.work())

    async def work(self) -> None:
        while await self.turn.acquire():
            try:
                self.found.put_nowait(self.job(self))
            except RuntimeError as error:
                self.found.put_nowait(error)

    async def handle(self, message: Message) -> Message | None:
        self.turn.release()
        return self.reply({"found": str(await self.found.get())})

    async def on_stop(self) -> None:
        self.task.cancel()


async def test_a_task_of_on_start_belongs_to_no_message() -> None:
    agent = FromTheStart("a", lambda agent: trace.current())
    async with runtime(agent) as r:
        assert (await r.ask("a", {}, timeout=SOON)).payload["found"] == "None"


async def test_what_it_answers_is_an_error() -> None:
    agent = FromTheStart("a", lambda agent: agent.reply({}))
    async with runtime(agent) as r:
        found = (await r.ask("a", {}, timeout=SOON)).payload["found"]
    assert found == "reply() answers the message being handled; this code belongs to none"


@pytest.mark.parametrize("verb", ["reply", "defer"])
async def test_an_answer_of_a_task_whose_message_is_over_is_an_error_that_says_so(
    verb: str,
) -> None:
    found: list[str] = []
    go_on = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def start(agent: Scripted, message: Message) -> Message:
        async def late() -> None:
            await go_on.wait()
            try:
                getattr(agent, verb)(*([{}] if verb == "reply" else []))
            except RuntimeError as error:
                found.append(str(error))

        if message.payload:
            tasks.append(asyncio.create_task(late()))
        else:
            go_on.set()
            await asyncio.gather(*tasks)  # with another message in hand
        return agent.reply({})

    async with runtime(Scripted("a", start)) as r:
        await r.ask("a", {"n": 1}, timeout=SOON)
        await r.ask("a", {}, timeout=SOON)
    assert len(found) == 1
    assert found[0].startswith(f"{verb}() ")
    assert found[0].endswith("that of this task is over: call defer() in the handler, and answer "
                             "with it later")  # fmt: skip


async def test_a_task_may_answer_while_its_message_is_in_hand() -> None:
    async def in_a_task(agent: Scripted, message: Message) -> Message:
        async def made() -> Message:
            return agent.reply({"made": "in a task"})

        return await asyncio.create_task(made())

    async def in_a_thread(agent: Scripted, message: Message) -> Message:
        return await asyncio.to_thread(agent.reply, {"made": "in a thread"})

    async with runtime(Scripted("a", in_a_task), Scripted("b", in_a_thread)) as r:
        assert (await r.ask("a", {}, timeout=SOON)).payload == {"made": "in a task"}
        assert (await r.ask("b", {}, timeout=SOON)).payload == {"made": "in a thread"}


async def test_an_agent_answers_no_message_of_another_one() -> None:
    other = Scripted("other")

    async def mistaken(agent: Scripted, message: Message) -> Message:
        return other.reply({})

    async with runtime(Scripted("a", mistaken, ErrorAction.SKIP), other) as r:
        with pytest.raises(AgentError, match="there is none now|'other' does not handle the one"):
            await r.ask("a", {}, timeout=SOON)


async def test_what_another_agents_object_sends_belongs_to_the_message_in_hand() -> None:
    sink = Scripted("b")
    through = Scripted("through")

    async def borrow(agent: Scripted, message: Message) -> Message:
        await through.send("b", {})
        return agent.reply({})

    a = Scripted("a", borrow)
    async with runtime(a, through, sink) as r:
        await r.ask("a", {}, timeout=SOON)
        await until(lambda: bool(sink.got))
    assert (sink.got[0].sender, sink.got[0].parent_span_id) == ("through", a.got[0].span_id)


async def test_what_a_handler_sends_through_its_runtime_belongs_to_its_message() -> None:
    async def by_runtime(agent: Scripted, message: Message) -> Message:
        await r.send("b", {})
        return agent.reply({})

    a, sink = Scripted("a", by_runtime), Scripted("b")
    async with runtime(a, sink) as r:
        await r.ask("a", {}, timeout=SOON)
        await r.send("b", {})
        await until(lambda: len(sink.got) == 2)
    assert sink.got[0].parent_span_id == a.got[0].span_id
    assert (sink.got[1].parent_span_id, sink.got[1].trace_id == a.got[0].trace_id) == (None, False)


class Hooks(Scripted):
    """Notes which message each hook belongs to."""

    found: list[Any]

    def note(self, hook: str) -> None:
        now = trace.current()
        self.found.append((hook, now and now.span_id))

    async def on_start(self) -> None:
        self.note("on_start")

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        self.note("on_error")
        return ErrorAction.ESCALATE

    async def on_stop(self) -> None:
        self.note("on_stop")


async def test_each_hook_belongs_to_the_message_in_hand_if_any() -> None:
    Hooks.found = []
    spans: list[str] = []

    async def crash(agent: Scripted, message: Message) -> Message:
        spans.append(message.span_id)
        agent.note("handle")  # type: ignore[attr-defined]
        if message.payload:
            raise ValueError("no good")
        return agent.reply({})

    async with runtime(Hooks("a", crash)) as r:
        with pytest.raises(AgentError):
            await r.ask("a", {"crash": True}, timeout=SOON)
        await r.ask("a", {}, timeout=SOON)
    first, second = spans
    assert Hooks.found == [
        ("on_start", None), ("handle", first), ("on_error", first), ("on_stop", None),
        ("on_start", None), ("handle", second), ("on_stop", None),
    ]  # fmt: skip


async def test_what_a_handler_starts_that_is_the_runtimes_belongs_to_no_message() -> None:
    inner = Hooks("inner")
    Hooks.found = []
    runtimes: list[Runtime] = []

    async def start_another(agent: Scripted, message: Message) -> Message:
        runtimes.append(Runtime(Supervisor("root", [inner])))
        await runtimes[0].start()
        return agent.reply({})

    async with runtime(Scripted("a", start_another)) as r:
        await r.ask("a", {}, timeout=SOON)
        await runtimes[0].stop()
    assert Hooks.found == [("on_start", None), ("on_stop", None)]


async def test_a_callback_for_dead_letters_belongs_to_no_message() -> None:
    found: list[Any] = []
    sink = Scripted("b")

    async def on_dead_letter(item: Any, reason: str) -> None:
        found.append(trace.current())
        await r.send("b", {})

    async with runtime(Scripted("a", echo), sink) as r:
        r.on_dead_letter(on_dead_letter)
        await r.ask("a", {}, timeout=SOON)
        # It is found to be late by an agent that has handled another message before.
        await r.components.bus.send(compose("x", "a", {}, "message", ttl=-1.0))
        await until(lambda: bool(sink.got))
    assert found == [None]
    assert sink.got[0].parent_span_id is None


async def test_a_context_goes_into_threads_of_to_thread_and_into_no_others() -> None:
    found: dict[str, Any] = {}

    async def look(agent: Scripted, message: Message) -> Message:
        found["message"] = message.span_id
        await asyncio.to_thread(note, "to_thread")
        other = threading.Thread(target=note, args=("thread",))
        other.start()
        other.join()
        return agent.reply({})

    def note(where: str) -> None:
        now = trace.current()
        found[where] = now and now.span_id

    async with runtime(Scripted("a", look)) as r:
        await r.ask("a", {}, timeout=SOON)
    assert found["to_thread"] == found["message"]
    assert found["thread"] is None


async def test_while_a_node_stops_only_what_has_a_message_in_hand_sends() -> None:
    jobs = Jobs()
    entered, opened = asyncio.Event(), asyncio.Event()

    async def last(agent: Scripted, message: Message) -> Message | None:
        if message.type == "last":
            entered.set()
            await opened.wait()
            await agent.send("b", {"from": "a handler"})
            return None
        return await jobs(agent, message)

    refused: list[Exception] = []
    sink = Scripted("b")
    async with runtime(sink, Scripted("idle", jobs), Scripted("a", last)) as r:
        await r.ask("idle", {"n": 1}, timeout=SOON)
        await r.send("a", {}, "last")
        await entered.wait()
        stopping = asyncio.create_task(r.stop())
        await until(lambda: r.components.bus.closing)
        jobs.go_on.set()  # of an agent that has nothing in hand: its message is over
        refused += [e for e in await asyncio.gather(*jobs.tasks, return_exceptions=True) if e]
        opened.set()
        await stopping
    assert [type(each) for each in refused] == [MessageRoutingError]
    assert [each.payload for each in sink.got] == [{"from": "a handler"}]


async def test_an_idle_agent_that_has_ended_keeps_no_message_by_its_context() -> None:
    kept: list[weakref.ref[Any]] = []

    class Held(dict[str, Any]):
        """A payload that can be watched."""

    async def keep(agent: Scripted, message: Message) -> None:
        agent.got.clear()
        message.payload = Held()
        kept.append(weakref.ref(message.payload))

    async with runtime(Scripted("a", keep)) as r:
        await r.send("a", {})
        await until(lambda: bool(kept))
    gc.collect()
    assert kept[0]() is None
