"""OutgoingBatches: what goes to one address in one turn of the event loop travels as one message.

Theory. A message of the wire costs as much as all that a bus does for a frame, so a stream, and the
answers to many who ask at once, gain from sharing one. Nothing waits for it longer than a turn of
the loop: the first frame of an address is handed over at once; those behind it are kept, and handed
over as a batch when there are enough of them, or when the turn ends. `send` returns for a frame
that is kept. It counts as sent then, as one that is under way: it is handed over, or it is lost,
and its number says so.

    an address | event                            | what is done                       | becomes
    -----------+----------------------------------+------------------------------------+----------
    quiet      | a frame, and the transport has   | handed over; the turn begins, if   | begun, or
               | room                             | the last one was a moment ago      | quiet
               | a frame, and there is no room    | its sender waits in the transport  | quiet
    begun      | a frame                          | kept                               | begun
               | one, and the first that is kept  | all that is kept goes as one       | begun
               | is old                           |                                    |
               | one that is large                | what is kept goes, then that one   | begun
               | enough is kept                   | it goes as one                     | begun
               | the turn ends; `flush`           | what is kept goes as one           | quiet
               | ... and there is no room for it  | a task waits for room              | late
    late       | a frame                          | its sender waits in line           | late
               | the transport has taken what was | those in line go on, one behind    | quiet
               | late, or can't                   | the other                          |

A turn may be long, where handlers compute: what was kept for 1 ms goes with the next frame, then.

So frames of one address leave in the order in which they were given here, whatever happens, and
whoever finds no room waits. What the transport can't take after all, a numbered frame shows as a
gap, and others are dropped and counted.

A turn begins only where more is to be expected (`within`): the end of one costs a callback of the
loop, 1 us, which a lone question should not pay. To find that it is alone costs 0.2 us.

Only where a transport has `publish_nowait`, which takes a frame or says that it can't, is anything
kept; so what was kept goes in the order of the calls, and without a task. Frames at system
addresses don't come here: what nodes say to each other goes at once, and each by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from civitas import _platform as platform
from civitas import envelope
from civitas._bus.accounting import number_of
from civitas._bus.wait_queue import WaitQueue
from civitas.envelope import BATCH_OVERHEAD
from civitas.errors import TransportError, crash_of, describe, logger_of
from civitas.transport import Transport
from civitas.transport.tasks import Failed, cancel_task, guard_callback, start_task

logger = logger_of("civitas.node")

MOST_FRAMES: Final = 64
"""Frames of a batch. More would save nothing: the wire's cost for each is 1/64 then."""

MOST_BYTES: Final = 1 << 16
"""Bytes of a batch: to copy what is large costs more than a message of its own."""

LARGE: Final = 1 << 13
"""Bytes above which a frame goes by itself."""

DENSE: Final = 1e-3
"""Seconds since the last frame within which a message may have others behind it; and for which one
is kept while others come."""

LONE: Final = 100e-6
"""The same for a question, or an answer, of which nothing else is under way: the next one takes
longer, unless somebody else asks or answers."""

_LAST_TIMEOUT: Final = 1.0
"""Seconds that what is late may take when the node ends."""

Offer: TypeAlias = Callable[[str, bytes], bool]


class OutgoingBatches:
    """Publishes frames for agents of other nodes, and answers, in the order in which they come.

    Args:
        transport: carries them; it decides by `publish_nowait` whether frames go together.
        send_timeout: seconds that a sender waits behind what is late.
        dropped: called with (reason, frame) for each frame without a number that can't be sent.
        failed: called when something of this that runs on its own has ended unexpectedly.
        together: False where a frame must be published by itself: the transport is durable.
    """

    def __init__(
        self,
        transport: Transport,
        send_timeout: float,
        dropped: Callable[[str, bytes], None],
        failed: Failed,
        *,
        together: bool = True,
    ) -> None:
        offer: Offer | None = getattr(transport, "publish_nowait", None) if together else None
        self.together: Final = offer is not None
        """Whether anything is kept at all."""
        self._offer: Offer = _never if offer is None else offer
        self._publish = transport.publish
        self._send_timeout = send_timeout
        self._dropped = dropped
        self._failed = failed
        self._end_later = guard_callback(
            self._end_turn, name="civitas outgoing batches", failed=failed
        )
        capabilities = getattr(transport, "capabilities", None)
        largest = capabilities.max_message_bytes if capabilities is not None else None
        self._most_bytes = MOST_BYTES if largest is None else min(MOST_BYTES, largest)
        self._large = min(LARGE, self._most_bytes - 2 * BATCH_OVERHEAD)
        self._turn: asyncio.Handle | None = None
        self._begun: dict[str, _Kept] = {}
        self._late: dict[str, _Late] = {}
        self._sent_at = 0.0

    def publish_nowait(self, address: str, frame: bytes, within: float = DENSE) -> bool:
        """Send a frame, at the end of this turn at the latest; return False if it has to wait.

        It begins a turn if the last frame was sent, to whomever, `within` so many seconds.
        """
        kept = self._begun.get(address)
        if kept is not None:
            return self._keep(address, kept, frame)
        if (self._late and address in self._late) or not self._offer(address, frame):
            return False
        if self._turn is None:
            now = platform.monotonic()
            if now - self._sent_at > within:
                self._sent_at = now
                return True
            self._turn = asyncio.get_running_loop().call_soon(self._end_later)
        self._begun[address] = _Kept()
        return True

    def begin_publish(
        self, address: str, frame: bytes, within: float = DENSE
    ) -> Awaitable[None] | None:
        """Do what `publish` does; return the wait, where it has to wait, and None where not."""
        if self.publish_nowait(address, frame, within):
            return None
        return self.wait_and_publish(address, frame)

    async def publish(self, address: str, frame: bytes, within: float = DENSE) -> None:
        """Send a frame, at the end of this turn at the latest, or when there is room for it.

        Raises:
            TransportError: as for `Transport.publish`; or what went before it is still not taken.
        """
        if not self.publish_nowait(address, frame, within):
            await self.wait_and_publish(address, frame)

    async def wait_and_publish(self, address: str, frame: bytes) -> None:
        """Do so for a frame that `publish_nowait` has just returned False for."""
        late = self._late.get(address)
        if late is not None:
            try:
                await late.line.wait(None, self._send_timeout)
            except TimeoutError:
                raise TransportError(
                    f"no room for a frame to {address!r} within {self._send_timeout:g} s: what "
                    f"went before it is not taken"
                ) from None
            finally:
                self._go_on(address, late)
        await self._publish(address, frame)

    def flush(self) -> None:
        """Hand over what is kept: what is published next, anywhere, is not to overtake it."""
        if self._turn is not None:
            self._turn.cancel()
            self._end_turn()

    async def close(self) -> None:
        """Hand over what is kept, and end; what is late has a second. Nothing is kept any more."""
        self.flush()
        self._offer = _never
        tasks = [late.task for late in self._late.values() if late.task is not None]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=_LAST_TIMEOUT)
            for task in pending:
                cancel_task(task)
            if pending:
                await asyncio.wait(pending)

    # --- a turn ---------------------------------------------------------------------------------

    def _keep(self, address: str, kept: _Kept, frame: bytes) -> bool:
        size = len(frame) + BATCH_OVERHEAD
        if size > self._large:
            self._hand_over(address, kept)
            return address not in self._late and self._offer(address, frame)
        if kept.bytes + size > self._most_bytes:
            self._hand_over(address, kept)
            if address in self._late:
                return False
        now = platform.monotonic()
        if not kept.frames:
            kept.since = now
        kept.bytes += size
        kept.frames.append(frame)
        if len(kept.frames) == MOST_FRAMES or now - kept.since > DENSE:
            self._hand_over(address, kept)
        return True

    def _end_turn(self) -> None:
        self._turn = None
        begun, self._begun = self._begun, {}
        for address, kept in begun.items():
            self._hand_over(address, kept)
        self._sent_at = platform.monotonic()

    def _hand_over(self, address: str, kept: _Kept) -> None:
        """Have the transport take what is kept, or wait until it does."""
        frames = kept.take()
        if not frames:
            return
        whole = frames[0] if len(frames) == 1 else envelope.batch(frames)
        try:
            taken = self._offer(address, whole)
        except BaseException as error:  # noqa: BLE001 - a transport may raise anything
            self._lose(address, frames, crash_of(error))
            return
        if not taken:
            self._begun.pop(address, None)
            late = self._late[address] = _Late()
            work = self._send_late(address, late, frames, whole)
            late.task = start_task(work, name="civitas late batch", failed=self._failed)

    # --- what is late ---------------------------------------------------------------------------

    async def _send_late(
        self, address: str, late: _Late, frames: list[bytes], whole: bytes
    ) -> None:
        try:
            await self._publish(address, whole)
        except BaseException as error:
            self._lose(address, frames, crash_of(error))
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            late.task = None
            self._go_on(address, late)

    def _go_on(self, address: str, late: _Late) -> None:
        """Let the first in line go on, behind which the next one does; or nothing is late."""
        if late.task is not None:
            return
        if late.line:
            late.line.wake()
        elif self._late.get(address) is late:
            del self._late[address]

    def _lose(self, address: str, frames: list[bytes], error: Exception) -> None:
        """Account for frames that `send` had returned for: numbers show the gap they leave."""
        count = len(frames)
        text = "%d frame%s to %r, which waited for the end of a turn, could not be sent: %s"
        logger.warning(text, count, "s"[: count != 1], address, describe(error))
        for frame in frames:
            if not number_of(frame):
                self._dropped("not sent at the end of its turn", frame)


class _Kept:
    """The frames of one address that wait for the end of the turn, and their bytes in a batch."""

    __slots__ = ("bytes", "frames", "since")

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.bytes = BATCH_OVERHEAD
        self.since = 0.0

    def take(self) -> list[bytes]:
        frames, self.frames, self.bytes = self.frames, [], BATCH_OVERHEAD
        return frames


class _Late:
    """The frames of one address for which there was no room, and who waits behind them."""

    __slots__ = ("line", "task")

    def __init__(self) -> None:
        self.line: WaitQueue[None] = WaitQueue()
        self.task: asyncio.Task[None] | None = None


def _never(_address: str, _frame: bytes) -> bool:
    return False
