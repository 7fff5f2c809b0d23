"""The local bus, on which the tests of several processes stand."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from civitas import Runtime, Supervisor, envelope
from civitas.envelope import Origin
from civitas.errors import MessageTooLargeError, NotConnectedError
from civitas.plugins.catalog import PluginKind, scan
from civitas.plugins.loader import load_transport
from support.agents import Scripted, echo
from support.local_bus.broker import Broker
from support.local_bus.options import LONGEST_PATH, LocalBusOptions
from support.local_bus.peers import peers, soon
from support.local_bus.testbed import DEADLINE, BrokerProcess, LocalBus, environment

SYSTEM = "_agency.news"
FRAME = envelope.seal(b"hello", "json", Origin(b"12345678", 1))

ANSWERER = """
import asyncio, sys
from civitas import envelope
from civitas.transport import published_at
from support.local_bus.options import LocalBusOptions
from support.local_bus.transport import LocalBusTransport

async def main():
    done = asyncio.Event()
    transport = LocalBusTransport(LocalBusOptions(path=sys.argv[1], start_broker=False))

    async def answer(frame):
        reply_to = envelope.reply_to_of(frame)
        if reply_to:
            await transport.publish(published_at(reply_to), frame)
        else:
            done.set()

    await transport.start()
    await transport.subscribe("oracle", answer)
    print("started", flush=True)
    await transport.wait_ready()
    print("ready", flush=True)
    await done.wait()
    await transport.stop()

asyncio.run(main())
"""


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
def test_a_child_process_discovers_it(local_bus: LocalBus) -> None:
    command = [str(Path(sys.executable).with_name("civitas")), "plugins", "list", "--json"]
    told = subprocess.run(
        command, env=local_bus.environment(), check=True, capture_output=True, timeout=DEADLINE
    )
    plugins = {each["name"]: each for each in json.loads(told.stdout)}
    assert plugins["local_bus"]["state"] == "ok"
    assert plugins["local_bus"]["distribution"] == "local-bus"


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
    command = [str(Path(sys.executable).with_name("civitas")), "run", "--topology", str(topology)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=local_bus.environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    assert "hello from greeter" in done.stdout


def test_a_path_that_no_socket_can_have_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="107 bytes"):
        LocalBusOptions(path="x" * (LONGEST_PATH + 1))


# --- between processes ---------------------------------------------------------------------------


@pytest.mark.slow
async def test_two_processes_exchange_requests_whichever_starts_first(tmp_path: Path) -> None:
    path = str(tmp_path / "bus")
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ANSWERER, path),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        assert await soon(child.stdout.readline()) == b"started\n"
        async with peers(path, 1, is_primary=True) as [primary]:
            assert await soon(child.stdout.readline()) == b"ready\n"
            answers = await asyncio.gather(
                *(primary.transport.request("oracle", FRAME + b"%d" % n, DEADLINE) for n in (1, 2))
            )
            assert [answer[-1:] for answer in answers] == [b"1", b"2"]
            await primary.transport.publish("oracle", FRAME)
            assert await soon(child.wait()) == 0
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def test_a_system_address_reaches_all_alike_the_sender_too(tmp_path: Path) -> None:
    async with peers(tmp_path / "bus", 2, is_primary=True) as both:
        for peer in both:
            await peer.listen(SYSTEM)
        await both[0].transport.publish(SYSTEM, FRAME)
        assert [await peer.until(SYSTEM, 1) for peer in both] == [[FRAME], [FRAME]]


async def test_an_agent_of_the_same_process_is_reached_without_the_wire(tmp_path: Path) -> None:
    with Broker(tmp_path / "bus") as broker:
        async with peers(broker.path, 1) as [peer]:
            await peer.listen("a")
            await peer.transport.publish("a", FRAME)
            assert peer.got["a"] == [FRAME]
            await peer.transport.wait_ready()
            assert broker.exchange.forwarded == broker.exchange.unrouted == 0


async def test_a_second_instance_works_in_a_thread_with_its_own_loop(tmp_path: Path) -> None:
    async def elsewhere() -> list[bytes]:
        async with peers(tmp_path / "bus", 1) as [other]:
            await other.listen(SYSTEM)
            await other.transport.publish(SYSTEM, FRAME)
            return await other.until(SYSTEM, 1)

    async with peers(tmp_path / "bus", 1, is_primary=True) as [peer]:
        await peer.listen(SYSTEM)
        assert await asyncio.to_thread(asyncio.run, elsewhere()) == [FRAME]
        assert await peer.until(SYSTEM, 1) == [FRAME]


async def test_a_frame_too_large_is_refused_and_names_the_option(tmp_path: Path) -> None:
    async with peers(tmp_path / "bus", 1, is_primary=True, max_message_bytes=9) as [peer]:
        with pytest.raises(MessageTooLargeError, match="see its option max_message_bytes"):
            await peer.transport.publish("a", b"x" * 10)


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


async def test_after_a_restart_of_the_broker_all_subscriptions_are_back(tmp_path: Path) -> None:
    with Broker(tmp_path / "bus") as broker:
        async with peers(broker.path, 2) as [receiver, sender]:
            await receiver.listen("a")
            broker.stop()
            for peer in (receiver, sender):
                await soon(peer.down.wait())
            with pytest.raises(NotConnectedError, match="no connection to the broker"):
                await sender.transport.publish("a", FRAME)
            broker.start()
            for peer in (receiver, sender):
                await soon(peer.up.wait())
            await sender.transport.publish("a", FRAME)
            assert await receiver.until("a", 1) == [FRAME]
            assert receiver.told == sender.told == ["down", "up"]


@pytest.mark.slow
async def test_a_killed_broker_is_replaced_in_spite_of_the_socket_it_left(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path / "bus")
    with broker:
        async with peers(broker.path, 2) as [receiver, sender]:
            await receiver.listen("a")
            broker.kill()
            assert Path(broker.path).is_socket()
            await soon(sender.down.wait())
            broker.start()
            for peer in (receiver, sender):
                await soon(peer.up.wait())
            await sender.transport.publish("a", FRAME)
            assert await receiver.until("a", 1) == [FRAME]


async def test_subscriptions_made_while_there_is_no_broker_count_once_there_is(
    tmp_path: Path,
) -> None:
    async with peers(tmp_path / "bus", 2) as [receiver, sender]:
        listening = asyncio.create_task(receiver.listen("a"))
        with pytest.raises(NotConnectedError):
            await sender.transport.publish("a", FRAME)
        with Broker(tmp_path / "bus"):
            await soon(listening)
            await soon(sender.transport.wait_ready())
            await sender.transport.publish("a", FRAME)
            assert await receiver.until("a", 1) == [FRAME]
            assert sender.told == []
            for peer in (receiver, sender):
                await soon(peer.transport.stop())


async def test_stopping_ends_the_wait_for_a_broker_that_never_came(tmp_path: Path) -> None:
    async with peers(tmp_path / "bus", 1) as [peer]:
        waiting = asyncio.create_task(peer.transport.wait_ready())
        await asyncio.sleep(0)
        await soon(peer.transport.stop())
        with pytest.raises(NotConnectedError):
            await soon(waiting)


@pytest.mark.slow
async def test_a_broker_that_stands_still_holds_up_neither_senders_nor_stop_for_ever(
    tmp_path: Path,
) -> None:
    async def fill() -> None:
        while True:
            await sender.transport.publish("a", bytes(1 << 20))

    with BrokerProcess(tmp_path / "bus") as broker:
        async with peers(broker.path, 1) as [sender]:
            await soon(sender.transport.wait_ready())
            broker.pause()
            with pytest.raises(NotConnectedError, match="took nothing for 5 s"):
                await soon(fill())
            await soon(sender.transport.stop())
        broker.resume()
        assert broker.stop() == 0
