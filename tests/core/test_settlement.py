"""Settlement: the handler of a durable transport ends when the agent has processed the frame."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from civitas._bus.mailbox import Mailbox
from civitas._bus.receivers import DurableReceiver
from civitas._bus.settlement import DurableFrame
from civitas.envelope import KIND_REPLY, KIND_SYSTEM, Origin, seal
from civitas.errors import FrameError, MessageRoutingError, ProcessingError

ORIGIN = Origin(b"\x01" * 8, 1)
FRAME = seal(b"body", "msgpack", ORIGIN)
AGAIN = seal(b"body", "msgpack", ORIGIN, attempt=2)


class Receiving:
    """A receiver, its mailbox, and the handler of one frame as a task."""

    def __init__(self, size: int = 10) -> None:
        self.mailbox: Mailbox[bytes] = Mailbox("agent", size)
        self.rejecting = False
        self.rejected: list[tuple[bytes, str]] = []
        self.dropped: list[str] = []
        self.receiver = DurableReceiver(
            self.mailbox, self.reject, lambda reason, _frame: self.dropped.append(reason)
        )

    async def reject(self, frame: bytes, agent: str) -> bool:
        if self.rejecting:
            self.rejected.append((frame, agent))
        return self.rejecting

    async def give(self, frame: bytes = FRAME) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self.receiver.handler(frame))
        await asyncio.sleep(0)
        return task

    def taken(self) -> DurableFrame:
        frame = self.mailbox.get_nowait()
        assert isinstance(frame, DurableFrame)
        return frame


@contextmanager
def no_complaints() -> Iterator[None]:
    """See that the event loop has nothing to complain of, also when what is left is collected."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    yield
    gc.collect()
    assert not told


# --- the frame ------------------------------------------------------------------------------------


async def test_a_durable_frame_is_the_frame_itself_to_whoever_reads_it() -> None:
    durable = DurableFrame(FRAME)
    assert durable == FRAME
    assert durable.startswith(FRAME[:3])
    assert not DurableFrame(FRAME).redelivered
    assert DurableFrame(AGAIN).redelivered


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"hello, world"])
async def test_bytes_that_are_no_frame_were_not_delivered_before(junk: bytes) -> None:
    assert not DurableFrame(junk).redelivered


async def test_what_was_said_first_of_a_durable_frame_stands() -> None:
    first, second = DurableFrame(FRAME), DurableFrame(FRAME)
    first.processed()
    first.failed(ValueError())
    assert await first.outcome is None
    error = ValueError()
    second.failed(error)
    second.processed()
    assert await second.outcome is error


# --- the handler ----------------------------------------------------------------------------------


async def test_the_handler_ends_when_the_frame_is_processed_and_not_before() -> None:
    receiving = Receiving()
    handling = await receiving.give()
    durable = receiving.taken()
    await asyncio.sleep(0)
    assert not handling.done()
    durable.processed()
    assert await handling is None
    assert receiving.receiver.delivered == 1


@pytest.mark.parametrize(
    "error", [ProcessingError("agent", "ValueError", "no"), MessageRoutingError("gone")]
)
async def test_the_handler_raises_what_the_frame_failed_with(error: Exception) -> None:
    receiving = Receiving()
    handling = await receiving.give()
    receiving.taken().failed(error)
    with pytest.raises(type(error)) as caught:
        await handling
    assert caught.value is error


async def test_a_handler_that_is_cancelled_takes_its_frame_out_of_the_mailbox() -> None:
    receiving = Receiving()
    first, second = await receiving.give(), await receiving.give()
    first.cancel()
    await asyncio.wait((first,))
    assert first.cancelled()
    receiving.taken().processed()  # the second, though their bytes are the same
    assert await second is None
    assert receiving.mailbox.get_nowait() is None


async def test_a_handler_that_is_cancelled_while_it_waits_for_room_leaves_nothing() -> None:
    receiving = Receiving(size=1)
    first, second = await receiving.give(), await receiving.give()
    durable = receiving.taken()  # which lets the second one in
    second.cancel()
    await asyncio.wait((second,))
    assert second.cancelled()
    assert receiving.mailbox.pending == 0
    durable.processed()
    await first


@pytest.mark.parametrize("outcome", [None, ProcessingError("agent", "ValueError", "no")])
async def test_what_becomes_of_a_frame_after_its_handler_was_cancelled_is_nobodys_concern(
    outcome: Exception | None,
) -> None:
    receiving = Receiving()
    with no_complaints():
        for cancelled_first in (True, False):
            handling = await receiving.give()
            durable = receiving.taken()
            if cancelled_first:
                handling.cancel()
            _settle(durable, outcome)
            handling.cancel()
            await asyncio.wait((handling,))
            assert handling.cancelled()
            del handling, durable


async def test_a_closed_mailbox_raises_why_out_of_the_handler() -> None:
    receiving = Receiving(size=1)
    inside, waiting = await receiving.give(), await receiving.give()
    for frame in receiving.mailbox.close("it has stopped"):
        assert isinstance(frame, DurableFrame)
        frame.failed(MessageRoutingError("it has stopped"))
    late = await receiving.give()
    for handling in (inside, waiting, late):
        with pytest.raises(MessageRoutingError, match="it has stopped"):
            await handling


async def test_what_is_rejected_never_comes_into_the_mailbox() -> None:
    receiving = Receiving()
    receiving.rejecting = True
    assert await (await receiving.give()) is None
    assert receiving.rejected == [(FRAME, "agent")]
    assert receiving.mailbox.pending == 0
    assert receiving.receiver.delivered == 0


def _settle(durable: DurableFrame, outcome: Exception | None) -> None:
    if outcome is None:
        durable.processed()
    else:
        durable.failed(outcome)


@pytest.mark.parametrize("kind", [KIND_REPLY, KIND_SYSTEM])
async def test_what_is_no_message_is_refused_for_good(kind: int) -> None:
    receiving = Receiving()
    with pytest.raises(FrameError, match="no message"):
        await receiving.receiver.handler(seal(b"body", "msgpack", ORIGIN, kind=kind))
    assert receiving.dropped == ["no message, at an agent's address"]
    assert len(receiving.mailbox) == 0
