"""DataPlane: the routes to the agents of other nodes follow what these announce."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from civitas import Message, envelope
from civitas._bus.bus import MessageBus
from civitas._bus.mailbox import Mailbox
from civitas._bus.windows import WINDOW
from civitas._cluster.codec import DATA, decode, encode
from civitas._cluster.data_plane import DataPlane
from civitas._cluster.events import NodeLost
from civitas._cluster.protocol import (
    Credit,
    DataMessage,
    LastNumber,
    NodeInfo,
    Probe,
    ProbeAnswer,
    Unused,
    data_address,
)
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import OutcomeUnknownError
from civitas.registry import LocalRegistry
from civitas.serializer import MsgpackSerializer
from civitas.transport import InProcessTransport
from support.one_thread import at_each_collection

THERE = "22" * 8
ELSEWHERE = "33" * 8


def info(node: str, *agents: str, **options: Any) -> NodeInfo:
    states = dict.fromkeys(agents, ("running", 0))
    return NodeInfo(node, 1, f"process {node[:2]}", "worker", states, settled=True, **options)


def frame(node: str, *, number: int = 0) -> bytes:
    origin = Origin(bytes.fromhex(node), 1)
    return envelope.seal(b"", "msgpack", origin, kind=KIND_SYSTEM, number=number)


class Here:
    """The data plane of one node, to which the test speaks."""

    def __init__(self, *, windowed: bool = True) -> None:
        self.bus = MessageBus(InProcessTransport(), LocalRegistry(), MsgpackSerializer())
        self.reached: list[NodeInfo] = []
        self.failures: list[BaseException] = []
        self.plane = DataPlane(
            self.bus, windowed=windowed, on_reached=self.reached.append, failed=self.failures.append
        )

    def meet(self, *nodes: NodeInfo) -> Here:
        """Meet nodes, with the routes to them proved."""
        for each in nodes:
            self.plane.node_seen(each)
            self.hear(each.node, Probe(fresh=True))
            self.hear(each.node, ProbeAnswer())
        return self

    def hear(self, node: str, message: DataMessage) -> None:
        self.plane.probes.take(encode(message, Origin(bytes.fromhex(node), 1)))

    def node_of(self, agent: str) -> str | None:
        route = self.bus.routes.get(agent)
        return None if route is None else route.node


def test_agents_can_be_sent_to_when_the_route_is_proved_and_not_before() -> None:
    here = Here()
    here.plane.node_seen(info(THERE, "a"))
    assert here.node_of("a") is None
    here.hear(THERE, ProbeAnswer())
    assert here.node_of("a") == THERE
    assert here.reached == [info(THERE, "a")]
    assert here.bus.registry.has("a")


async def test_who_probes_is_probed_once_until_the_next_beat_unless_its_route_is_proved() -> None:
    """It may not have known this node when that probed it last."""
    here, said = Here(), list[DataMessage]()

    async def hear(data: bytes) -> None:
        said.append(decode(data, DATA)[1])

    async def said_to(*probes: DataMessage) -> list[DataMessage]:
        said.clear()
        for each in probes:
            here.hear(THERE, each)
        await here.plane.probes.start()
        await here.plane.probes.stop()
        await transport.unsubscribe(data_address(here.bus.origin.node.hex()))
        return list(said)

    transport = here.bus.transport
    await transport.start()
    await transport.subscribe(data_address(THERE), hear)
    assert await said_to(Probe()) == [], "to a node that is not known nothing is said"
    own, answer = Probe(fresh=True), ProbeAnswer()
    here.plane.node_seen(info(THERE, "a"))
    assert await said_to(Probe(), Probe()) == [own, answer, own, answer]
    here.plane.probe()
    assert await said_to(Probe()) == [own, answer, own]
    assert await said_to(answer, Probe()) == [answer]
    await transport.stop()


def test_an_agent_that_moved_stays_known_when_its_old_node_goes() -> None:
    here = Here().meet(info(THERE, "a"), info(ELSEWHERE, "a"))
    assert here.node_of("a") == ELSEWHERE
    here.plane.node_lost(NodeLost(info(THERE, "a"), "it stopped", died=False))
    assert here.node_of("a") == ELSEWHERE
    assert here.bus.registry.has("a")


async def test_late_credit_of_a_node_that_an_agent_has_left_counts_for_nothing() -> None:
    here = Here().meet(info(THERE, "a"), info(ELSEWHERE, "a"))
    route = here.bus.routes.get("a")
    assert route is not None
    assert route.window is not None
    for _ in range(5):
        await route.number(1.0)
    here.hear(THERE, Credit("a", 5))
    assert route.window.outstanding == 5
    here.hear(ELSEWHERE, Credit("a", 5))
    assert route.window.outstanding == 0


@pytest.mark.parametrize("number", [-1, -(2**63), WINDOW + 2, 2**64 - 1])
async def test_a_number_that_can_not_be_true_opens_no_window_and_is_counted(number: int) -> None:
    here = Here().meet(info(THERE, "a"))
    await here.bus.attach(Mailbox("mine"))
    route = here.bus.routes.get("a")
    assert route is not None
    assert route.window is not None
    await route.number(1.0)
    here.hear(THERE, Credit("a", number))
    here.hear(THERE, LastNumber("mine", number))
    here.hear(THERE, Unused("mine", number))
    assert route.window.outstanding == 1
    assert here.bus.accounting is not None
    assert here.bus.accounting.seen(bytes.fromhex(THERE), "mine") == 0
    assert here.bus.dead_letters.counts == {"a number that can't be true": 2}


async def test_credit_and_numbers_that_are_said_again_change_nothing() -> None:
    here = Here().meet(info(THERE, "a"))
    await here.bus.attach(Mailbox("mine"))
    route = here.bus.routes.get("a")
    assert route is not None
    assert route.window is not None
    for _ in range(9):
        await route.number(1.0)
    accounting = here.bus.accounting
    assert accounting is not None
    for number in (1, 4):
        accounting.arrived(frame(THERE, number=number), number, "mine")
    for _ in range(3):
        here.hear(THERE, Credit("a", 5))
        here.hear(THERE, Credit("a", 3))
        here.hear(THERE, Unused("mine", 2))
        here.hear(THERE, LastNumber("mine", 4))
        assert route.window.outstanding == 4
        assert accounting.lost == {"mine": 1}
    assert here.bus.dead_letters.counts == {}


async def test_a_gap_whose_sender_had_given_up_is_no_loss() -> None:
    here = Here().meet(info(THERE, "a"))
    await here.bus.attach(Mailbox("mine"))
    accounting = here.bus.accounting
    assert accounting is not None
    for number in (1, 3, 6):
        accounting.arrived(frame(THERE, number=number), number, "mine")
    assert accounting.lost == {"mine": 3}
    for agent, number in (("mine", 2), ("mine", 5), ("mine", 6), ("nobody", 4)):
        here.hear(THERE, Unused(agent, number))
    assert accounting.lost == {"mine": 1}


async def test_numbers_that_were_given_back_too_late_are_reported_to_the_agents_node() -> None:
    here = Here().meet(info(THERE, "a"))
    route = here.bus.routes.get("a")
    assert route is not None
    first, _second = await route.number(1.0), await route.number(1.0)
    route.give_back(first)
    said: list[DataMessage] = []

    async def hear(data: bytes) -> None:
        said.append(decode(data, DATA)[1])

    transport = here.bus.transport
    await transport.start()
    await transport.subscribe(data_address(THERE), hear)
    for _ in range(2):
        here.plane.ask_for_credit()
    await here.plane.probes.start()
    await here.plane.probes.stop()
    assert [each for each in said if isinstance(each, Unused)] == [Unused("a", first)]
    await transport.stop()


def test_a_node_that_was_only_silent_is_counted_where_it_was() -> None:
    here = Here().meet(info(THERE, "a"))
    accounting = here.bus.accounting
    assert accounting is not None
    for number in range(1, 6):
        accounting.arrived(frame(THERE, number=number), number, "mine")
    here.plane.node_lost(NodeLost(info(THERE, "a"), "silent", died=True, final=False))
    assert here.node_of("a") is None
    accounting.arrived(frame(THERE, number=9), 9, "mine")
    assert accounting.lost == {"mine": 3}


def test_a_node_that_has_gone_for_good_is_forgotten() -> None:
    here = Here().meet(info(THERE, "a"))
    accounting = here.bus.accounting
    assert accounting is not None
    accounting.arrived(frame(THERE, number=1), 1, "mine")
    here.plane.node_lost(NodeLost(info(THERE, "a"), "dead", died=True))
    accounting.arrived(frame(THERE, number=9), 9, "mine")
    assert not accounting.lost


def test_silent_nodes_are_not_remembered_without_end() -> None:
    here = Here()
    accounting = here.bus.accounting
    assert accounting is not None
    nodes = [f"{number:016x}" for number in range(1, 18)]
    for node in nodes:
        here.meet(info(node))
        accounting.arrived(frame(node, number=1), 1, "mine")
        here.plane.node_lost(NodeLost(info(node), "silent", died=True, final=False))
    accounting.arrived(frame(nodes[0], number=9), 9, "mine")
    assert not accounting.lost
    accounting.arrived(frame(nodes[1], number=9), 9, "mine")
    assert accounting.lost == {"mine": 7}


def test_a_clock_that_agrees_again_is_not_corrected_any_more() -> None:
    codec = Here().bus.codec
    body = MsgpackSerializer().serialize(Message(timestamp=100.0))
    sent = envelope.seal(body, "msgpack", Origin(bytes.fromhex(THERE), 1))
    codec.clock_seen(THERE, -20.0)
    assert codec.read(sent).timestamp == 120.0
    codec.clock_seen(THERE, 0.001)
    assert codec.read(sent).timestamp == 100.0


def test_the_end_closes_all_routes() -> None:
    here = Here().meet(info(THERE, "a"), info(ELSEWHERE, "b"))
    here.plane.close(())
    assert here.bus.routes.remote() == []
    assert here.bus.registry.all_names() == []


async def test_what_was_asked_of_an_agent_that_is_done_fails_soon_and_not_at_its_timeout() -> None:
    here = Here().meet(info(THERE, "a", "b"))
    route = here.bus.routes.get("a")
    assert route is not None

    async def ask() -> None:
        with route.requesting():
            await asyncio.Event().wait()

    asking = asyncio.ensure_future(ask())
    await asyncio.sleep(0)
    here.plane.node_seen(
        replace(info(THERE, "b"), agents={"a": ("STOPPED", 0), "b": ("RUNNING", 0)})
    )
    with pytest.raises(OutcomeUnknownError, match="takes no more messages"):
        await asyncio.wait_for(asking, 10)
    assert here.node_of("b") == THERE


def test_another_thread_may_read_what_is_known_while_a_node_announces_more_agents() -> None:
    here = Here().meet(info(THERE, *(f"a{number}" for number in range(20))))
    names = (f"b{number}" for number in range(1_000))
    at_each_collection(
        here.plane.stats, lambda: here.plane.node_seen(info(THERE, next(names), revision=1))
    )
    assert len(here.plane.stats()[0].agents) > 20
