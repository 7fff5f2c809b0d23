"""Crashes on messages that were given again: the transport's limit ends them, not the tree's."""

from __future__ import annotations

from typing import Any

import pytest

from civitas import Message, Runtime, Supervisor, Worker, envelope
from civitas._agents.states import CRASHED_AGAIN
from civitas._supervision.remote import AgentReport, RemoteAgent, RemoteChild
from civitas._supervision.remote_state import RemoteStatus
from civitas.components import build_component_set
from civitas.errors import RemoteCrashError
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, until
from support.ledger import Ledger

CLOSELY = {
    "heartbeat_interval": 0.05,
    "heartbeat_timeout": 0.5,
    "missed_heartbeats_threshold": 10,
}
DELIVERIES = 5


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here claims a name twice."""
    monkeypatch.setattr("civitas._cluster.discovery.CLAIM_WINDOW", 0.02)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(max_deliver=DELIVERIES)


async def poisoned(agent: Scripted, message: Message) -> Message | None:
    """Crash on poison; answer a question."""
    if "poison" in message.payload:
        raise ValueError("poison")
    return agent.reply({}) if message.reply_to else None


def tree(*children: Any, **supervision: Any) -> Supervisor:
    return Supervisor("root", children, **{"backoff_base": 0.0, **supervision})


async def given_up(runtime: Runtime, ledger: Ledger, poisons: int) -> None:
    """Send poison, and return when the agent has survived all that it came to."""
    for _ in range(poisons):
        await runtime.send("a", {"poison": True})
    await until(lambda: len(ledger.dead_letters) == poisons)
    await runtime.ask("a", {}, timeout=SOON)


async def test_a_message_that_crashes_its_agent_each_time_counts_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    root = tree(Scripted("a", poisoned), max_restarts=2)
    async with Runtime(root, transport=ledger.transport()) as runtime:
        await given_up(runtime, ledger, 2)
        assert runtime.stats().restarts == 2 * DELIVERIES
        assert runtime.failure is None
    assert caplog.text.count("(on a message that was given again: not counted)") == 8
    assert caplog.text.count("(2 of 2)") == 1


async def test_a_first_crash_too_many_still_makes_the_supervisor_give_up(ledger: Ledger) -> None:
    root = tree(Scripted("a", poisoned), max_restarts=1)
    async with Runtime(root, transport=ledger.transport()) as runtime:
        for _ in range(2):
            await runtime.send("a", {"poison": True})
        assert await runtime.wait() == 1
    assert len(ledger.dead_letters) == 1
    assert len(ledger.kept("a")) == 1


async def test_the_backoff_grows_with_the_crashes_that_do_not_count(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    root = tree(Scripted("a", poisoned), backoff="LINEAR", backoff_base=0.01, max_restarts=1)
    async with Runtime(root, transport=ledger.transport()) as runtime:
        await given_up(runtime, ledger, 1)
    for crash in range(1, DELIVERIES + 1):
        assert f"restarting in {crash / 100:.2g} s (" in caplog.text


@pytest.mark.parametrize("heard_by", ["report", "states"])
async def test_so_it_is_for_an_agent_of_another_process(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, heard_by: str
) -> None:
    if heard_by == "states":
        monkeypatch.setattr(
            "civitas._cluster.cluster.Cluster.report_crash", lambda *_args, **_kwargs: None
        )
    root = tree(max_restarts=2)
    root.add_remote_child("a", **CLOSELY)
    away = build_component_set(ledger.transport(), process="w", is_primary=False)
    async with (
        Runtime(root, transport=ledger.transport()) as runtime,
        Worker([Scripted("a", poisoned)], components=away) as worker,
    ):
        await until(lambda: runtime.components.registry.has("a"))
        await given_up(runtime, ledger, 2)
        assert worker.stats().restarts == 2 * DELIVERIES
        assert runtime.failure is None


async def test_the_attempts_that_a_frame_tells_of_excuse_no_crash_on_another_transport() -> None:
    async with Runtime(tree(Scripted("a", poisoned), max_restarts=0)) as runtime:
        components = runtime.components
        body = components.serializer.serialize(Message(payload={"poison": True}))
        frame = envelope.seal(body, "msgpack", components.origin, attempt=3)
        await components.transport.publish("a", frame)
        assert await runtime.wait() == 1


@pytest.mark.parametrize(
    ("state", "redelivered"), [(ProcessStatus.CRASHED.value, False), (CRASHED_AGAIN, True)]
)
async def test_a_crash_that_is_known_by_a_state_alone_is_told_of_once(
    state: str, redelivered: bool
) -> None:
    exits: list[tuple[str, bool]] = []
    command: Any = None
    agent = RemoteAgent(
        RemoteChild("a"),
        command,
        lambda agent: exits.append((agent.name, agent.redelivered)),
        failed=exits.append,  # type: ignore[arg-type]
    )
    agent.reported("01", AgentReport(ProcessStatus.RUNNING.value, 3))
    await agent.start()
    agent.reported("01", AgentReport(state, 3))
    crash = RemoteCrashError("ValueError: no")
    agent.reported("01", AgentReport(ProcessStatus.CRASHED.value, 3, crash, not redelivered))
    assert exits == [("a", redelivered)]
    assert agent.status is RemoteStatus.CRASHED
