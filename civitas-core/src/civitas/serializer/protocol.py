"""The Serializer protocol, and the name that frames carry for one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from civitas.messages import Message


@runtime_checkable
class Serializer(Protocol):
    """What turns messages into bytes and back.

    A serializer may have an attribute `name` (ASCII), which is written into every frame; without
    it, the name of its class is.
    """

    def serialize(self, message: Message) -> bytes:
        """Return the message as bytes.

        Raises:
            SerializationError: a value of the payload has no form in this format.
        """
        ...

    def deserialize(self, data: bytes) -> Message:
        """Return the message that `serialize` was given.

        Raises:
            DeserializationError: the bytes are not a message in this format.
        """
        ...


def name_of(serializer: Serializer) -> str:
    """Return the name that frames carry for this serializer."""
    name = getattr(serializer, "name", None)
    return name if isinstance(name, str) and name else type(serializer).__name__


def renamed(serializer: Serializer, name: str) -> Serializer:
    """Return the serializer under the name that its plugin has, which is the one in frames."""
    return serializer if name_of(serializer) == name else _Renamed(name, serializer)


class _Renamed:
    def __init__(self, name: str, serializer: Serializer) -> None:
        self.name = name
        self.serialize = serializer.serialize
        self.deserialize = serializer.deserialize
