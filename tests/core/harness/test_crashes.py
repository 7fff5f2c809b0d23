"""Crashes in a harness: agents are restarted as in production, and none goes unseen."""

from __future__ import annotations

import asyncio

import pytest

from civitas import AgentProcess, Message
from civitas.errors import AgentError, NotConnectedError, SpawnError
from civitas.testing import HarnessError, harness


class Fragile(AgentProcess):
    """Counts what it has handled, and breaks when it is told to."""

    def __init__(self, name: str, step: int = 1) -> None:
        super().__init__(name)
        self.step = step

    async def handle(self, message: Message) -> Message | None:
        if message.type == "break":
            raise ValueError(message.payload.get("why", "broken"))
        if message.type == "exit":
            raise SystemExit(3)
        self.state["n"] = self.state.get("n", 0) + self.step
        return self.reply({"n": self.state["n"]})


async def test_a_crash_makes_a_fresh_object_of_the_same_arguments():
    async with harness(Fragile("fragile", step=5)) as h:
        before = h.agent
        await h.ask("fragile", {})
        await h.send("fragile", {}, "break")
        await h.send("fragile", {})
        await h.idle()
        assert h.now == 1.0  # the backoff
        assert h.agent is not before
        assert isinstance(h.agent, Fragile)
        assert h.agent.state == {"n": 5}
        crash = h.expect_crash(ValueError, match="broken", agent="fragile")
        assert (crash.agent, str(crash.error), crash.at) == ("fragile", "broken", 0.0)
        assert h.crashes == [crash]


async def test_the_policy_is_that_of_the_arguments():
    made = harness(
        Fragile("a"),
        Fragile("b"),
        strategy="ONE_FOR_ALL",
        backoff="EXPONENTIAL",
        backoff_base=2.0,
        max_restarts=5,
    )
    async with made as h:
        before = h.agents
        await h.send("b", {}, "break")
        await h.advance(1.999)
        assert h.agents == before
        await h.idle()
        assert h.now == 2.0
        assert [h.agents[name] is before[name] for name in "ab"] == [False, False]
        await h.send("a", {}, "break")
        await h.idle()
        h.expect_crash()
        h.expect_crash()


async def test_an_agent_that_crashes_too_often_ends_all():
    async with harness(Fragile("fragile"), max_restarts=1, backoff_base=0.0) as h:
        for _ in range(2):
            await h.send("fragile", {}, "break")
            await h.idle()
        with pytest.raises(NotConnectedError, match="the runtime has ended: "):
            await h.send("fragile", {})
        assert len(h.crashes) == 2
        h.expect_crash(ValueError)
        h.expect_crash(ValueError)


async def test_a_crash_that_was_not_expected_fails_the_test_and_shows_where():
    with pytest.raises(HarnessError) as raised:
        async with harness(Fragile("fragile")) as h:
            await h.send("fragile", {"why": "no page"}, "break")
            await h.idle()
    text = str(raised.value)
    assert text.startswith("agent 'fragile' crashed at 0 s: ValueError: no page")
    assert "h.expect_crash(ValueError)" in text
    assert isinstance(raised.value.__cause__, ValueError)
    frames = raised.value.__cause__.__traceback__
    assert frames is not None


async def test_a_crash_is_expected_once():
    with pytest.raises(HarnessError, match=r"^agent 'fragile' crashed at 1 s: ValueError"):
        async with harness(Fragile("fragile")) as h:
            for _ in range(2):
                await h.send("fragile", {}, "break")
                await h.idle()
            h.expect_crash(ValueError)


async def test_a_crash_that_was_expected_and_did_not_happen_is_an_error_that_lists_others():
    async with harness(Fragile("fragile")) as h:
        with pytest.raises(HarnessError, match=r"no agent has crashed with Exception.* none"):
            h.expect_crash()
        await h.send("fragile", {"why": "one"}, "break")
        await h.idle()
        with pytest.raises(HarnessError, match=r"(?s)KeyError.*crashed at 0 s: ValueError: one"):
            h.expect_crash(KeyError)
        with pytest.raises(HarnessError, match="matches 'two'"):
            h.expect_crash(ValueError, match="two")
        with pytest.raises(HarnessError, match="agent 'other' has not crashed"):
            h.expect_crash(agent="other")
        h.expect_crash(ValueError, match="on.")


async def test_an_exit_in_a_handler_is_a_crash_like_any_other():
    async with harness(Fragile("fragile")) as h:
        await h.send("fragile", {}, "exit")
        await h.idle()
        h.expect_crash(SystemExit, match="3")


async def test_the_error_of_the_test_is_not_replaced_and_has_the_crash_as_a_note():
    with pytest.raises(ZeroDivisionError) as raised:
        async with harness(Fragile("fragile")) as h:
            await h.send("fragile", {}, "break")
            await h.idle()
            _ = 1 / 0
    assert raised.value.__notes__ == [
        "harness: agent 'fragile' crashed at 0 s: ValueError: broken",
    ]
    with pytest.raises(AgentError, match="ValueError: broken"):
        async with harness(Fragile("fragile")) as h:
            await h.ask("fragile", {}, "break")


async def test_an_agent_that_can_not_start_fails_the_entry_and_leaves_nothing_behind():
    class Broken(AgentProcess):
        async def on_start(self) -> None:
            raise ValueError("no database")

    with pytest.raises(SpawnError, match="no database"):
        async with harness(Broken("broken")):
            pytest.fail("it has started")
    async with harness(Fragile("fragile")) as h:
        await h.ask("fragile", {})


async def test_a_start_that_fails_after_a_crash_counts_as_another_crash():
    starts = []

    class Unlucky(Fragile):
        async def on_start(self) -> None:
            starts.append(self)
            if len(starts) == 2:
                raise ValueError("the second start")

    async with harness(Unlucky("unlucky")) as h:
        await h.send("unlucky", {}, "break")
        await h.idle()
        assert str(h.crashes[0].error) == "broken"
        assert "the second start" in str(h.crashes[1].error)
        assert h.now == 2.0
        h.expect_crash()
        h.expect_crash()


async def test_agents_may_ask_fakes_in_on_start_and_in_on_stop():
    class Polite(AgentProcess):
        async def on_start(self) -> None:
            self.state["greeting"] = (await self.ask("store", {}, "hello")).payload

        async def on_stop(self) -> None:
            await self.send("store", {}, "goodbye")

    seen = []

    def store(message: Message) -> dict[str, object]:
        seen.append(message.type)
        return {"hi": 1}

    async with harness(Polite("polite"), fakes={"store": store}) as h:
        assert h.agent.state["greeting"] == {"hi": 1}
    assert seen == ["hello", "goodbye"]


async def test_what_on_stop_raises_fails_the_test():
    class Untidy(AgentProcess):
        async def on_stop(self) -> None:
            raise OSError("still open")

    with pytest.raises(HarnessError, match="on_stop of agent 'untidy' raised: OSError: still open"):
        async with harness(Untidy("untidy")):
            pass


async def test_a_task_that_nobody_ends_fails_the_test_and_is_ended():
    ended = []

    class Leaky(AgentProcess):
        async def on_start(self) -> None:
            self.task = asyncio.create_task(self.poll(), name="poll")

        async def poll(self) -> None:
            try:
                await asyncio.sleep(3600.0)
            finally:
                ended.append(True)

    with pytest.raises(HarnessError, match=r"task 'poll', which runs .*Leaky.poll, was left"):
        async with harness(Leaky("leaky")):
            pass
    assert ended == [True]


async def test_an_error_that_nobody_has_handled_fails_the_test():
    class Careless(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            asyncio.get_running_loop().call_later(1.0, self.later)
            return None

        def later(self) -> None:
            raise ValueError("nobody hears this")

    with pytest.raises(HarnessError, match="nobody hears this"):
        async with harness(Careless("careless")) as h:
            await h.send("careless", {})
            await h.advance(1)
