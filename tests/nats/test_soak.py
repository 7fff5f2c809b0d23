"""Two minutes on a cluster that loses a server every ten seconds: the rules of JetStream hold."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, Final

import pytest

from civitas.errors import MailboxFullError, TransportError
from support.nats.cluster import ELECTED_WITHIN, SIZE, NatsCluster
from support.nats.inspection import dead_letters, stream_of
from support.nats.nodes import Agent, Node, body_of, durable, failed, frame_of, until, within

KILLS: Final = 12
EVERY: Final = 10.0
"""Seconds between two kills."""

TAKEN_OVER_EVERY: Final = 3
"""Kills between two takeovers of all agents by another process."""

AGENTS: Final = ("a", "b", "c", "d")
MAX_DELIVER: Final = 3
LONG: Final = 120.0
OPTIONS: Final[dict[str, Any]] = {
    "replicas": SIZE,
    "connect_timeout": ELECTED_WITHIN,
    "send_timeout": 60.0,
    "max_deliver": MAX_DELIVER,
}


class Run:
    """What was sent and what became of it, for each agent."""

    def __init__(self, cluster: NatsCluster, unique: str) -> None:
        self.cluster = cluster
        self.unique = unique
        self.accepted: dict[str, list[str]] = defaultdict(list)
        self.unknown: dict[str, list[str]] = defaultdict(list)
        self.processed: dict[str, list[str]] = defaultdict(list)
        self.readers: list[dict[str, Agent]] = []
        self.enough = asyncio.Event()

    def node(self) -> Node:
        """Return another process."""
        return durable(self.cluster.urls, self.unique, **OPTIONS)

    async def send(self, node: Node, name: str) -> None:
        """Send one message after the other; some fail once, some each time."""
        number = 0
        while not self.enough.is_set():
            number += 1
            kind = "poison" if number % 50 == 0 else "weak" if number % 20 == 0 else "good"
            body = f"{number}.{kind}"
            try:
                await node.transport.publish(name, frame_of(body))
            except (TransportError, MailboxFullError):
                self.unknown[name].append(body)
            else:
                self.accepted[name].append(body)

    async def read(self, node: Node) -> None:
        """Have a process read for all agents, in the place of whoever did before."""
        readers = {}
        for name in AGENTS:

            async def act(body: str, attempt: int, name: str = name) -> None:
                await asyncio.sleep(0)
                if body.endswith("poison") or (body.endswith("weak") and attempt == 0):
                    raise failed()
                self.processed[name].append(body)

            readers[name] = await node.agent(name, act)
        self.readers.append(readers)

    async def lose_servers(self, nodes: list[Node]) -> None:
        """Kill one server after the other, and start each again at once."""
        loop = asyncio.get_running_loop()
        for kill in range(KILLS):
            until_next = loop.time() + EVERY
            server = self.cluster.servers[kill % SIZE]
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.launch)
            if kill % TAKEN_OVER_EVERY == TAKEN_OVER_EVERY - 1:
                nodes.append(self.node())
                await within(nodes[-1].transport.start(), LONG)
                await within(self.read(nodes[-1]), LONG)
            await asyncio.sleep(max(0.0, until_next - loop.time()))


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_with_a_server_killed_every_ten_seconds_the_rules_of_jetstream_hold(cluster, unique):
    run = Run(cluster, unique)
    nodes = [run.node()]
    async with run.node() as sender:
        try:
            await within(nodes[0].transport.start(), LONG)
            await within(run.read(nodes[0]), LONG)
            sending = [asyncio.ensure_future(run.send(sender, name)) for name in AGENTS]
            await run.lose_servers(nodes)
            run.enough.set()
            await within(asyncio.gather(*sending), LONG)
            await asyncio.to_thread(cluster.wait_joined)
            leader = await asyncio.to_thread(cluster.leader, unique)
            await until(
                lambda: stream_of(leader, sender), lambda state: state["messages"] == 0, LONG
            )
            dead = await asyncio.to_thread(cluster.leader, sender.options.dead_letter_stream)
            letters = [
                (str(each.subject).rpartition(".")[2], body_of(each.data or b""))
                for each in await dead_letters(dead, sender)
            ]
            given = [[len(agent.given) for agent in each.values()] for each in run.readers[:-1]]
        finally:
            for node in nodes:
                await within(node.transport.stop())
    for name in AGENTS:
        check(run, name, [body for agent, body in letters if agent == name])
    assert given == [[len(agent.given) for agent in each.values()] for each in run.readers[:-1]]
    for node in (sender, *nodes):
        assert node.failures == []


def check(run: Run, name: str, letters: list[str]) -> None:
    """Check one agent: nothing is lost, nothing out of order, and what is given up is so once."""
    accepted, tried = run.accepted[name], {*run.accepted[name], *run.unknown[name]}
    assert len(accepted) > 100
    processed = run.processed[name]
    assert {body for body in accepted if "poison" not in body} <= set(processed) <= tried
    first = list(dict.fromkeys(processed))
    assert first == sorted(first, key=lambda body: int(body.partition(".")[0]))
    assert {body for body in accepted if "poison" in body} <= set(letters) <= tried
    assert all("poison" in body for body in letters)
    assert len(letters) == len(set(letters))
    attempts = [attempt for each in run.readers for _, attempt in each[name].given]
    assert max(attempts) < MAX_DELIVER
