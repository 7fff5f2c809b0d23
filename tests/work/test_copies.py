"""How often a large body is copied on its way from one agent to another.

Budgets **only ever go down**, as in `test_messages`; the same command prints what is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from civitas import AgentProcess, Message
from support.budgets import Budgets
from support.fresh_memory import fresh_bytes, large_blocks_are_fresh
from support.system import Place, System, running

SIZE: Final = (1 << 20) + (1 << 16)
BODY: Final = "x" * SIZE
ROUNDS: Final = 15

# Those that the transport's library makes in this process count as well. How often nats-py and
# asyncio copy depends on the pieces in which a body comes, so there it is no whole number.
BUDGETS: Final = Budgets(
    """
                         copies
    in_process question  3
    in_process answer    3
    in_process send      3
    zmq question         7
    zmq answer           7
    zmq send             7
    nats question        12
    nats answer          12
    nats send            12
    """
)


class Agent(AgentProcess):
    """Answers what it is asked, with a large body where one is wanted, and hears what is sent."""

    def __init__(self, name: str, heard: asyncio.Event, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.heard = heard

    async def handle(self, message: Message) -> Message | None:
        if message.reply_to is None:
            self.heard.set()
            return None
        return self.reply({"body": BODY if message.payload["wanted"] else ""})


async def question(system: System) -> None:
    await system.ask("agent", {"body": BODY, "wanted": False})


async def answer(system: System) -> None:
    await system.ask("agent", {"body": "", "wanted": True})


async def send(system: System) -> None:
    heard = system.agent("agent").heard
    await system.send("agent", {"body": BODY})
    await heard.wait()
    heard.clear()


VERBS: Final[dict[str, Callable[[System], Awaitable[None]]]] = {
    "question": question,
    "answer": answer,
    "send": send,
}


def copies_of(before: int) -> float:
    return (fresh_bytes() - before) / SIZE


def test_a_copy_counts_as_one() -> None:
    body = BODY.encode()
    with large_blocks_are_fresh():
        before = fresh_bytes()
        copy = bytearray(body)
        assert copies_of(before) == pytest.approx(1, abs=0.1)
    assert copy


@pytest.mark.parametrize("verb", VERBS)
async def test_a_large_body_is_not_copied_more_often_than_its_budget(
    place: Place, verb: str
) -> None:
    act = VERBS[verb]
    found = []
    with large_blocks_are_fresh():
        async with running(place, [Agent("agent", asyncio.Event())]) as system:
            for _ in range(ROUNDS):
                before = fresh_bytes()
                await act(system)
                found.append(copies_of(before))
    copies = round(min(found), 1)  # what a library gathers while it waits is copied once more
    assert copies >= 1, "the instrument sees nothing: the receiver's own copy is one"
    BUDGETS.check(f"{place.transport['type']} {verb}", [copies])
