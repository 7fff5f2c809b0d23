"""Contents: what is in a dead letter, as far as it can be read, and what goes back. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import DeserializationError, FrameError
from civitas.messages import Message, name_problem
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer
from civitas_nats.jetstream.dead_letters import Buried

_SERIALIZERS: Final[dict[str, Serializer]] = {
    each.name: each for each in (MsgpackSerializer(), JsonSerializer())
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a frame.

    Attributes:
        message: what the agent was sent; None when it can't be read here.
        problem: why it can't; empty when it can.
        unreadable: whether no agent can read it.
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


def contents_of(frame: bytes) -> Contents:
    """Return what is in a frame; the bytes may be anyone's."""
    try:
        opened = envelope.open(frame)
    except FrameError as error:
        return Contents(None, f"not a frame: {error}", unreadable=True)
    serializer = _SERIALIZERS.get(opened.serializer)
    if serializer is None:
        return Contents(None, f"written by the serializer {opened.serializer!r}")
    try:
        message = serializer.deserialize(opened.body)
    except DeserializationError as error:
        return Contents(None, str(error), unreadable=True)
    if opened.reply_to:
        message.reply_to = opened.reply_to
    return Contents(message)


def objection(buried: Buried, now: float, *, expired_too: bool) -> str:
    """Return why a dead letter can't go back to its agent; empty when it can.

    Args:
        buried: the letter.
        now: seconds since the epoch.
        expired_too: whether one may whose time is over.
    """
    problem = name_problem(buried.letter.agent)
    if problem is not None:
        return f"no agent has this name: {problem}"
    contents = contents_of(buried.letter.frame)
    if contents.unreadable:
        return f"no agent can read it: {contents.problem}"
    if contents.expired(now) and not expired_too:
        return (
            "its time to live is over, and its agent would drop it; with --expired it goes back"
            " without one, and nobody gets the answer"
        )
    return ""


def frame_again(buried: Buried, now: float) -> bytes:
    """Return the frame that goes back: as if it had never been delivered.

    A message whose time is over gets all the time there is, and no address for an answer: who
    asked does not wait any more.

    Args:
        buried: a letter without an objection.
        now: seconds since the epoch.

    Raises:
        CivitasError: what was read can't be written.
    """
    frame = buried.letter.frame
    contents = contents_of(frame)
    if contents.message is None or not contents.expired(now):
        return envelope.with_attempt(frame, 0)
    opened = envelope.open(frame)
    message = contents.message
    message.ttl = message.reply_to = None
    body = _SERIALIZERS[opened.serializer].serialize(message)
    origin = Origin(opened.node, opened.generation)
    return envelope.seal(body, opened.serializer, origin, kind=opened.kind, number=opened.number)
