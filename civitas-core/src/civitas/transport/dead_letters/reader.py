"""MessageReader: what can be read of a kept message, and the frame that goes back. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import DeserializationError, FrameError, UnauthenticatedFrameError
from civitas.messages import Message, name_problem
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer, name_of
from civitas.transport.dead_letters.store import KeptMessage

if TYPE_CHECKING:
    from civitas._signing.signatures import AddressKey, ClusterKey


@dataclass(frozen=True, slots=True)
class MessageContents:
    """What can be read of the frame of a kept message.

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


class MessageReader:
    """Reads kept messages, and makes the frames that go back.

    Args:
        serializers: those of the system, beside the two of core.
        key: the cluster's key. Without it a signed frame goes back only as it is.
    """

    def __init__(
        self, serializers: Iterable[Serializer] = (), key: ClusterKey | None = None
    ) -> None:
        known: list[Serializer] = [MsgpackSerializer(), JsonSerializer(), *serializers]
        self._serializers: Final = {name_of(each): each for each in known}
        self._key = key

    def contents_of(self, frame: bytes) -> MessageContents:
        """Return what can be read of a frame, signed or not; the bytes may come from anyone."""
        try:
            opened = envelope.open(envelope.unsigned(frame))
        except FrameError as error:
            return MessageContents(None, f"not a frame: {error}", unreadable=True)
        serializer = self._serializers.get(opened.serializer)
        if serializer is None:
            return MessageContents(None, f"written by the serializer {opened.serializer!r}")
        try:
            message = serializer.deserialize(opened.body)
        except DeserializationError as error:
            return MessageContents(None, str(error), unreadable=True)
        if opened.reply_to:
            message.reply_to = opened.reply_to
        return MessageContents(message)

    def reason_to_keep(
        self, kept: KeptMessage, agent: str, now: float, *, expired_too: bool
    ) -> str:
        """Return why a message can't go to an agent; empty when it can.

        Args:
            kept: the message.
            agent: where it is to go.
            now: seconds since the epoch.
            expired_too: whether it may go when its time to live is over.
        """
        problem = name_problem(agent)
        if problem is not None:
            return f"no agent has this name: {problem}"
        contents = self.contents_of(kept.frame)
        if contents.unreadable:
            return f"no agent can read it: {contents.problem}"
        expired = contents.expired(now)
        if envelope.is_signed(kept.frame) and (expired or agent != kept.agent):
            refused = self._signature_problem(kept)
            if refused and not expired:
                return f"it is signed (signed_frames) for {kept.agent!r}, and {refused}"
            if refused:
                return f"its time to live is over, it is signed (signed_frames), and {refused}"
        if expired and not expired_too:
            return (
                "its time to live is over, and its agent would drop it; with --expired it goes"
                " without one, and nobody gets the answer"
            )
        return ""

    def frame_for(self, kept: KeptMessage, agent: str, now: float) -> bytes:
        """Return the frame for an agent: as if it had never been delivered.

        A message whose time to live is over gets no time limit, and no reply address: whoever asked
        waits no more. What can't go as it is signed is signed anew.

        Args:
            kept: a message without a reason to keep it.
            agent: where it goes.
            now: seconds since the epoch.

        Raises:
            CivitasError: the message can't be serialized again.
        """
        expired = self.contents_of(kept.frame).expired(now)
        if not envelope.is_signed(kept.frame) or not (expired or agent != kept.agent):
            frame = envelope.with_attempt(kept.frame, 0)
            return self._without_limit(frame) if expired else frame
        plain, counter = self._at(kept.agent).verify(kept.frame)
        plain = envelope.with_attempt(plain, 0)
        return self._at(agent).sign(self._without_limit(plain) if expired else plain, counter)

    def _without_limit(self, frame: bytes) -> bytes:
        opened = envelope.open(frame)
        serializer = self._serializers[opened.serializer]
        message = serializer.deserialize(opened.body)
        message.ttl = message.reply_to = None
        origin = Origin(opened.node, opened.generation)
        body = serializer.serialize(message)
        return envelope.seal(
            body, opened.serializer, origin, kind=opened.kind, number=opened.number
        )

    def _signature_problem(self, kept: KeptMessage) -> str:
        """Return why a signed frame can't be signed anew; empty when it can."""
        if self._key is None:
            return "it can't be changed without the cluster_key"
        try:
            self._at(kept.agent).verify(kept.frame)
        except UnauthenticatedFrameError as error:
            return str(error)
        return ""

    def _at(self, agent: str) -> AddressKey:
        assert self._key is not None
        return self._key.at(agent, attempt_may_change=True)
