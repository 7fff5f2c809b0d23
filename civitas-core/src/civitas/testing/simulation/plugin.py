"""The plugin that offers the simulated transport, to the topologies that a simulation runs."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from civitas.errors import ConfigurationError
from civitas.plugins import Capabilities, TransportContext, TransportSpec, hookimpl
from civitas.testing.simulation import world as worlds
from civitas.testing.simulation.dead_letter_store import SimulatedDeadLetterStore
from civitas.testing.simulation.durable_transport import DurableTransport
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.stream_server import DurabilitySettings, StreamServer
from civitas.testing.simulation.transport import SimulatedTransport
from civitas.testing.simulation.world import World


class SimulationOptions(BaseModel):
    """The keys of a `transport:` block of type `simulation`."""

    model_config = ConfigDict(extra="forbid")

    at_least_once: bool = Field(False, description="keep messages until they are processed")
    ack_wait: float = Field(4.0, gt=0, description="seconds of silence until one is given again")
    deliveries: int = Field(3, gt=0, description="failures that make one a dead letter")
    retry_delay: float = Field(0.2, ge=0, description="seconds until one is given again")
    max_message_bytes: int | None = Field(None, gt=0, description="largest frame that it carries")


def network_of(world: World) -> SimulatedNetwork:
    """Return the network of a world."""
    network = world.parts.get(SimulatedNetwork)
    if network is None:
        network = world.parts[SimulatedNetwork] = SimulatedNetwork(world)
    assert isinstance(network, SimulatedNetwork)
    return network


def server_of(world: World, settings: DurabilitySettings | None = None) -> StreamServer:
    """Return the server of a world that keeps messages; the first who asks says how."""
    server = world.parts.get(StreamServer)
    if server is None:
        server = StreamServer(network_of(world), settings or DurabilitySettings())
        world.parts[StreamServer] = server
    assert isinstance(server, StreamServer)
    return server


def make_transport(options: SimulationOptions, context: TransportContext) -> SimulatedTransport:
    """Make the transport of the node whose process has its turn now.

    Raises:
        ConfigurationError: there is no simulation.
    """
    world, process = _running()
    number = world.number()
    if not options.at_least_once:
        return SimulatedTransport(
            network_of(world), process, context, number, options.max_message_bytes
        )
    server = server_of(world, _settings(options))
    return DurableTransport(
        network_of(world), server, process, context, number, options.max_message_bytes
    )


def make_dead_letters(
    options: SimulationOptions, context: TransportContext
) -> SimulatedDeadLetterStore:
    """Make the dead-letter store for the process that has its turn now.

    Raises:
        ConfigurationError: there is no simulation, or nothing is kept.
    """
    world, process = _running()
    if not options.at_least_once:
        raise ConfigurationError("nothing is kept: the option at_least_once is off")
    server = server_of(world, _settings(options))
    return SimulatedDeadLetterStore(network_of(world), server, process, context, world.number())


def _running() -> tuple[World, SimulatedProcess]:
    world = worlds.current
    process = world.running if world is not None else None
    if world is None or process is None:
        raise ConfigurationError(
            "transport 'simulation' works in a simulation only: see civitas.testing.simulation"
        )
    return world, process


def _settings(options: SimulationOptions) -> DurabilitySettings:
    return DurabilitySettings(options.ack_wait, options.deliveries, options.retry_delay)


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `simulation`."""
    yield TransportSpec(
        name="simulation",
        summary="A simulated network, for tests with virtual time and seeded faults",
        factory=make_transport,
        options=SimulationOptions,
        capabilities=lambda options: Capabilities(
            cross_process=True,
            cross_machine=True,
            at_least_once=options.at_least_once,
            max_message_bytes=options.max_message_bytes,
            survives_broker_restart=True,
        ),
        dead_letters=make_dead_letters,
    )
