"""Bare seven-method transports in Runtime and Worker, with a reply scheme of their own."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from civitas import Runtime, Supervisor, Worker
from civitas._bus.accounting import ReceiveAccounting
from civitas._bus.mailbox import Mailbox
from civitas._bus.receivers import NumberedReceiver
from civitas.components import build_component_set
from civitas.errors import AgentError, MessageRoutingError
from civitas.serializer import JsonSerializer, MsgpackSerializer
from support.agents import SOON, Gate, Scripted, echo, fail, fill
from support.lives import Log, count, mortals

Handler = Callable[[bytes], Awaitable[None]]


class Hub:
    """What the transports of one test have in common: who is subscribed where."""

    def __init__(self) -> None:
        self.handlers: dict[str, list[tuple[BareTransport, Handler]]] = {}
        self.published: Counter[str] = Counter()
        self.numbers = itertools.count()


class BareTransport:
    """The reference's protocol over a hub; its requests decode, set reply_to and encode again."""

    def __init__(self, hub: Hub, serializer: Any) -> None:
        self.hub = hub
        self.serializer = serializer
        self.reply_queues: dict[str, asyncio.Queue[bytes]] = {}

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        for owners in self.hub.handlers.values():
            owners[:] = [each for each in owners if each[0] is not self]

    async def subscribe(self, address, handler):  # type: ignore[no-untyped-def]
        self.hub.handlers.setdefault(address, []).append((self, handler))

    async def publish(self, address, data):  # type: ignore[no-untyped-def]
        self.hub.published[address] += 1
        for _, handler in list(self.hub.handlers.get(address, ())):
            await handler(data)

    async def request(self, address, data, timeout):  # type: ignore[no-untyped-def]
        reply_address = f"_reply.{next(self.hub.numbers):08x}-bare"
        queue = self.reply_queues[reply_address] = asyncio.Queue(1)
        await self.subscribe(reply_address, queue.put)
        message = self.serializer.deserialize(data)
        message.reply_to = reply_address
        try:
            await self.publish(address, self.serializer.serialize(message))
            return await asyncio.wait_for(queue.get(), timeout)
        finally:
            del self.reply_queues[reply_address], self.hub.handlers[reply_address]

    def has_reply_address(self, address):  # type: ignore[no-untyped-def]
        return address in self.reply_queues

    async def wait_ready(self) -> None:
        pass


@pytest.fixture(params=[MsgpackSerializer, JsonSerializer])
def made(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes component sets on transports of one hub."""
    hub, serializer = Hub(), request.param()

    def make() -> Any:
        transport = BareTransport(hub, serializer)
        return build_component_set(transport, serializer, send_timeout=1.0)

    return make


def primary(made: Callable[[], Any], *children: Any, remote: tuple[str, ...]) -> Runtime:
    root = Supervisor("root", children, backoff_base=0.0)
    for name in remote:
        root.add_remote_child(name)
    return Runtime(root, components=made())


def test_a_worker_warns_that_the_transport_does_not_say_how_far_it_reaches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Worker([Scripted("a")], transport=BareTransport(Hub(), MsgpackSerializer()))
    assert "does not say whether it reaches other processes" in caplog.text


async def test_agents_of_two_nodes_send_ask_and_fail(made: Any) -> None:
    async def via(agent: Scripted, message: Any) -> Any:
        return agent.reply((await agent.ask(message.payload["to"], {})).payload)

    near = [Scripted("p", via), Scripted("p_echo", echo)]
    far = [Scripted("w", via), Scripted("w_echo", echo), Scripted("w_fail", fail)]
    runtime = primary(made, *near, remote=("w", "w_echo", "w_fail"))
    async with runtime, Worker(far, components=made()):
        for asked, to in (("p", "w_echo"), ("w", "p_echo"), ("w", "w_echo"), ("p", "p_echo")):
            reply = await runtime.ask(asked, {"to": to}, timeout=SOON)
            assert reply.payload["from"] == to
        with pytest.raises(AgentError, match="no good"):
            await runtime.ask("w_fail", {}, timeout=SOON)
        for n in range(1000):
            await runtime.send("w_echo", {"n": n})
        await runtime.ask("w_echo", {}, timeout=SOON)
        sent = [m.payload["n"] for m in far[1].got if "n" in m.payload]
        assert sent == list(range(1000))
        assert runtime.stats().lost == {}
        with pytest.raises(MessageRoutingError, match="no agent called 'nobody'"):
            await runtime.send("nobody", {})


async def test_requests_that_bear_no_number_are_not_taken_for_numbered_ones(made: Any) -> None:
    runtime = primary(made, remote=("w",))
    async with runtime, Worker([Scripted("w", echo)], components=made()) as worker:
        transport: Any = runtime.components.transport
        for n in range(200):
            await runtime.ask("w", {"n": n}, timeout=SOON)
        known = {node.components.origin.node.hex() for node in (runtime, worker)}
        data = [a for a in transport.hub.published if a.startswith("_agency.data.")]
        assert {address.removeprefix("_agency.data.") for address in data} <= known
        assert worker.stats().delivered == 200
        assert worker.stats().lost == {}


async def test_a_full_agent_makes_senders_wait_and_asks_too(made: Any) -> None:
    gate = Gate()
    runtime = primary(made, remote=("w",))
    async with runtime, Worker([Scripted("w", gate, mailbox_size=3)], components=made()):
        accepted = await fill(runtime, "w")
        assert accepted == 1 + 3
        with pytest.raises(TimeoutError, match="ask 'w'"):
            await runtime.ask("w", {}, timeout=0.05)
        gate.opened.set()
        await runtime.ask("w", {}, timeout=SOON)
        assert runtime.stats().lost == {}


async def test_a_crash_in_the_worker_is_restarted_by_the_primary(made: Any) -> None:
    log = Log()
    runtime = primary(made, remote=("w1",))
    async with runtime, Worker(mortals(log, 1), components=made()):
        with pytest.raises(AgentError):
            await runtime.ask("w1", {"do": "crash"}, timeout=SOON)
        assert await count(runtime, "w1") == 1
        assert log.take() == ["start w1", "stop w1", "start w1"]


@pytest.mark.parametrize("body", [b"\x80\x04\x02" + bytes(40), b"short"])
async def test_a_body_without_a_frame_is_put_as_it_is_also_where_there_is_no_room(
    body: bytes,
) -> None:
    granted: list[Any] = []
    accounting = ReceiveAccounting(
        lambda *told: granted.append(told), lambda *told: granted.append(told)
    )
    mailbox: Mailbox[bytes] = Mailbox("a", 1)
    receiver = NumberedReceiver(mailbox, accounting, SOON, lambda *dropped: granted.append(dropped))
    assert receiver.take(body)
    assert not receiver.take(body)
    waiting = asyncio.create_task(receiver(body))
    await asyncio.sleep(0)
    assert mailbox.get_nowait() == body
    await waiting
    assert mailbox.get_nowait() == body
    assert receiver.delivered == 2
    assert granted == []
