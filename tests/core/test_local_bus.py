"""The local bus, on which the tests of several processes stand, beside what the kit proves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from civitas import Runtime, Supervisor, envelope
from civitas.envelope import Origin
from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.plugins.catalog import PluginKind, scan
from civitas.plugins.loader import load_transport
from support.agents import Scripted, echo
from support.commands import COMMAND, completed
from support.local_bus.broker import Broker
from support.local_bus.options import LONGEST_PATH, LocalBusOptions
from support.local_bus.peers import Peer, peers, soon
from support.local_bus.testbed import BrokerProcess, LocalBus

FRAME = envelope.seal(b"hello", "json", Origin(b"12345678", 1))

# --- found as a plugin ---------------------------------------------------------------------------


def test_this_process_discovers_it(local_bus: LocalBus) -> None:
    loaded = load_transport("local_bus")
    assert loaded.candidate.qualified_name == "local-bus:local_bus"
    assert loaded.spec.capabilities_for(LocalBusOptions(path=local_bus.path)).cross_process


def test_without_the_fixture_there_is_no_such_plugin() -> None:
    assert "local_bus" not in [each.name for each in scan() if each.kind is PluginKind.TRANSPORT]


async def test_a_runtime_names_it_and_its_agents_answer(local_bus: LocalBus) -> None:
    tree = Supervisor("root", [Scripted("a", echo)])
    runtime = Runtime(tree, transport="local_bus", local_bus_path=local_bus.path)
    async with runtime:
        assert Path(local_bus.path).is_socket()
        answer = await runtime.ask("a", {"x": 1})
    assert answer.payload["echo"] == {"x": 1}
    assert not Path(local_bus.path).exists()


@pytest.mark.slow
def test_a_topology_that_names_it_runs_in_a_child_process(
    local_bus: LocalBus, tmp_path: Path
) -> None:
    (tmp_path / "agents.py").write_text(
        "from civitas import AgentProcess\n"
        "class Greeter(AgentProcess):\n"
        "    async def on_start(self):\n"
        "        print('hello from', self.name, flush=True)\n"
        "        await self.stop()\n"
    )
    agent = {"agent": {"name": "greeter", "type": "agents.Greeter"}}
    topology = tmp_path / "topology.yaml"
    tree = {"name": "root", "children": [agent]}
    topology.write_text(json.dumps({"transport": local_bus.block(), "supervision": tree}))
    done = completed(
        COMMAND, "run", "--topology", topology, cwd=tmp_path, **local_bus.environment()
    )
    assert done.returncode == 0, done.stderr
    assert "hello from greeter" in done.stdout


def test_a_path_that_no_socket_can_have_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="107 bytes"):
        LocalBusOptions(path="x" * (LONGEST_PATH + 1))


# --- within a process ----------------------------------------------------------------------------


async def test_an_agent_of_the_same_process_is_reached_without_the_wire(tmp_path: Path) -> None:
    with Broker(tmp_path / "bus") as broker:
        async with peers(broker.path, 1) as [peer]:
            await peer.listen("a")
            await peer.transport.publish("a", FRAME)
            assert peer.got["a"] == [FRAME]
            await peer.transport.wait_ready()
            assert broker.exchange.forwarded == broker.exchange.unrouted == 0


# --- losses on demand ----------------------------------------------------------------------------


async def test_cut_loses_as_many_of_the_next_frames_and_counts_them(tmp_path: Path) -> None:
    async with peers(tmp_path / "bus", 2, is_primary=True) as [receiver, sender]:
        await receiver.listen("a", "b")
        sender.transport.cut(3)
        for address in ("a", "b", "a", "b"):
            await sender.transport.publish(address, FRAME)
        assert await receiver.until("b", 1) == [FRAME]
        assert receiver.got["a"] == []
        assert sender.transport.lost == 3


async def test_frames_of_one_address_are_lost_and_no_others(tmp_path: Path) -> None:
    async with peers(tmp_path / "bus", 2, is_primary=True) as [receiver, sender]:
        await receiver.listen("a", "b")
        sender.transport.lose("a", 2)
        for address in ("a", "b", "a", "a"):
            await sender.transport.publish(address, FRAME)
        assert await receiver.until("a", 1) == [FRAME]
        assert receiver.got["b"] == [FRAME]
        assert sender.transport.lost == 2


# --- the broker comes and goes -------------------------------------------------------------------


async def test_subscriptions_made_while_there_is_no_broker_count_once_there_is(
    tmp_path: Path,
) -> None:
    receiver, sender = Peer(str(tmp_path / "bus")), Peer(str(tmp_path / "bus"))
    starting = [asyncio.create_task(peer.transport.start()) for peer in (receiver, sender)]
    await asyncio.sleep(0)
    listening = asyncio.create_task(receiver.listen("a"))
    with pytest.raises(NotConnectedError):
        await sender.transport.publish("a", FRAME)
    with Broker(tmp_path / "bus"):
        await soon(asyncio.gather(*starting, listening))
        await sender.transport.publish("a", FRAME)
        assert await receiver.until("a", 1) == [FRAME]
        assert sender.told == []
        for peer in (receiver, sender):
            await soon(peer.transport.stop())


@pytest.mark.slow
async def test_a_broker_that_stands_still_holds_up_neither_senders_nor_stop_for_ever(
    tmp_path: Path,
) -> None:
    async def fill() -> None:
        while True:
            with contextlib.suppress(OutcomeUnknownError):  # of the one that is under way
                await sender.transport.publish("a", bytes(1 << 20))

    with BrokerProcess(tmp_path / "bus") as broker:
        async with peers(broker.path, 1) as [sender]:
            await soon(sender.transport.wait_ready())
            broker.pause()
            with pytest.raises(NotConnectedError, match="no answer from the broker at .* for 5 s"):
                await soon(fill())
            await soon(sender.transport.stop())
        broker.resume()
        assert broker.stop() == 0
