"""What a message makes an event loop do is within its budget.

A budget is what was found when it was set, and **only ever goes down**: whoever makes a message
cheaper lowers it. `pytest tests/work -rP | grep found:` prints what is found, as the table has it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any, Final

import pytest

from civitas import AgentProcess, Message
from support.budgets import Budgets
from support.system import Place, running
from support.work import Work, run_counted, work_of

PAYLOAD: Final = {"n": 1, "text": "hello"}
ASKS: Final = 100
BURSTS: Final = 20
BURST: Final = 64
"""Messages sent in one turn of the loop; fewer than a window has."""

# An ask, or one message of a burst. What depends on how fast a burst comes through has some room.
BUDGETS: Final = Budgets(
    """
                     encode decode tasks futures calls timers turns waits events sends reads looks
    in_process ask   2      2      0     2       2     .2     2     0     0      0     0     0
    in_process send  1      1      0     .03     .03   0      .03   0     0      0     0     0
    zmq ask          2      2      0     2       2     .5     4     2     2      2     2     2
    zmq send         1.02   1.02   0     .1      .15   0      .15   .1    .1     .1    .1    .1
    nats ask         2      2      0     2       2     1      4     2     2      2     2     0
    nats send        1.02   1.02   0     .15     .15   0      .1    .1    .1     .1    .1    0
    """
)


class Echo(AgentProcess):
    """Answers with what it was asked."""

    async def handle(self, message: Message) -> Message:
        return self.reply(message.payload)


class Sink(AgentProcess):
    """Counts, and says when it has a whole burst."""

    def __init__(self, name: str, whole: asyncio.Event, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.whole = whole
        self.count = 0

    async def handle(self, message: Message) -> None:
        self.count += 1
        if self.count % BURST == 0:
            self.whole.set()


async def ask(place: Place, counted: Counter[str]) -> Work:
    async with running(place, [Echo("echo")]) as system:
        return await work_of(counted, partial(system.ask, "echo", PAYLOAD), ASKS)


async def send(place: Place, counted: Counter[str]) -> Work:
    whole = asyncio.Event()

    async with running(place, [Sink("sink", whole)]) as system:

        async def burst() -> None:
            for _ in range(BURST):
                await system.send("sink", PAYLOAD)
            await whole.wait()
            whole.clear()

        return await work_of(counted, burst, BURSTS, BURST)


VERBS: Final = {"ask": ask, "send": send}


@pytest.mark.parametrize("verb", VERBS)
def test_a_message_makes_no_more_work_than_its_budget(
    place: Place, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_counted(monkeypatch, partial(VERBS[verb], place))
    assert min(found.encode, found.decode) >= 1, f"the instrument sees nothing: {found}"
    if place.spread:
        assert min(found.sends, found.reads) > 0, f"the instrument sees no sockets: {found}"
    BUDGETS.check(f"{place.transport['type']} {verb}", found)
