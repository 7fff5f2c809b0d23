"""ReplyInbox: requests, answers, and what becomes of both when the transport stops."""

from __future__ import annotations

import asyncio
import gc
import random
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from civitas import _platform as platform
from civitas import envelope
from civitas.envelope import KIND_MESSAGE, KIND_REPLY, KIND_SYSTEM, Origin
from civitas.errors import MailboxFullError, NotConnectedError, OutcomeUnknownError
from civitas.transport import ReplyInbox, is_reply_address, published_at
from support.virtual_time import VirtualTimeLoop, block, now, on_virtual_time

ORIGIN = Origin(b"12345678", 1)
REQUEST = envelope.seal(b"question", "json", ORIGIN)
NODE = "0123456789abcdef"
LONG = 30.0


def answer_to(request: bytes) -> bytes:
    reply_to = envelope.reply_to_of(request)
    return envelope.seal(b"answer", "json", ORIGIN, kind=KIND_REPLY, reply_to=reply_to)


class Far:
    """The other end: keeps what was published, and may be slow to take it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.came = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    async def __call__(self, frame: bytes) -> None:
        self.came.set()
        await self.room.wait()
        self.taken.append(frame)


async def test_an_answer_goes_to_the_request_whose_address_it_bears() -> None:
    inbox, far = ReplyInbox(NODE), Far()
    asking = [asyncio.create_task(inbox.request(REQUEST, LONG, far)) for _ in range(3)]
    while len(far.taken) < 3:
        await asyncio.sleep(0)
    addresses = [envelope.reply_to_of(frame) for frame in far.taken]
    assert all(map(is_reply_address, addresses))
    assert {published_at(address) for address in addresses} == {inbox.address}
    assert all(inbox.has(address) for address in addresses)
    assert len(inbox) == 3
    for frame in reversed(far.taken):
        await inbox.deliver(answer_to(frame))
    assert await asyncio.gather(*asking) == [answer_to(frame) for frame in far.taken]
    assert len(inbox) == 0


async def test_requests_to_an_address_can_be_failed_and_those_to_others_wait_on() -> None:
    inbox, far = ReplyInbox(NODE), Far()
    asking = [asyncio.create_task(inbox.request(REQUEST, LONG, far, to)) for to in "aab"]
    while len(far.taken) < 3:
        await asyncio.sleep(0)
    inbox.fail_requests_to("a", "it is forbidden")
    for each in asking[:2]:
        with pytest.raises(OutcomeUnknownError, match="it is forbidden"):
            await each
    assert not asking[2].done()
    await inbox.deliver(answer_to(far.taken[2]))
    assert await asking[2] == answer_to(far.taken[2])


async def test_what_nobody_waits_for_is_reported_and_dropped() -> None:
    dropped: list[str] = []
    inbox = ReplyInbox(NODE, lambda reason, frame: dropped.append(reason))
    await inbox.deliver(answer_to(envelope.with_reply_to(REQUEST, f"_reply.{NODE}.9")))
    await inbox.deliver(b"no frame")
    assert dropped == ["reply without a request", "malformed frame"]


async def test_addresses_can_not_be_guessed_from_those_that_were_seen() -> None:
    inbox, far = ReplyInbox(NODE), Far()
    asking = [asyncio.create_task(inbox.request(REQUEST, LONG, far)) for _ in range(1000)]
    while len(far.taken) < len(asking):
        await asyncio.sleep(0)
    numbers = [int(envelope.reply_to_of(frame).rpartition(".")[2]) for frame in far.taken]
    assert len({number - before for before, number in pairwise(numbers)}) == len(numbers) - 1
    for bit in range(64):  # each is 0 or 1 by chance: 1 to 999 of 1000
        assert 0 < sum(number >> bit & 1 for number in numbers) < len(numbers)
    inbox.close()
    await asyncio.wait(asking)


def test_addresses_come_from_the_platform_so_that_a_simulation_repeats_itself() -> None:
    async def first_address() -> str:
        inbox, far = ReplyInbox(NODE), Far()
        asking = asyncio.create_task(inbox.request(REQUEST, LONG, far))
        while not far.taken:
            await asyncio.sleep(0)
        inbox.take(answer_to(far.taken[0]))
        return envelope.reply_to_of(await asking)

    seeded = [platform.Platform(random_bytes=random.Random(seed).randbytes) for seed in (1, 1, 2)]
    addresses = []
    for each in seeded:
        with platform.replaced(each):
            addresses.append(asyncio.run(first_address()))
    assert addresses[0] == addresses[1] != addresses[2]


@pytest.mark.parametrize("asked", [ORIGIN.node, b"another!"])
async def test_only_the_node_that_the_request_names_answers_it(asked: bytes) -> None:
    dropped: list[str] = []
    inbox, far = ReplyInbox(NODE, lambda reason, frame: dropped.append(reason)), Far()
    request = envelope.with_reply_to(REQUEST, asked.hex())
    asking = asyncio.create_task(inbox.request(request, LONG, far))
    while not far.taken:
        await asyncio.sleep(0)
    [sent] = far.taken
    assert sent == envelope.with_reply_to(REQUEST, envelope.reply_to_of(sent))
    inbox.take(answer_to(sent))  # it is of ORIGIN
    if asked != ORIGIN.node:
        assert dropped == ["reply from another node than the asked one"]
        assert not asking.done()
        reply_to = envelope.reply_to_of(sent)
        right = envelope.seal(
            b"answer", "json", Origin(asked, 9), kind=KIND_REPLY, reply_to=reply_to
        )
        inbox.take(right)
    assert envelope.open(await asking).body == b"answer"


async def test_what_stands_in_the_place_of_a_node_and_is_none_names_nobody() -> None:
    inbox, far = ReplyInbox(NODE), Far()
    for before in (f"_reply.{NODE}.7", "x" * 16, "é"):
        asking = asyncio.create_task(
            inbox.request(envelope.with_reply_to(REQUEST, before), LONG, far)
        )
        while not far.taken:
            await asyncio.sleep(0)
        inbox.take(answer_to(far.taken.pop()))
        assert envelope.open(await asking).body == b"answer"


@pytest.mark.parametrize("kind", [KIND_MESSAGE, KIND_SYSTEM])
async def test_a_frame_of_another_kind_is_no_answer(kind: int) -> None:
    dropped: list[str] = []
    inbox, far = ReplyInbox(NODE, lambda reason, frame: dropped.append(reason)), Far()
    asking = asyncio.create_task(inbox.request(REQUEST, LONG, far))
    while not far.taken:
        await asyncio.sleep(0)
    reply_to = envelope.reply_to_of(far.taken[0])
    inbox.take(envelope.seal(b"no", "json", ORIGIN, kind=kind, reply_to=reply_to))
    assert dropped == ["no reply, at a reply address"]
    inbox.take(answer_to(far.taken[0]))
    assert envelope.open(await asking).body == b"answer"


@pytest.mark.parametrize("node", ["abcd", "0123456789ABCDEF", "x" * 16, "0" * 17])
def test_a_node_that_is_none_is_refused(node: str) -> None:
    with pytest.raises(ValueError, match="16 hex digits"):
        ReplyInbox(node)


async def test_time_that_goes_by_before_the_handover_is_told_apart_from_silence() -> None:
    inbox, far = ReplyInbox(), Far()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
        await inbox.request(REQUEST, 0.01, far)
    far.room.clear()
    with pytest.raises(MailboxFullError, match=r"no room"):
        await inbox.request(REQUEST, 0.01, far)
    assert len(inbox) == 0


@pytest.mark.parametrize("handed_over", [True, False])
async def test_closing_fails_requests_at_once_each_with_an_error_of_its_own(
    handed_over: bool,
) -> None:
    inbox, far = ReplyInbox(), Far()
    if not handed_over:
        far.room.clear()
    asking = [asyncio.create_task(inbox.request(REQUEST, LONG, far)) for _ in range(2)]
    await far.came.wait()
    while len(inbox) < 2 or (handed_over and len(far.taken) < 2):
        await asyncio.sleep(0)
    inbox.close()
    done, _ = await asyncio.wait(asking, timeout=LONG / 2)
    errors = [task.exception() for task in done]
    assert [type(error) for error in errors] == [NotConnectedError] * 2
    assert errors[0] is not errors[1]
    assert len(inbox) == 0


async def test_closing_after_an_answer_came_does_not_take_it_back() -> None:
    inbox, far = ReplyInbox(), Far()
    asking = asyncio.create_task(inbox.request(REQUEST, LONG, far))
    while not far.taken:
        await asyncio.sleep(0)
    await inbox.deliver(answer_to(far.taken[0]))
    inbox.close()
    assert await asking == answer_to(far.taken[0])


async def test_a_second_answer_is_dropped_and_the_first_one_counts() -> None:
    dropped: list[str] = []
    inbox, far = ReplyInbox(NODE, lambda reason, frame: dropped.append(reason)), Far()
    asking = asyncio.create_task(inbox.request(REQUEST, LONG, far))
    while not far.taken:
        await asyncio.sleep(0)
    for _ in range(2):
        await inbox.deliver(answer_to(far.taken[0]))
    assert await asyncio.wait_for(asking, LONG) == answer_to(far.taken[0])
    assert dropped == ["reply without a request"]


class Confirming(Far):
    """The other end of a broker, which answers before it has confirmed."""

    def __init__(self, inbox: ReplyInbox, error: Exception | None = None) -> None:
        super().__init__()
        self.inbox = inbox
        self.error = error
        self.room.clear()

    async def __call__(self, frame: bytes) -> None:
        self.inbox.take(answer_to(frame))
        if self.error is not None:
            raise self.error
        await super().__call__(frame)


async def test_an_answer_that_comes_before_the_confirmation_ends_the_wait_for_it() -> None:
    inbox = ReplyInbox(NODE)
    async with asyncio.timeout(LONG / 2):
        answer = await inbox.request(REQUEST, LONG, Confirming(inbox))
    assert envelope.open(answer).body == b"answer"
    assert len(inbox) == 0


async def test_an_answer_counts_more_than_a_confirmation_that_fails_after_it() -> None:
    inbox = ReplyInbox(NODE)
    unknown = OutcomeUnknownError("not confirmed")
    answer = await inbox.request(REQUEST, LONG, Confirming(inbox, unknown))
    assert envelope.open(answer).body == b"answer"


async def test_an_answer_within_the_publish_leaves_no_cancellation_with_the_task() -> None:
    inbox = ReplyInbox(NODE)

    async def answer_at_once(frame: bytes) -> None:
        inbox.take(answer_to(frame))

    await inbox.request(REQUEST, LONG, answer_at_once)
    for _ in range(3):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_that_meets_the_end_of_the_time_is_still_one() -> None:
    inbox, far = ReplyInbox(), Far()
    far.room.clear()
    asking = asyncio.create_task(inbox.request(REQUEST, LONG, far))
    await far.came.wait()
    inbox.close()
    asking.cancel()
    await asyncio.wait((asking,))
    assert asking.cancelled()


async def test_a_request_leaves_nothing_that_waits_for_its_time_to_pass() -> None:
    inbox = ReplyInbox()

    async def answer_at_once(frame: bytes) -> None:
        await inbox.deliver(answer_to(frame))

    for _ in range(20):
        await inbox.request(REQUEST, LONG, answer_at_once)
    await asyncio.sleep(0)  # a turn of the loop is not such a time
    gc.collect()
    left = [each for each in gc.get_objects() if type(each).__module__ == inbox.__module__]
    assert [each for each in left if not isinstance(each, ReplyInbox)] == []


class TimedLoop(VirtualTimeLoop):
    """Keeps its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.timers.append(super().call_at(*args, **kwargs))
        return self.timers[-1]


def test_requests_that_are_answered_soon_share_one_timer_which_ends_with_the_inbox() -> None:
    inbox = ReplyInbox()

    async def answer_at_once(frame: bytes) -> None:
        await inbox.deliver(answer_to(frame))

    async def ask() -> None:
        for _ in range(20):
            await inbox.request(REQUEST, LONG, answer_at_once)
        inbox.close()

    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        runner.run(ask())
        loop = runner.get_loop()
        assert isinstance(loop, TimedLoop)
        assert [timer.cancelled() for timer in loop.timers] == [True]


async def time_of_its_end(inbox: ReplyInbox, after: float, timeout: float | None) -> float:
    await asyncio.sleep(after)
    with pytest.raises((TimeoutError, NotConnectedError)):
        await inbox.request(REQUEST, timeout, Far())
    return now()


@on_virtual_time
async def test_a_request_ends_when_its_time_is_over_whenever_others_began() -> None:
    random, inbox = Random(1), ReplyInbox()
    begin = [random.choice([random.uniform(0.0, 0.03), 0.01, 0.02]) for _ in range(300)]
    limits = [random.choice([0.0, 0.001, 0.01, random.uniform(0.0, 0.05), LONG]) for _ in begin]
    ends = [time_of_its_end(inbox, *each) for each in zip(begin, limits, strict=True)]
    due = [after + limit for after, limit in zip(begin, limits, strict=True)]
    without_limit = asyncio.create_task(time_of_its_end(inbox, 0.005, None))
    assert await asyncio.gather(*ends) == pytest.approx(due, abs=1e-6)
    inbox.close()
    assert await without_limit == pytest.approx(max(due), abs=1e-6)


@on_virtual_time
async def test_a_request_whose_time_goes_by_in_a_stall_of_the_loop_ends_in_the_next_turn() -> None:
    inbox, far = ReplyInbox(), Far()
    asking = asyncio.create_task(inbox.request(REQUEST, LONG, far))
    await far.came.wait()
    block(2 * LONG)
    with pytest.raises(TimeoutError):
        await asking
    assert now() == pytest.approx(2 * LONG)


def test_times_are_over_also_in_an_event_loop_after_the_first_one() -> None:
    inbox = ReplyInbox()

    async def answer_at_once(frame: bytes) -> None:
        await inbox.deliver(answer_to(frame))

    async def ask_in_vain() -> None:
        async with asyncio.timeout(2 * LONG):
            await inbox.request(REQUEST, LONG, Far())

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(inbox.request(REQUEST, LONG, answer_at_once))
    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        pytest.raises(TimeoutError, match="no answer within 30 s"),
    ):
        runner.run(ask_in_vain())


@pytest.mark.parametrize(
    ("reply_to", "address"),
    [
        ("_reply.0123456789abcdef.17", "_reply.0123456789abcdef"),
        ("_reply.550e8400-e29b", "_reply.550e8400-e29b"),
        ("_reply.17", "_reply.17"),
        ("_reply.0123456789abcdef.18446744073709551615", "_reply.0123456789abcdef"),
        ("_reply.0123456789abcdef.1\n", "_reply.0123456789abcdef.1\n"),
        ("_reply.0123456789abcdef.\u0661", "_reply.0123456789abcdef.\u0661"),
        ("_reply.0123456789ABCDEF.17", "_reply.0123456789ABCDEF.17"),
        ("_reply.abcd.17", "_reply.abcd.17"),
        ("_reply.a.b", "_reply.a.b"),
        ("_reply.a.b.1", "_reply.a.b.1"),
        ("somewhere", "somewhere"),
        ("a.1", "a.1"),
        ("workers.eu.1", "workers.eu.1"),
        ("reply.0123456789abcdef.17", "reply.0123456789abcdef.17"),
        ("_agency.node.17", "_agency.node.17"),
    ],
)
def test_answers_go_to_the_nodes_address_or_to_the_address_as_it_is(
    reply_to: str, address: str
) -> None:
    assert published_at(reply_to) == address
