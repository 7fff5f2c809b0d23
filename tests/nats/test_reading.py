"""Messages are handed on as their bytes come, in the order and as often as nats-py alone would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from nats.aio.msg import Msg

from civitas_nats.client import HardenedClient, socket_of
from civitas_nats.subscription import Subscription
from support.nats.nodes import bare, until

HEADERS = b"NATS/1.0\r\na: b\r\n\r\n"


class Reading:
    """A client that has subscribed to a subject, and what its socket is said to have read."""

    def __init__(self, client: HardenedClient) -> None:
        self.client = client
        self.taken: list[Msg] = []
        self.subscription = Subscription("x", self.taken.append, print)

    @property
    def data(self) -> list[bytes]:
        return [each.data for each in self.taken]

    @property
    def sid(self) -> int:
        native = self.subscription.native
        assert native is not None
        return native._id  # noqa: SLF001 - what the server calls it

    @property
    def protocol(self) -> asyncio.Protocol:
        """What is given the bytes that the socket reads."""
        socket = socket_of(self.client)
        assert socket is not None
        protocol = socket.get_protocol()
        assert isinstance(protocol, asyncio.Protocol)
        return protocol

    def receive(self, data: bytes) -> None:
        """Have the socket read these bytes."""
        self.protocol.data_received(data)

    def message(self, data: bytes, sid: int | None = None, reply: bytes = b"") -> bytes:
        sid = self.sid if sid is None else sid
        return b"MSG x %d %s%d\r\n%s\r\n" % (sid, reply and reply + b" ", len(data), data)

    def with_headers(self, data: bytes) -> bytes:
        sizes = len(HEADERS), len(HEADERS) + len(data)
        return b"HMSG x %d %d %d\r\n%s%s\r\n" % (self.sid, *sizes, HEADERS, data)


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Reading]:
    async with bare(url, client=HardenedClient(encrypted=False)) as client:
        assert isinstance(client, HardenedClient)
        reading = Reading(client)
        await reading.subscription.subscribe(client)
        await client.flush()
        yield reading


async def test_messages_are_handed_on_before_the_turn_in_which_they_come_ends(server):
    async with reading(server.url) as read:
        read.receive(read.message(b"1") + read.message(b"2", reply=b"here"))
        assert read.data == [b"1", b"2"]
        assert [(each.subject, each.reply) for each in read.taken] == [("x", ""), ("x", "here")]
        assert read.client.stats["in_msgs"] == 2
        assert read.client.stats["in_bytes"] == 2


@pytest.mark.parametrize("between", [b"PING\r\n", b"+OK\r\n", b"PONG\r\n"])
async def test_what_follows_a_line_of_another_kind_comes_once_and_in_order(server, between):
    async with reading(server.url) as read:
        read.receive(read.message(b"1") + between + read.message(b"2"))
        assert read.data == [b"1"]
        read.receive(read.message(b"3"))
        await until(lambda: len(read.taken) == 3)
        assert read.data == [b"1", b"2", b"3"]


async def test_a_message_overtakes_none_that_nats_py_still_has(server):
    async with reading(server.url) as read:
        first, second = read.message(b"1" * 100), read.message(b"2")
        for cut in range(1, len(first)):
            read.taken.clear()
            read.receive(first[:cut])
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # nats-py has it now, in its stream or in its parser
            read.receive(first[cut:] + second)
            await until(lambda: len(read.taken) == 2)
            assert read.data == [b"1" * 100, b"2"], cut


@pytest.mark.parametrize("seed", range(20))
async def test_however_the_bytes_are_cut_each_message_comes_once_and_in_order(server, seed):
    random = Random(seed)
    async with reading(server.url) as read:
        said, sent = b"", []
        for number in range(60):
            data = b"%d\r\nMSG x 1 1\r\n" % number * random.choice((0, 1, 1, 9)) + b"%d" % number
            kind = random.choice(("plain", "plain", "plain", "headers", "PING", "nobody's"))
            if kind == "PING":
                said += b"PING\r\n"
            elif kind == "nobody's":
                said += read.message(data, sid=999)
            else:
                said += read.message(data) if kind == "plain" else read.with_headers(data)
                sent.append(data)
        while said:
            cut = random.choice((1, 7, 40, 300, len(said)))
            read.receive(said[:cut])
            said = said[cut:]
            for _ in range(random.choice((0, 0, 1, 3))):
                await asyncio.sleep(0)
        await until(lambda: len(read.taken) >= len(sent))
        assert read.data == sent


async def test_what_a_closed_client_still_reads_is_handed_to_nobody(server):
    async with reading(server.url) as read:
        receive, message = read.protocol.data_received, read.message(b"1")
        await read.client.close()
        receive(message)
        assert read.taken == []


async def test_one_who_unsubscribes_in_the_middle_of_a_piece_gets_no_more_of_it(server):
    async with reading(server.url) as read:
        subscription = read.subscription

        def take(message: Msg) -> None:
            read.taken.append(message)
            read.client._subs.pop(read.sid)  # noqa: SLF001 - as nats-py does it, at once

        subscription.on_message = take
        read.receive(read.message(b"1") + read.message(b"2"))
        await asyncio.sleep(0)
        assert read.data == [b"1"]


async def test_a_number_of_too_many_digits_is_left_to_nats_py(server):
    async with reading(server.url) as read:
        read.receive(read.message(b"1") + b"MSG x %s 1\r\n1\r\n" % (b"9" * 5000))
        assert read.data == [b"1"]
