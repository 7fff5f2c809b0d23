"""Parts of a node that fail: the node ends with that failure, and says so."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor, Worker
from civitas._agents.slot import AgentSlot
from civitas._cluster.data_plane import DataPlane
from civitas.client import Client
from civitas.components import build_component_set
from civitas.errors import OutcomeUnknownError, TaskFailedError, describe
from civitas.plugins import Capabilities
from civitas.transport import InProcessTransport
from support.agents import SOON, Scripted, echo, fail, until
from support.failing import DEFECTS, PanicError, cancel, raising
from support.local_bus.broker import Broker
from support.local_bus.testbed import LocalBus


@pytest.fixture
def bus(local_bus: LocalBus) -> Any:
    """A local bus whose broker runs by itself, so that nodes may come in any order."""
    with Broker(local_bus.path):
        yield local_bus


async def ended(node: Runtime | Worker, caplog: pytest.LogCaptureFixture) -> str:
    """Return why a node has failed, once it has ended, and logged it."""
    async with asyncio.timeout(SOON):
        code = await (node.wait() if isinstance(node, Runtime) else node.wait_until_stopped())
    assert code == 1
    assert isinstance(node.failure, TaskFailedError)
    (record,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert str(node.failure) in record.message
    assert record.exc_info
    return str(node.failure)


@pytest.mark.parametrize("kind", ["runtime", "worker"])
async def test_the_probes(kind: str, bus: LocalBus, caplog: pytest.LogCaptureFixture) -> None:
    agents = [Scripted("a", echo)]
    node: Runtime | Worker = (
        Runtime(Supervisor("root", agents), **bus.options())
        if kind == "runtime"
        else Worker(agents, **bus.options())
    )
    await node.start()
    cancel("civitas probes")
    text = await ended(node, caplog)
    assert text == "'civitas probes' has ended unexpectedly: CancelledError"


@pytest.mark.parametrize("kind", DEFECTS)
async def test_the_beat(
    kind: type[BaseException],
    bus: LocalBus,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Runtime(Supervisor("root", [Scripted("a")]), **bus.options())
    await runtime.start()
    monkeypatch.setattr(DataPlane, "probe", raising(kind("a defect")))
    assert "'civitas beat'" in await ended(runtime, caplog)


async def test_an_event_of_the_membership(
    bus: LocalBus,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Runtime(Supervisor("root", [Scripted("a")]), **bus.options())
    await runtime.start()
    monkeypatch.setattr(DataPlane, "stall_heard", raising(SystemExit("a defect")))
    async with Worker([Scripted("b")], **bus.options()):
        text = await ended(runtime, caplog)
    assert text == "'civitas control events' has ended unexpectedly: SystemExit: a defect"


async def test_a_control_plane_without_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    class Shared(InProcessTransport):
        capabilities = Capabilities(cross_process=True)  # type: ignore[misc]

    runtime = Runtime(
        Supervisor("root", [Scripted("a")]), components=build_component_set(transport=Shared())
    )
    await runtime.start()
    cancel("civitas control")
    assert "'civitas control' has ended unexpectedly" in await ended(runtime, caplog)


@pytest.mark.parametrize("kind", DEFECTS)
async def test_a_restart(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Supervisor("root", [Scripted("a", fail), Scripted("b")], backoff_base=0.0)
    runtime = Runtime(root)
    await runtime.start()
    monkeypatch.setattr(AgentSlot, "start", raising(kind("a defect")))
    await runtime.send("a", {})
    text = await ended(runtime, caplog)
    assert text == f"'supervisor root' has ended unexpectedly: {kind.__name__}: a defect"


@pytest.mark.parametrize("kind", ["runtime", "worker"])
async def test_the_retirement_of_an_agent_that_is_done(
    kind: str,
    bus: LocalBus,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Done(AgentProcess):
        async def handle(self, message: Message) -> None:
            await self.stop()

    agents = [Done("done"), Scripted("b")]
    node: Runtime | Worker = (
        Runtime(Supervisor("root", agents), **bus.options())
        if kind == "runtime"
        else Worker(agents, **bus.options())
    )
    await node.start()
    retire, fails = AgentSlot.retire, [True]

    async def once(slot: AgentSlot) -> None:
        if fails:
            fails.clear()
            raise SystemExit("a defect")
        await retire(slot)

    monkeypatch.setattr(AgentSlot, "retire", once)
    if isinstance(node, Runtime):
        await node.send("done", {})
    else:
        async with Client(**bus.options()) as client:
            await client.send("done", {})
    assert "SystemExit: a defect" in await ended(node, caplog)


async def test_a_command(
    bus: LocalBus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Supervisor("root", backoff_base=0.0)
    root.add_remote_child("far")
    worker = Worker([Scripted("far", fail)], **bus.options())
    runtime = Runtime(root, **bus.options())
    await worker.start()
    await runtime.start()
    monkeypatch.setattr(AgentSlot, "start", raising(PanicError("a defect")))
    await runtime.send("far", {})
    await until(lambda: worker.failure is not None)
    monkeypatch.undo()
    assert "'civitas command'" in await ended(worker, caplog)
    await runtime.stop()


@pytest.mark.parametrize("kind", DEFECTS)
async def test_the_stop_itself(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = InProcessTransport()
    runtime = Runtime(
        Supervisor("root", [Scripted("a")]), components=build_component_set(transport=transport)
    )
    await runtime.start()
    monkeypatch.setattr(AgentSlot, "retire", raising(kind("a defect")))
    with pytest.raises(Exception, match="a defect"):
        await runtime.stop()
    assert await runtime.wait() == 1
    assert runtime.failure is not None
    assert describe(runtime.failure) == (kind.__name__, "a defect")
    assert "'civitas stop'" in caplog.text
    assert "a" not in transport  # which is stopped all the same


async def test_a_failure_while_a_node_starts_ends_the_start(bus: LocalBus) -> None:
    starting = asyncio.Event()

    class Slow(AgentProcess):
        async def on_start(self) -> None:
            starting.set()
            await asyncio.Event().wait()

    runtime = Runtime(Supervisor("root", [Slow("slow")]), **bus.options())
    start = asyncio.create_task(runtime.start())
    await starting.wait()
    cancel("civitas probes")
    with pytest.raises(TaskFailedError, match="civitas probes"):
        await start
    assert await runtime.wait() == 1


async def test_a_client_that_waits_for_an_answer_hears_why_there_is_none(bus: LocalBus) -> None:
    handling = asyncio.Event()

    class Silent(AgentProcess):
        async def handle(self, message: Message) -> None:
            handling.set()
            await asyncio.Event().wait()

    runtime = Runtime(Supervisor("root", [Silent("silent", shutdown_timeout=0.1)]), **bus.options())
    async with runtime, Client(**bus.options()) as client:
        asked = asyncio.create_task(client.ask("silent", {}, timeout=None))
        await handling.wait()
        client.components.config.failed(ValueError("a defect"))
        async with asyncio.timeout(SOON):
            with pytest.raises(OutcomeUnknownError, match="this node has failed: a defect"):
                await asked
    assert isinstance(client.failure, ValueError)
