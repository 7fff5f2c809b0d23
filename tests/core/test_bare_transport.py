"""A bare class with the seven methods of the reference, wired by hand: no plugin, no helper."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.envelope import with_reply_to
from civitas.errors import AgentError, MessageRoutingError
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer

SOON = 10.0


class BareTransport:
    """The reference's protocol over a dict of handlers, with a reply queue for each request."""

    def __init__(self, stamp: Callable[[bytes, str], bytes]) -> None:
        self.stamp = stamp
        self.handlers: dict[str, Callable[[bytes], Awaitable[None]]] = {}
        self.reply_queues: dict[str, asyncio.Queue[bytes]] = {}
        self.numbers = itertools.count()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.handlers.clear()

    async def subscribe(self, address, handler):  # type: ignore[no-untyped-def]
        self.handlers[address] = handler

    async def publish(self, address, data):  # type: ignore[no-untyped-def]
        if address in self.reply_queues:
            await self.reply_queues[address].put(data)
        else:
            await self.handlers[address](data)

    async def request(self, address, data, timeout):  # type: ignore[no-untyped-def]
        reply_address = f"_reply.{next(self.numbers):08x}-bare"
        self.reply_queues[reply_address] = asyncio.Queue(1)
        try:
            await self.publish(address, self.stamp(data, reply_address))
            return await asyncio.wait_for(self.reply_queues[reply_address].get(), timeout)
        finally:
            del self.reply_queues[reply_address]

    def has_reply_address(self, address):  # type: ignore[no-untyped-def]
        return address in self.reply_queues

    async def wait_ready(self) -> None:
        pass


def stamp_the_message(serializer: Serializer) -> Callable[[bytes, str], bytes]:
    """Decode, set `reply_to`, encode again: what transports of the published API do."""

    def stamp(data: bytes, reply_address: str) -> bytes:
        message = serializer.deserialize(data)
        message.reply_to = reply_address
        return serializer.serialize(message)

    return stamp


def stamp_by_the_documented_layout(data: bytes, reply_address: str) -> bytes:
    """Splice the reply address into the header, by nothing but the layout of the frame."""
    at = 25 + data[24]
    old = int.from_bytes(data[at : at + 2], "big")
    address = reply_address.encode()
    return data[:at] + len(address).to_bytes(2, "big") + address + data[at + 2 + old :]


STAMPS: dict[str, tuple[Callable[[bytes, str], bytes], Serializer]] = {
    "decodes msgpack": (stamp_the_message(MsgpackSerializer()), MsgpackSerializer()),
    "decodes json": (stamp_the_message(JsonSerializer()), JsonSerializer()),
    "uses with_reply_to": (with_reply_to, MsgpackSerializer()),
    "knows the layout": (stamp_by_the_documented_layout, JsonSerializer()),
}


class Pair(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        if message.payload.get("crash"):
            raise ValueError("crash")
        if message.payload.get("via"):
            reply = await self.ask(message.payload["via"], {"n": message.payload["n"]})
            return self.reply({"n": reply.payload["n"], "via": reply.sender})
        return self.reply({"n": message.payload["n"] + 1})


@pytest.mark.parametrize("scheme", STAMPS)
async def test_it_carries_asks_replies_and_errors_with_its_own_reply_scheme(scheme: str) -> None:
    stamp, serializer = STAMPS[scheme]
    components = build_component_set(transport=BareTransport(stamp), serializer=serializer)
    root = Supervisor("root", [Pair("a"), Pair("b")], backoff_base=0.0)
    async with Runtime(supervisor=root, components=components) as runtime:
        reply = await runtime.ask("a", {"n": 1, "via": "b"}, timeout=SOON)
        assert reply.payload == {"n": 2, "via": "b"}
        await runtime.send("b", {"n": 1})
        with pytest.raises(AgentError, match="ValueError: crash"):
            await runtime.ask("b", {"crash": True}, timeout=SOON)
        assert (await runtime.ask("b", {"n": 7}, timeout=SOON)).payload == {"n": 8}
        with pytest.raises(MessageRoutingError):
            await runtime.send("nobody", {})


async def test_a_timeout_of_its_own_names_who_was_asked() -> None:
    class Silent(AgentProcess):
        async def handle(self, message: Message) -> None:
            await asyncio.Event().wait()

    components = build_component_set(transport=BareTransport(with_reply_to))
    async with Runtime(
        Supervisor("root", [Silent("s", shutdown_timeout=0.01)]), components=components
    ) as runtime:
        with pytest.raises(TimeoutError, match="ask 's'"):
            await runtime.ask("s", {}, timeout=0.01)


async def test_an_own_serializer_is_used_on_both_ways() -> None:
    calls: list[str] = []

    class Spelling:
        """A serializer with nothing but the two methods."""

        def __init__(self) -> None:
            self.inner = JsonSerializer()

        def serialize(self, message: Message) -> bytes:
            calls.append("serialize")
            return self.inner.serialize(message)[::-1]

        def deserialize(self, data: bytes) -> Message:
            calls.append("deserialize")
            return self.inner.deserialize(data[::-1])

    async def main(**arguments: Any) -> dict[str, Any]:
        components = build_component_set(serializer=Spelling(), **arguments)
        async with Runtime(Supervisor("root", [Pair("a")]), components=components) as runtime:
            return (await runtime.ask("a", {"n": 1}, timeout=SOON)).payload

    assert await main() == {"n": 2}
    assert await main(transport=BareTransport(with_reply_to)) == {"n": 2}
    assert calls == ["serialize", "deserialize"] * 4


async def test_an_answer_that_it_can_not_deliver_any_more_is_counted_and_harms_nobody() -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    class Slow(Pair):
        async def handle(self, message: Message) -> Message | None:
            if message.payload["n"] == 0:
                entered.set()
                await opened.wait()
            return await super().handle(message)

    transport = BareTransport(with_reply_to)
    async with Runtime(Supervisor("root", [Slow("a")]), transport=transport) as runtime:
        asking = asyncio.create_task(runtime.ask("a", {"n": 0}, timeout=SOON))
        await entered.wait()
        asking.cancel()
        await asyncio.wait((asking,))
        opened.set()
        assert (await runtime.ask("a", {"n": 1}, timeout=SOON)).payload == {"n": 2}
        assert runtime.stats().restarts == 0
        assert runtime.stats().dropped == {"error reply not delivered: KeyError": 1}


async def test_an_unsubscribe_that_raises_holds_up_no_end() -> None:
    class Clinging(BareTransport):
        stopped = False

        async def unsubscribe(self, address: str) -> None:
            raise OSError("not now")

        async def stop(self) -> None:
            self.stopped = True

    transport = Clinging(with_reply_to)
    async with Runtime(Supervisor("root", [Pair("a"), Pair("b")]), transport=transport) as runtime:
        agents = runtime.all_agents()
        agents[0].stop()
        agents[1].stop()
        assert await asyncio.wait_for(runtime.wait(), SOON) == 0
    assert transport.stopped
