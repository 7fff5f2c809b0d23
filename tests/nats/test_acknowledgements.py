"""Acknowledgements: those of a burst go together, none is forgotten, and none waits for long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from civitas.errors import NotConnectedError
from civitas_nats.connection import Connection
from civitas_nats.jetstream.acknowledgements import ACK, TERM, Acknowledger, sent_together
from civitas_nats.jetstream.window import Held
from civitas_nats.options import NATSOptions
from support.nats.inspection import consumer_of, numbered
from support.nats.nodes import Held as HeldUp
from support.nats.nodes import bare, durable, taken, until, within

LOGGER = logging.getLogger("civitas.tests.nats")


class Acknowledging:
    """An acknowledger, and what a server was sent by it: subjects, and what became of them."""

    def __init__(self, connection: Connection, prefix: str, together: int) -> None:
        self.due = asyncio.Event()
        self.sent: list[tuple[str, bytes]] = []
        self.connection = connection
        self.acknowledger = Acknowledger("worker", connection, LOGGER, together, self.due.set)
        self._prefix = prefix

    async def settle(self, number: int, outcome: bytes = ACK, more: bool = True) -> None:
        held = Held(number, b"", f"{self._prefix}.{number}")
        await self.acknowledger.settle(held, outcome, may_wait=more)

    async def has_sent(self, *numbers: int, last: bytes = ACK) -> None:
        """See that the server has got these, and no more. It takes what one sends in order."""
        wanted = [(f"{self._prefix}.{each}", ACK) for each in numbers]
        wanted[-1] = (wanted[-1][0], last)
        await self.connection.publish(f"{self._prefix}.end", b"")
        await until(lambda: (f"{self._prefix}.end", b"") in self.sent)
        self.sent.remove((f"{self._prefix}.end", b""))
        assert self.sent == wanted


@asynccontextmanager
async def acknowledging(url: str, prefix: str, together: int = 4) -> AsyncIterator[Acknowledging]:
    connection = Connection(
        NATSOptions(servers=url), "test", LOGGER,
        down=print, up=print, failed=print,
    )  # fmt: skip
    async with bare(url) as client:
        await connection.open()
        one = Acknowledging(connection, prefix, together)

        async def note(message) -> None:
            one.sent.append((message.subject, message.data))
            if message.reply:
                await message.respond(b"")

        await client.subscribe(f"{prefix}.*", cb=note)
        await taken(client)
        try:
            yield one
        finally:
            one.acknowledger.close()
            await connection.close()


async def test_the_first_goes_at_once_and_those_behind_it_together(shared_nats, unique):
    async with acknowledging(shared_nats.url, unique) as one:
        counts = []
        for number in range(1, 7):
            await one.settle(number)
            counts.append(one.connection.client.stats["out_msgs"])
        assert [count - counts[0] for count in counts] == [0, 0, 0, 0, 4, 4]
        await one.acknowledger.send()
        await one.has_sent(1, 2, 3, 4, 5, 6)


async def test_one_with_none_behind_it_takes_all_along(shared_nats, unique):
    async with acknowledging(shared_nats.url, unique) as one:
        for number in (1, 2):
            await one.settle(number)
        await one.settle(3, more=False)
        await one.has_sent(1, 2, 3)


async def test_one_that_was_given_up_takes_all_along_in_order(shared_nats, unique):
    async with acknowledging(shared_nats.url, unique) as one:
        for number in (1, 2):
            await one.settle(number)
        await one.settle(3, TERM)
        await one.has_sent(1, 2, 3, last=TERM)


async def test_what_waits_is_due_soon_and_the_next_goes_at_once_again(shared_nats, unique):
    async with acknowledging(shared_nats.url, unique) as one:
        for number in (1, 2):
            await one.settle(number)
        await within(one.due.wait())
        await one.acknowledger.send()
        await one.has_sent(1, 2)
        await one.settle(3)
        await one.has_sent(1, 2, 3)


async def test_what_waits_is_sent_before_the_last_is_confirmed(shared_nats, unique):
    async with acknowledging(shared_nats.url, unique) as one:
        for number in (1, 2, 3):
            await one.settle(number)
        await within(one.acknowledger.confirm())
        await one.has_sent(1, 2, 3, 3)


async def test_what_waits_is_forgotten_with_its_stream(shared_nats, unique):
    async with acknowledging(shared_nats.url, unique) as one:
        for number in (1, 2):
            await one.settle(number)
        one.acknowledger.forget()
        await one.acknowledger.confirm()
        await one.has_sent(1)


async def test_what_can_not_be_sent_is_left_to_the_server_which_delivers_it_again(
    shared_nats, unique
):
    async with acknowledging(shared_nats.url, unique) as one:
        for number in (1, 2, 3):
            await one.settle(number)
        await one.connection.close()
        with pytest.raises(NotConnectedError):
            await one.acknowledger.send()
        await one.acknowledger.send()


async def test_what_is_given_again_while_others_are_acknowledged_again_is_so_too(
    shared_nats, unique, monkeypatch
):
    async with acknowledging(shared_nats.url, unique) as one:
        publish, again = one.connection.publish, [f"{unique}.{each}" for each in (3, 2)]

        async def publish_and_be_given_more(subject: str, data: bytes) -> None:
            await publish(subject, data)
            if data == ACK and again:
                one.acknowledger.repeat_later(again.pop())

        monkeypatch.setattr(one.connection, "publish", publish_and_be_given_more)
        one.acknowledger.repeat_later(f"{unique}.1")
        await one.acknowledger.repeat()
        await one.has_sent(1, 2, 3)


@pytest.mark.parametrize(
    ("options", "together"),
    [
        ({}, 16),
        ({"max_ack_pending": 64}, 8),
        ({"max_ack_pending": 8}, 1),
        ({"max_ack_pending": 1}, 1),
        ({"max_deliver": 1}, 1),  # what was processed must not become a dead letter
    ],
)
def test_few_wait_where_the_window_is_small_and_none_where_each_is_given_once(options, together):
    assert sent_together(NATSOptions(**options)) == together


@pytest.mark.each_release
async def test_of_a_burst_none_is_owed_while_the_next_handler_takes_its_time(
    shared_jetstream, unique
):
    held = HeldUp("6")
    async with durable(shared_jetstream.url, unique, ack_wait=60) as node:
        await node.send("worker", *numbered(1, 8))
        await node.agent("worker", held)
        await held.begun.wait()
        await until(
            lambda: consumer_of(shared_jetstream, node),
            lambda seen: seen["ack_floor"]["stream_seq"] == 5,
            seconds=5,  # a pull request that ends would have them sent, too
        )
        held.go_on.set()


@pytest.mark.each_release
async def test_a_stop_in_the_middle_of_a_burst_gives_nothing_again(shared_jetstream, unique):
    held = HeldUp("6")
    async with durable(shared_jetstream.url, unique, ack_wait=60) as first:
        await first.send("worker", *numbered(1, 8))
        before = await first.agent("worker", held)
        await held.begun.wait()
    assert before.done == numbered(1, 5)
    async with durable(shared_jetstream.url, unique) as second:
        agent = await second.agent("worker")
        await agent.has_done(3)
        assert agent.given == [(body, 0) for body in numbered(6, 8)]
