"""Frames of messages that a transport keeps, as agents have sent them."""

from __future__ import annotations

from typing import Any

from civitas import envelope
from civitas.envelope import Origin
from civitas.messages import compose
from civitas.serializer import MsgpackSerializer, Serializer, name_of

ORIGIN = Origin(b"8 bytes!", 1)


def frame_of(
    payload: dict[Any, Any],
    *,
    serializer: Serializer | None = None,
    reply_to: str = "",
    age: float = 0.0,
    ttl: float | None = None,
) -> bytes:
    """Return the frame of an order that has been delivered before."""
    chosen = serializer or MsgpackSerializer()
    message = compose("asker", "a", payload, "order", ttl=ttl)
    message.timestamp -= age
    body = chosen.serialize(message)
    return envelope.seal(body, name_of(chosen), ORIGIN, attempt=3, reply_to=reply_to)
