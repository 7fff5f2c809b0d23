"""Identity: what a node is, is made when it starts, and is nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from civitas import ComponentSet, Runtime, Supervisor
from civitas.client import Client
from civitas.components import build_component_set, wire
from civitas.envelope import Origin
from civitas.errors import ConfigurationError, NotConnectedError
from civitas.plugins import Capabilities, TransportContext, TransportSpec
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.errors import BrokenPluginError
from civitas.plugins.loader import LoadedTransport
from civitas.registry import LocalRegistry
from civitas.serializer import MsgpackSerializer
from civitas.transport import InProcessTransport
from support.agents import SOON, Scripted
from support.commands import printed_by
from support.local_bus.testbed import LocalBus

Factory = Callable[[TransportContext], Any]


def components(make: Factory, **claims: bool) -> ComponentSet:
    """Return components whose transport is made by a plugin with this factory."""
    spec = TransportSpec(
        "t", "A transport", lambda _, context: make(context), capabilities=Capabilities(**claims)
    )
    candidate = Candidate(PluginKind.TRANSPORT, "t", "m", "T", "1", "civitas.v1.transports")
    return wire(LoadedTransport(candidate, spec), None)


def runtime(on: ComponentSet) -> Runtime:
    return Runtime(Supervisor("root", [Scripted("a")]), components=on)


async def test_a_generation_is_the_time_of_the_start() -> None:
    proposed = Origin(b"the node", 1)
    made = ComponentSet(InProcessTransport(), LocalRegistry(), MsgpackSerializer(), origin=proposed)
    async with runtime(made) as node:
        assert made.origin.node == b"the node"
        assert made.origin.generation > 1_700_000_000
        assert made.bus.origin == made.origin
        assert node.stats().node == b"the node".hex()


async def test_the_first_node_has_the_transport_that_was_made_with_it() -> None:
    contexts: list[TransportContext] = []

    def make(context: TransportContext) -> InProcessTransport:
        contexts.append(context)
        return InProcessTransport(context)

    made = components(make)
    async with runtime(made):
        assert [context.node for context in contexts] == [made.origin.node.hex()]


async def test_a_later_node_with_the_same_components_is_another_one_and_has_its_settings() -> None:
    contexts: list[TransportContext] = []

    def make(context: TransportContext) -> InProcessTransport:
        contexts.append(context)
        return InProcessTransport(context)

    made, dropped = components(make), list[str]()
    first = runtime(made)
    first.on_dead_letter(lambda _, reason: dropped.append(reason))
    async with first:
        pass
    async with runtime(made):
        await made.transport.publish("_reply.nobody.1", b"")
    assert [context.node for context in contexts] == [contexts[0].node, made.origin.node.hex()]
    assert contexts[0].node != contexts[1].node
    assert dropped == ["reply without a request"]


async def test_two_nodes_at_once_can_not_have_the_same_components() -> None:
    made = build_component_set()
    async with runtime(made) as first:
        second = runtime(made)
        with pytest.raises(ConfigurationError, match="another node runs with these components"):
            await second.start()
        assert await second.wait() == 1
        await second.stop()
        await first.send("a", {})


async def test_components_are_free_again_after_a_start_that_failed() -> None:
    class Failing(InProcessTransport):
        fails = True

        async def start(self) -> None:
            if self.fails:
                raise NotConnectedError("nobody there")
            await super().start()

    made = components(Failing)
    with pytest.raises(NotConnectedError):
        await runtime(made).start()
    Failing.fails = False
    async with runtime(made) as node:
        await node.send("a", {})


async def test_a_factory_that_fails_to_make_it_anew_fails_the_start_and_nothing_else() -> None:
    made_before: list[TransportContext] = []

    def make(context: TransportContext) -> InProcessTransport:
        made_before.append(context)
        if len(made_before) == 2:
            raise KeyError("no second one")
        return InProcessTransport(context)

    made = components(make)
    async with runtime(made):
        pass
    failing = runtime(made)
    with pytest.raises(BrokenPluginError, match="no second one"):
        await failing.start()
    assert await failing.wait() == 1
    async with runtime(made) as node:
        await node.send("a", {})


async def test_a_control_transport_that_can_not_be_made_leaves_the_components_free() -> None:
    fails = [False, True]  # that of the node, that of its control plane

    def make(context: TransportContext) -> InProcessTransport:
        if fails.pop(0):
            raise KeyError("no control")
        return InProcessTransport(context)

    made = components(make, cross_process=True)
    with pytest.raises(BrokenPluginError, match="no control"):
        await Client(components=made).start()
    assert not made.bus.affinity.bound


async def test_a_client_on_components_without_a_name_is_not_taken_for_the_primary(
    local_bus: LocalBus,
) -> None:
    unnamed = [build_component_set(**local_bus.options(), is_primary=False) for _ in range(2)]
    async with (
        Runtime(Supervisor("root", [Scripted("a")]), **local_bus.options()),
        Client(components=unnamed[0]) as one,
        Client(components=unnamed[1]) as other,
    ):
        for client in (one, other):
            await client.send("a", {})
            await client.delivered("a", SOON)


BY_HAND = """
import asyncio, os
from civitas import AgentProcess, CivitasError, Runtime, Supervisor
from civitas.client import Client
from civitas.plugins import Capabilities
from civitas.transport import InProcessTransport

class Distant(InProcessTransport):
    capabilities = Capabilities(cross_process=True)

nodes = [
    Runtime(Supervisor("root", [AgentProcess("a")]), transport=InProcessTransport()),
    Client(transport=Distant()),
]

async def start(node):
    try:
        async with node:
            return "started"
    except CivitasError as error:
        return str(error)

if not os.fork():
    for node in nodes:
        os.write(1, f"{asyncio.run(start(node))}\\n".encode())
    os._exit(0)
os.wait()
"""


def test_a_transport_made_by_hand_before_a_fork_is_refused_unless_it_stays_in_its_process() -> None:
    stays, crosses = printed_by(BY_HAND).splitlines()
    assert stays == "started"
    assert crosses.startswith("the transport was made by hand, before this process was forked")
