"""Contents of dead letters: what can be read of the message, and the frame to replay. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import DeserializationError, FrameError
from civitas.messages import Message, name_problem
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer
from civitas_nats.jetstream.dead_letters import StoredDeadLetter

_SERIALIZERS: Final[dict[str, Serializer]] = {
    each.name: each for each in (MsgpackSerializer(), JsonSerializer())
}


@dataclass(frozen=True, slots=True)
class DeadLetterContents:
    """What can be read of the frame of a dead letter.

    Attributes:
        message: what the agent was sent; None when it can't be read here.
        problem: why it can't be read here; empty when it can.
        unreadable: whether no agent can read it either.
    """

    message: Message | None
    problem: str = ""
    unreadable: bool = False

    def expired(self, now: float) -> bool:
        """Return whether an agent would drop the message at `now` (seconds since the epoch)."""
        try:
            return self.message is not None and self.message.expired(now)
        except OverflowError:  # an integer of JSON may be too large for a time
            return False


def contents_of(frame: bytes) -> DeadLetterContents:
    """Return what can be read of a frame, signed or not; the bytes may come from anyone."""
    try:
        opened = envelope.open(envelope.unsigned(frame))
    except FrameError as error:
        return DeadLetterContents(None, f"not a frame: {error}", unreadable=True)
    serializer = _SERIALIZERS.get(opened.serializer)
    if serializer is None:
        return DeadLetterContents(None, f"written by the serializer {opened.serializer!r}")
    try:
        message = serializer.deserialize(opened.body)
    except DeserializationError as error:
        return DeadLetterContents(None, str(error), unreadable=True)
    if opened.reply_to:
        message.reply_to = opened.reply_to
    return DeadLetterContents(message)


def reason_to_keep(stored: StoredDeadLetter, now: float, *, expired_too: bool) -> str:
    """Return why a dead letter can't be replayed; empty when it can.

    Args:
        stored: the letter.
        now: seconds since the epoch.
        expired_too: whether a letter may be replayed whose time to live is over.
    """
    problem = name_problem(stored.letter.agent)
    if problem is not None:
        return f"no agent has this name: {problem}"
    contents = contents_of(stored.letter.frame)
    if contents.unreadable:
        return f"no agent can read it: {contents.problem}"
    if contents.expired(now) and envelope.is_signed(stored.letter.frame):
        return (
            "its time to live is over, and its agent would drop it; it is signed (signed_frames), "
            "so it can't be changed and goes back only as it is"
        )
    if contents.expired(now) and not expired_too:
        return (
            "its time to live is over, and its agent would drop it; with --expired it goes back"
            " without one, and nobody gets the answer"
        )
    return ""


def replay_frame(stored: StoredDeadLetter, now: float) -> bytes:
    """Return the frame for a replay: as if it had never been delivered.

    A message whose time to live is over gets no time limit, and no reply address: whoever asked
    waits no more.

    Args:
        stored: a letter without a reason to keep it.
        now: seconds since the epoch.

    Raises:
        CivitasError: the message can't be serialized again.
    """
    frame = stored.letter.frame
    contents = contents_of(frame)
    if contents.message is None or not contents.expired(now):
        return envelope.with_attempt(frame, 0)
    opened = envelope.open(frame)
    message = contents.message
    message.ttl = message.reply_to = None
    body = _SERIALIZERS[opened.serializer].serialize(message)
    origin = Origin(opened.node, opened.generation)
    return envelope.seal(body, opened.serializer, origin, kind=opened.kind, number=opened.number)
