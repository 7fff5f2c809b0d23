"""Instruments see each message once where it is sent, and once where it is handled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from civitas import Message
from civitas.errors import AgentError
from support.agents import Scripted, until
from support.instruments import Recorder, raising


async def pass_on(agent: Scripted, message: Message) -> Message:
    if message.payload.get("fail"):
        raise ValueError("no good")
    if agent.name == "a":
        return agent.reply((await agent.ask("b", message.payload)).payload)
    return agent.reply({"by": agent.name})


async def talk(system: Any, recorder: Any, *others: Any) -> list[Any]:
    agents = (Scripted(name, pass_on) for name in "ab")
    async with system(*agents, instruments=[*others, recorder]) as s:
        found = [(await s.ask("a", {"n": 1})).payload]
        with pytest.raises(AgentError) as error:
            await s.ask("b", {"fail": True})
        await until(lambda: ("restarted", "b") in recorder.seen)
        found += [str(error.value), (await s.ask("a", {"n": 2})).payload]
    return found


EXPECTED = {
    **{("sending", "a"): 2, ("sending", "b"): 3},
    **{("enter", "a"): 2, ("enter", "b"): 3, ("exit", "a", None): 2, ("exit", "b", None): 2},
    **{("exit", "b", "ValueError"): 1, ("crashed", "b", "no good"): 1, ("restarted", "b"): 1},
}


async def test_each_message_is_seen_once_where_it_is_sent_and_once_where_it_is_handled(system):
    recorder = Recorder()
    await talk(system, recorder)
    seen = Counter(each for each in recorder.seen if each[0] not in ("start", "stop"))
    assert seen == EXPECTED


async def test_one_that_raises_changes_no_answer_and_nothing_that_another_one_sees(system):
    recorder = Recorder()
    faulty = raising("sending", "handling", "dead_letter", "crashed", "restarted")
    found = await talk(system, recorder, faulty)
    assert found == [{"by": "b"}, "agent 'b' failed to answer: ValueError: no good", {"by": "b"}]
    seen = Counter(each for each in recorder.seen if each[0] not in ("start", "stop"))
    assert seen == EXPECTED
