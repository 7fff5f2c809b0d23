"""Turns of the event loop that nats-py would take for a message, and that are not taken here."""

from __future__ import annotations

import asyncio
from math import inf

from civitas import envelope
from civitas.envelope import Origin
from civitas_nats.client import HardenedClient, socket_of
from civitas_nats.handing_over import YIELD_ABOVE, hand_over
from civitas_nats.subscription import Subscription
from support.nats.nodes import bare, until

QUESTION = envelope.seal(b"question", "msgpack", Origin(b"8 bytes!", 1), reply_to="_reply.here.1")
MESSAGE = envelope.seal(b"message", "msgpack", Origin(b"8 bytes!", 1))


def at_rest(client: HardenedClient) -> HardenedClient:
    client.handed_at = -inf
    return client


async def test_a_lone_question_is_written_as_it_is_asked(server):
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        assert hand_over(at_rest(client), "x", QUESTION)
        assert client.pending_data_size == 0
        assert client.stats["out_msgs"] == 1
        assert client.stats["out_bytes"] == len(QUESTION)


async def test_a_batch_is_written_as_it_is_handed_over_unless_something_waits(server):
    batch = envelope.batch([MESSAGE, QUESTION])
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        client.handed_at = inf  # just now: a batch need not be alone
        assert hand_over(client, "x", batch)
        assert client.pending_data_size == 0
        assert client.stats["out_msgs"] == 1
        assert hand_over(client, "x", MESSAGE)
        alone = client.pending_data_size
        assert hand_over(client, "x", batch)
        assert client.pending_data_size > alone + len(batch)


async def test_a_message_and_what_follows_soon_go_together_at_the_end_of_the_turn(server):
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        assert hand_over(at_rest(client), "x", MESSAGE)
        alone = client.pending_data_size
        assert alone > len(MESSAGE)
        client.handed_at = inf  # just now, however slow this machine is
        assert hand_over(client, "x", QUESTION)
        assert client.pending_data_size > alone + len(QUESTION)


async def test_a_question_overtakes_nothing_that_was_handed_over_before_it(server):
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        taken: list[bytes] = []
        await Subscription("x", lambda message: taken.append(message.data), print).subscribe(client)
        sent = []
        for number in range(50):
            for frame in (MESSAGE + b"%d" % number, QUESTION + b"%d" % number):
                sent.append(frame)
                assert hand_over(at_rest(client), "x", frame)
            if number % 7 == 0:  # the turn ends
                await until(lambda: client.pending_data_size == 0)
        await until(lambda: len(taken) == len(sent))
        assert taken == sent


async def test_nothing_is_written_while_the_socket_still_has_something(server):
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        server.pause()
        try:
            data = b"." * 500_000
            written = 0
            while client.write("x", data):
                written += 1
                assert written < 1000
            assert client.pending_data_size == 0
            assert not client.write("x", QUESTION)
        finally:
            server.resume()
        await until(lambda: client.write("x", QUESTION))


async def test_for_a_server_that_takes_nothing_little_waits_in_this_process(server):
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        server.pause()
        try:
            frame = QUESTION + b"." * 10_000
            refused = 0
            while refused < 100:  # turns of the event loop, in which nothing gets away either
                refused = 0 if hand_over(at_rest(client), "x", frame) else refused + 1
                await asyncio.sleep(0)
            socket = socket_of(client)
            assert socket is not None
            assert client.pending_data_size <= YIELD_ABOVE + 2 * len(frame)
            assert socket.get_write_buffer_size() <= 4 * YIELD_ABOVE
        finally:
            server.resume()


async def test_nothing_is_written_that_the_server_would_refuse_or_after_the_end(server):
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        assert not client.write("x", b"." * (client.max_payload + 1))
    assert not client.write("x", QUESTION)


async def test_a_message_is_handed_on_by_the_reader_itself_in_order_across_subjects(server):
    """There is one order for all subjects: no queue and no task of each subscription."""
    taken: list[tuple[str, bytes]] = []
    async with (
        bare(server.url, client=HardenedClient(encrypted=False)) as client,
        bare(server.url) as other,
    ):
        for subject in ("a", "b"):
            each = Subscription(subject, lambda m: taken.append((m.subject, m.data)), print)
            await each.subscribe(client)
            assert each.native is not None
            assert each.native.pending_msgs == 0
        await client.flush()
        await until(lambda: _both_heard(client, taken))
        sent = [("ab"[number % 2], b"%d" % number) for number in range(200)]
        for subject, data in sent:
            await other.publish(subject, data)
        await until(lambda: len(_but_probes(taken)) == len(sent))
        assert _but_probes(taken) == sent


def _but_probes(taken: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Leave the probes out: the last ones may come when both subjects were heard."""
    return [each for each in taken if each[1] != b"probe"]


async def _both_heard(client: HardenedClient, taken: list[tuple[str, bytes]]) -> bool:
    for subject in ("a", "b"):
        await client.publish(subject, b"probe")
    await client.flush()
    return {"a", "b"} <= {subject for subject, _ in taken}


async def test_a_callback_that_raises_is_reported_and_the_next_message_comes(server):
    taken: list[bytes] = []
    failures: list[BaseException] = []

    def take(message) -> None:
        taken.append(message.data)
        if message.data == b"1":
            raise SystemExit("on purpose")

    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        await Subscription("x", take, failures.append).subscribe(client)
        for data in (b"1", b"2"):
            await client.publish("x", data)
        await until(lambda: taken == [b"1", b"2"])
    (failure,) = failures
    assert "on purpose" in str(failure)
