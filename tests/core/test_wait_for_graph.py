"""Rings of asks, held against what happens without the error: random agents run random programs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final
from unittest.mock import patch

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor
from civitas._bus.wait_for_graph import WaitForGraph
from civitas.components import build_component_set
from civitas.errors import AskDeadlockError, MailboxFullError
from civitas.messages import compose_reply
from support.virtual_time import on_virtual_time

NAMES: Final = "abc"
LATER: Final = 500.0
"""Seconds after which whatever could happen has happened."""

Step = tuple[str, float, str]
Programs = Mapping[str, Sequence[Sequence[Step]]]
"""Of each agent, what it does with its first message, its second, and so on, round and round."""

OWN: Final = ("rest", "ask", "ask", "ask", "task", "defer")
"""What a handler may do: wait; ask in its own task, or in one that nobody awaits; defer the answer
and give it later. Besides: "answer" by hand at once; "gather" two asks."""


Check = Callable[[WaitForGraph, Any, Any], None]

Questions = Sequence[tuple[str, float]]
"""Who is asked from outside, after how many seconds."""

SEEDS: Final = 300


def system(seed: int, kinds: Sequence[str]) -> tuple[Programs, Questions]:
    """Return what the agents of a random system do, and whom others ask."""
    random = Random(seed)

    def steps(name: str) -> list[Step]:
        others = NAMES.replace(name, "") * 4 + name
        count = random.randint(0, 3)
        return [(pick(kinds), random.randint(0, 3), pick(others)) for _ in range(count)]

    pick = random.choice
    programs = {name: [steps(name) for _ in range(random.randint(1, 3))] for name in NAMES}
    return programs, [(pick(NAMES), random.randint(0, 3)) for _ in range(random.randint(1, 4))]


class Scene:
    """What agents have done, and those who were refused an ask, or would have been."""

    def __init__(self, serializer: str) -> None:
        self.serializer = serializer
        self.own_asks: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.done: set[tuple[str, int]] = set()
        self.refused: list[tuple[str, ...]] = []
        self.stuck: list[tuple[str, int]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.answered = 0
        self.over = False

    def noting(self, real: Check) -> Check:
        """Return what takes note of an ask that would be refused, in place of refusing it."""

        def check(graph: WaitForGraph, asker: Any, asked: Any) -> None:
            try:
                real(graph, asker, asked)
            except AskDeadlockError as error:
                self.refused.append(error.ring)
                self.stuck += [(name, self.own_asks[name]) for name in error.ring]

        return check

    async def play(self, programs: Programs, asked: Questions) -> None:
        agents = [Program(name, programs[name], self) for name in NAMES]
        components = build_component_set(serializer=self.serializer, send_timeout=2 * LATER)
        async with Runtime(Supervisor("root", agents), components=components) as runtime:
            asks = [asyncio.create_task(self.ask(runtime, *each)) for each in asked]
            await asyncio.sleep(LATER)
            self.answered = sum(each.done() for each in asks)
            self.over = True
            for each in (*asks, *self.tasks):
                each.cancel()
            await asyncio.gather(*asks, *self.tasks, return_exceptions=True)
        graph = components.bus.waiting
        assert [*graph.asks, *graph.open, *graph.deferred] == []

    async def ask(self, runtime: Runtime, name: str, after: float) -> None:
        await asyncio.sleep(after)
        await runtime.ask(name, {"depth": 0}, timeout=None)


class Program(AgentProcess):
    def __init__(self, name: str, lists: Sequence[Sequence[Step]], scene: Scene) -> None:
        super().__init__(name, mailbox_size=2, shutdown_timeout=1.0)
        self.lists, self.scene, self.count = lists, scene, 0

    async def handle(self, message: Message) -> Message | None:
        depth = message.payload["depth"] + 1
        steps = self.lists[self.count % len(self.lists)] if depth < 4 else ()
        self.count += depth < 4
        deferred = by_hand = False
        for kind, seconds, name in steps:
            if kind == "rest":
                await asyncio.sleep(seconds)
            elif kind == "ask":
                await self.ask_myself(name, depth)
            elif kind == "gather":
                await asyncio.gather(self.try_to_ask(name, depth), self.try_to_ask("a", depth))
            elif kind == "task":
                self.start(self.try_to_ask(name, depth))
            elif kind == "defer" and not (deferred or by_hand):
                deferred = True
                self.start(self.answer(self.defer(), seconds))
            elif kind == "answer" and not (deferred or by_hand):
                by_hand = True
                reply = compose_reply(self.name, message, {}, "reply")
                await self.send(reply.recipient, {})
        return None if deferred or by_hand else self.reply({})

    def start(self, work: Any) -> None:
        self.scene.tasks.append(asyncio.create_task(work))

    async def ask_myself(self, name: str, depth: int) -> None:
        self.scene.own_asks[self.name] += 1
        number = self.scene.own_asks[self.name]
        try:
            await self.try_to_ask(name, depth)
        except MailboxFullError:  # of its own mailbox, for which nobody can wait
            return
        if not self.scene.over:
            self.scene.done.add((self.name, number))

    async def try_to_ask(self, name: str, depth: int) -> None:
        try:
            await self.ask(name, {"depth": depth}, timeout=None)
        except AskDeadlockError as error:
            self.scene.refused.append(error.ring)

    async def answer(self, later: Any, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await later.reply({})


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
def test_who_is_refused_would_never_have_been_answered_nor_anybody_in_its_ring(
    serializer: str,
) -> None:
    rings: Counter[int] = Counter()
    for seed in range(SEEDS):
        scene = Scene(serializer)
        with patch.object(WaitForGraph, "check", scene.noting(WaitForGraph.check)):
            on_virtual_time(scene.play)(*system(seed, (*OWN, "answer", "gather")))
        rings.update(len(each) - 1 for each in scene.refused)
        assert not scene.done.intersection(scene.stuck), seed
    assert min(rings[1], rings[2], rings[3]) > 0


@pytest.mark.parametrize(
    ("serializer", "kinds"),
    [("msgpack", (*OWN, "answer")), ("json", OWN)],  # a frame by hand does not say what it answers
)
def test_where_rings_are_refused_everybody_is_answered(
    serializer: str, kinds: Sequence[str]
) -> None:
    rings: Counter[int] = Counter()
    for seed in range(SEEDS):
        scene = Scene(serializer)
        programs, asked = system(seed, kinds)
        on_virtual_time(scene.play)(programs, asked)
        rings.update(len(each) - 1 for each in scene.refused)
        assert scene.answered == len(asked), seed
    assert min(rings[1], rings[2], rings[3]) > 0
