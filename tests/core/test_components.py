"""Components: what a node gives to the transports that it has made for it."""

from __future__ import annotations

import pytest

from civitas.components import build_component_set, wire
from civitas.plugins import Capabilities, TransportContext, TransportSpec
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.loader import LoadedTransport
from civitas.transport import InProcessTransport


class Claiming(InProcessTransport):
    """A transport made by hand with a claim."""

    capabilities = Capabilities(at_least_once=True)  # type: ignore[misc]


def plugin(contexts: list[TransportContext], claims: Capabilities) -> LoadedTransport:
    """Return a loaded plugin that keeps the contexts it was given."""

    def make(_options: None, context: TransportContext) -> InProcessTransport:
        contexts.append(context)
        return InProcessTransport(context)

    spec = TransportSpec("kept", "Keeps its contexts", make, capabilities=claims)
    group = "civitas.v1.transports"
    return LoadedTransport(Candidate(PluginKind.TRANSPORT, "kept", "m", "Kept", "1", group), spec)


def test_the_control_planes_own_instance_is_told_that_it_is_that() -> None:
    contexts: list[TransportContext] = []
    made = wire(plugin(contexts, Capabilities(cross_process=True)), None)
    assert made.config.make_control is not None
    made.config.make_control(lambda reason: None, lambda: None, lambda reason, frame: None)
    assert [context.control for context in contexts] == [False, True]
    assert [context.is_primary for context in contexts] == [True, False]


@pytest.mark.parametrize("durable", [False, True])
def test_the_bus_knows_whether_its_transport_is_at_least_once(durable: bool) -> None:
    by_plugin = wire(plugin([], Capabilities(at_least_once=durable)), None)
    by_hand = build_component_set(Claiming() if durable else InProcessTransport())
    assert by_plugin.bus.durable is by_hand.bus.durable is durable
