"""Batches between two buses: messages, answers and marks that share a message of the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from civitas import Message, envelope
from civitas._bus.accounting import ReceiveAccounting, number_of
from civitas._bus.bus import MessageBus
from civitas._bus.codec import new_origin
from civitas._bus.mailbox import Mailbox
from civitas._bus.routes import RemoteRoute
from civitas._cluster.probes import Probes
from civitas._cluster.protocol import data_address
from civitas._platform import Platform, replaced
from civitas._signing.signatures import ClusterKey
from civitas.envelope import BATCH, KIND_SYSTEM, NODE_AT, Origin
from civitas.errors import MessageTooLargeError, OutcomeUnknownError
from civitas.messages import compose, compose_reply
from civitas.plugins import Capabilities, TransportContext
from civitas.registry import LocalRegistry
from civitas.serializer import MsgpackSerializer
from civitas.transport import NetworkTransport
from civitas.transport.signed_transport import SignedTransport
from support.routing import started, turns

FAR, LONG = "far", 30.0


class Network:
    """Carries messages between the transports of one test, in order."""

    def __init__(self) -> None:
        self.ends: list[End] = []
        self.messages: list[tuple[str, bytes]] = []
        self.lose = 0
        """How many of the next messages are lost."""

    def carry(self, address: str, message: bytes) -> bool:
        self.messages.append((address, message))
        if self.lose:
            self.lose -= 1
            return True
        for end in self.ends:
            if address in end.dispatcher:
                asyncio.get_running_loop().call_soon(end.dispatcher.deliver, address, message)
        return True

    def at(self, prefix: str) -> list[list[bytes]]:
        """Return what was sent to addresses that begin so, message by message."""
        found = [message for address, message in self.messages if address.startswith(prefix)]
        return [envelope.frames_in(m) if m.startswith(BATCH) else [m] for m in found]


class End(NetworkTransport):
    def __init__(self, network: Network, context: TransportContext) -> None:
        capabilities = Capabilities(cross_process=True, max_message_bytes=100_000)
        super().__init__("network", capabilities, context)
        self.network = network
        self.offer = network.carry
        network.ends.append(self)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def listen(self, address: str) -> None: ...

    async def forget(self, address: str) -> None: ...

    async def prove(self) -> None: ...

    async def send(self, address: str, frame: bytes) -> None:
        self.network.carry(address, frame)


class Half:
    """A bus, and what it counts."""

    def __init__(self, network: Network, key: ClusterKey | None) -> None:
        self.drops: list[str] = []
        self.lost = 0
        self.fenced: set[bytes] = set()
        origin = new_origin()
        context = TransportContext(
            node=origin.node.hex(), dropped=lambda reason, _: self.drop(reason), fenced=self.fenced
        )
        self.end = End(network, context)
        transport: Any = self.end
        if key is not None:
            transport = SignedTransport(
                self.end, key, everything=True, dropped=lambda reason, _: self.drop(reason)
            )
        self.bus = MessageBus(transport, LocalRegistry(), MsgpackSerializer(), origin=origin)
        self.bus.affinity.bind("node")
        self.bus.accounting = ReceiveAccounting(lambda *_: None, self._lose)

    def drop(self, reason: str) -> None:
        self.drops.append(reason)

    def _lose(self, node: bytes, agent: str, count: int) -> None:
        self.lost += count

    def send(self, *values: int, size: int = 0) -> Any:
        async def loop() -> None:
            for value in values:
                await self.bus.send(compose("me", FAR, {"n": value, "b": bytes(size)}, "m", None))

        return loop()

    def ask(self, value: int) -> Any:
        return self.bus.ask(compose("me", FAR, {"n": value}, "m", None), LONG)


class Pair:
    """Two buses; the agent `far` is at the second one."""

    def __init__(self, key: ClusterKey | None) -> None:
        self.network = Network()
        self.here, self.there = (Half(self.network, key) for _ in range(2))
        self.mailbox: Mailbox[bytes] = Mailbox(FAR)

    async def start(self) -> None:
        node = self.there.bus.origin.node.hex()
        for half in (self.here, self.there):
            await half.bus.transport.start()
        await self.there.bus.attach(self.mailbox)
        assert self.there.bus.accounting is not None
        self.there.bus.accounting.begin(self.here.bus.origin.node, fresh=True)
        self.here.bus.routes.add(RemoteRoute(FAR, node, "worker"))

    async def stop(self) -> None:
        for half in (self.here, self.there):
            await half.bus.outgoing.close()
            await half.bus.transport.stop()

    @property
    def route(self) -> RemoteRoute:
        route = self.here.bus.routes.get(FAR)
        assert route is not None
        return route

    def taken(self) -> list[Message]:
        """Return what has come for the agent since the last time."""
        read = self.there.bus.read
        return [read(frame) for frame in iter(self.mailbox.get_nowait, None)]

    def values(self) -> list[int]:
        return [message.payload["n"] for message in self.taken()]


@asynccontextmanager
async def two(key: ClusterKey | None = None) -> AsyncIterator[Pair]:
    with replaced(Platform(monotonic=lambda: 0.0)):  # so all frames are near each other
        pair = Pair(key)
        await pair.start()
        yield pair
        await pair.stop()


keyed = pytest.mark.parametrize("key", [None, ClusterKey("secret")], ids=["plain", "all signed"])


@keyed
async def test_a_loop_of_sends_arrives_in_order_with_few_messages(key: ClusterKey | None) -> None:
    async with two(key) as pair:
        await pair.here.send(*range(200))
        await turns()
        assert pair.values() == list(range(200))
        assert len(pair.network.messages) == 5
        assert pair.here.bus.sent == pair.there.bus.delivered == 200
        assert pair.there.lost == 0
        assert pair.there.drops == []


async def test_each_frame_of_a_lost_message_is_counted_as_lost() -> None:
    async with two() as pair:
        await pair.here.send(0, 1, 2, 3)
        pair.network.lose = 1
        await turns()
        await pair.here.send(4)
        await turns()
        assert pair.values() == [0, 4]
        assert pair.there.lost == 3


@keyed
async def test_questions_of_one_turn_share_a_message_and_so_do_their_answers(
    key: ClusterKey | None,
) -> None:
    async with two(key) as pair:
        asking = [await started(pair.here.ask(0))]
        asking += [asyncio.create_task(pair.here.ask(value)) for value in range(1, 9)]
        await turns()
        for question in pair.taken():
            await pair.there.bus.send(compose_reply(FAR, question, question.payload, "r"))
        answers = await asyncio.gather(*asking)
        assert [answer.payload["n"] for answer in answers] == list(range(9))
        assert len(pair.network.at(FAR)) <= 3
        assert len(pair.network.at("_reply.")) == 2
        assert pair.here.bus.sent == 9


async def test_a_mark_goes_behind_what_waits_for_the_end_of_the_turn() -> None:
    async with two() as pair:
        bus = pair.here.bus
        probes = Probes(
            bus.transport, bus.outgoing, bus.origin, lambda *_: True, lambda _: True, print, print
        )
        await probes.start()
        await pair.here.send(0, 1, 2)
        probes.send_last_number(FAR, 3)
        confirming = await started(probes.confirm(["ab" * 8], LONG))
        sent = [frame for message in pair.network.at(FAR) for frame in message]
        assert [(frame[2] == KIND_SYSTEM, number_of(frame)) for frame in sent] == [
            (False, 1),
            (False, 2),
            (False, 3),
            (True, 3),
        ]
        addresses = [address for address, _ in pair.network.messages]
        assert addresses[-1] == data_address("ab" * 8), "the question overtakes what is kept"
        confirming.cancel()
        await asyncio.wait((confirming,))
        await probes.stop()


async def test_an_asker_that_gives_up_in_the_turn_of_its_question_has_sent_it() -> None:
    async with two() as pair:
        await pair.here.send(0)
        asking = asyncio.create_task(pair.here.ask(1))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await asking
        assert isinstance(caught.value.__cause__, OutcomeUnknownError)
        await pair.here.send(2)
        await turns()
        assert pair.values() == [0, 1, 2]
        assert pair.here.bus.sent == 3
        assert pair.there.lost == 0


async def test_what_is_too_large_is_refused_at_the_call_and_leaves_no_gap() -> None:
    async with two() as pair:
        await pair.here.send(0, 1)
        with pytest.raises(MessageTooLargeError):
            await pair.here.send(2, size=200_000)
        await pair.here.send(3, size=50_000)
        await pair.here.send(4)
        await turns()
        assert pair.values() == [0, 1, 3, 4]
        assert pair.there.lost == 0
        assert pair.here.bus.sent == 4


async def test_a_window_holds_for_what_waits_for_the_end_of_a_turn() -> None:
    async with two() as pair:
        sending = await started(pair.here.send(*range(300)))
        assert not sending.done()
        assert pair.route.outstanding == len(pair.values()) == 256
        pair.route.credit(256)
        await sending
        await turns()
        assert pair.values() == list(range(256, 300))


async def test_a_signed_message_is_refused_with_all_its_frames_when_it_comes_again() -> None:
    async with two(ClusterKey("secret")) as pair:
        await pair.here.send(0, 1, 2)
        await turns()
        assert pair.values() == [0, 1, 2]
        address, message = pair.network.messages[-1]
        pair.network.carry(address, message)
        await turns()
        assert pair.values() == []
        assert len(pair.there.drops) == 1


@keyed
async def test_frames_of_a_fenced_node_are_refused_each_by_itself(key: ClusterKey | None) -> None:
    async with two(key) as pair:
        origin = pair.here.bus.origin
        pair.there.fenced.add(origin.node + origin.generation.to_bytes(4))
        await pair.here.send(0, 1, 2)
        await turns()
        assert pair.values() == []
        assert pair.there.drops == ["from a node that was superseded"] * 3


async def test_frames_of_a_batch_are_refused_by_their_own_numbers() -> None:
    async with two() as pair:
        origin = Origin(pair.here.bus.origin.node, pair.here.bus.origin.generation)
        body = pair.here.bus.codec.serialize(compose("me", FAR, {"n": 7}, "m", None))
        forged = [envelope.seal(body, "msgpack", origin, number=n) for n in (1, 1, 9999, 2)]
        assert forged[0][NODE_AT] == origin.node
        pair.network.carry(FAR, envelope.batch(forged))
        await turns()
        assert pair.values() == [7, 7]
        assert pair.there.bus.dead_letters.counts == {
            "a message that had come before": 1,
            "numbered beyond its sender's window": 1,
        }
