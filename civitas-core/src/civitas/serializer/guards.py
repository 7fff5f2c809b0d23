"""Guards around a foreign serializer: what it raises or returns wrongly becomes a CivitasError."""

from __future__ import annotations

from collections.abc import Callable

from civitas.errors import (
    CivitasError,
    DeserializationError,
    SerializationError,
    crash_of,
    describe,
)
from civitas.messages import Message
from civitas.serializer.fields import field_problem
from civitas.serializer.formats import JsonSerializer, MsgpackSerializer
from civitas.serializer.protocol import Serializer, name_of


def guarded(serializer: Serializer) -> Callable[[Message], bytes]:
    """Return `serialize`; a foreign one may raise anything, and that becomes SerializationError."""
    if isinstance(serializer, MsgpackSerializer | JsonSerializer):
        return serializer.serialize

    who = f"serializer {name_of(serializer)!r}"

    def serialize(message: Message) -> bytes:
        try:
            body: object = serializer.serialize(message)
        except CivitasError:
            raise
        except BaseException as error:
            problem = f"{who} failed: {describe(crash_of(error))}"
            raise SerializationError(problem, "payload") from error
        if isinstance(body, bytes):
            return body
        raise SerializationError(f"{who} made a {type(body).__name__}, not bytes", "payload")

    return serialize


def checked(serializer: Serializer) -> Callable[[bytes], Message]:
    """Return `deserialize`; of a foreign one, with the result checked."""
    if isinstance(serializer, MsgpackSerializer | JsonSerializer):
        return serializer.deserialize

    def deserialize(body: bytes) -> Message:
        message: object = serializer.deserialize(body)
        who = f"serializer {name_of(serializer)!r}"
        if not isinstance(message, Message):
            raise DeserializationError(f"{who} made a {type(message).__name__}, not a Message")
        problem = field_problem(message)
        if problem is not None:
            raise DeserializationError(f"{who} made a message whose {problem}")
        return message

    return deserialize
