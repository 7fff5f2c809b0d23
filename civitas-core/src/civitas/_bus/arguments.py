"""Arguments: what the verbs take besides the ordinary types, and what they refuse, with a hint.

The verbs come here only with an argument that is not exactly a `str`, a `dict` or a positive
`float`, so none of this is on the hot path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from math import isfinite, isinf, isnan
from numbers import Real
from typing import Any, Final

from civitas._typed.shapes import is_model
from civitas.errors import MessageValidationError, printable
from civitas.messages import RESERVED_PREFIX, TYPE_MESSAGE, TYPE_REPLY, Message

_PRIORITIES: Final = 2**31
_SHOWN = 60
"""Bytes of a wrong argument that an error shows."""


def checked(
    recipient: object, payload: object, message_type: object, *, timed: bool = False
) -> tuple[str, dict[str, Any], str]:
    """Return recipient (or pattern), payload and type of a message as they are sent.

    `timed` says that the verb has a timeout, which may be what stands in a wrong place.

    Raises:
        MessageValidationError: one of them can't be sent.
    """
    if isinstance(payload, str) and isinstance(message_type, Mapping):
        raise MessageValidationError(
            f"the payload is text and the message_type a mapping; did you mean "
            f"({_quoted(recipient)}, payload, {_quoted(payload)})?"
        )
    if not isinstance(message_type, str):
        raise MessageValidationError(
            f"a message_type is text, not {kind_of(message_type)}{_type_hint(message_type, timed)}"
        )
    if not isinstance(recipient, str):
        raise MessageValidationError(
            f"a recipient is an agent's name, a text, not {kind_of(recipient)}"
            f"{_name_hint(recipient)}"
        )
    what = f"a payload (here for {printable(recipient, _SHOWN)!r})"
    # Of a subclass of str, such as an Enum, only the text: it may have a hash of its own.
    tag, sent = as_sent(payload, str.__str__(message_type), TYPE_MESSAGE, what)
    return str.__str__(recipient), sent, tag


def as_answer(payload: object) -> tuple[str, dict[str, Any]]:
    """Return type and payload of an answer, as they are sent.

    Raises:
        MessageValidationError: it is neither a mapping nor an object of a model.
    """
    return as_sent(payload, TYPE_REPLY, TYPE_REPLY, "the payload of a reply")


def as_sent(payload: object, given: str, default: str, what: str) -> tuple[str, dict[str, Any]]:
    """Return message type and payload as they are sent: a model has a type of its own.

    It is sent where no other type than the default was given.

    Raises:
        MessageValidationError: the payload is neither a mapping nor an object of a model.
    """
    if isinstance(payload, dict):
        return given, payload
    if isinstance(payload, Mapping):
        return given, dict(payload)
    if is_model(type(payload)):
        from civitas._typed.sending import as_message  # most send none

        tag, sent = as_message(payload)
        return (tag if given == default else given), sent
    raise MessageValidationError(
        f"{what} is a dict or another mapping, or an object of a model, "
        f"not {kind_of(payload)}{_payload_hint(payload)}"
    )


def as_timeout(timeout: object) -> float | None:
    """Return a timeout that was given for an ask, in seconds; None for infinity.

    Raises:
        MessageValidationError: it is no number.
    """
    if type(timeout) is int:  # most of those that come here
        return float(timeout)
    if not isinstance(timeout, bool) and isinstance(timeout, Real):
        seconds = float(timeout)
        if not isnan(seconds):
            return None if isinf(seconds) and seconds > 0 else seconds
    hint = ""
    if isinstance(timeout, timedelta):
        hint = "; did you mean its total_seconds()?"
    elif isinstance(timeout, str):
        hint = f"; did you mean timeout={printable(timeout, _SHOWN)}?"
    raise MessageValidationError(
        f"a timeout is a number of seconds, or None for no limit, not {kind_of(timeout)}{hint}"
    )


def as_seconds(given: object, what: str, *, above_zero: bool = False) -> float:
    """Return a number of seconds that something is to take; `what` begins the error.

    Raises:
        MessageValidationError: it is none, is not finite, or too small.
    """
    if not isinstance(given, bool) and isinstance(given, Real):
        seconds = float(given)
        if isfinite(seconds) and (seconds > 0.0 or (seconds == 0.0 and not above_zero)):
            return seconds
    hint = "; did you mean its total_seconds()?" if isinstance(given, timedelta) else ""
    least = "above 0" if above_zero else "of at least 0"
    raise MessageValidationError(
        f"{what} a finite number of seconds {least}, not {kind_of(given)}{hint}"
    )


def _type_hint(given: object, timed: bool) -> str:
    if timed and type(given) in {int, float}:
        return f"; did you mean timeout={_shown(given)}?"
    if given is None:
        return "; leave it out for 'message'"
    if isinstance(given, bytes | bytearray | Enum):
        return _text_hint(given)
    return ""


def _name_hint(given: object) -> str:
    if isinstance(given, bytes | bytearray | Enum):
        return _text_hint(given)
    name = getattr(given, "name", None)  # of an agent
    return f"; did you mean its name, {_shown(name)}?" if isinstance(name, str) else ""


def _payload_hint(given: object) -> str:
    if dataclasses.is_dataclass(given) and hasattr(given, "payload"):
        return "; did you mean its payload?"
    if isinstance(given, type) and is_model(given):
        return f"; did you mean an object of it, {given.__name__}(...)?"
    return '; put the value under a key, such as {"value": ...}'


def _text_hint(given: bytes | bytearray | Enum) -> str:
    text = given.value if isinstance(given, Enum) else given.decode(errors="replace")
    return f"; did you mean {_shown(text)}?" if isinstance(text, str) else ""


def kind_of(given: object) -> str:
    """Say what an argument is: its value where that is short, else its type."""
    if given is None:
        return "None"
    if isinstance(given, type):
        return f"the class {given.__name__}"
    if isinstance(given, bool | int | float | bytes | str):
        return f"{_shown(given)} ({type(given).__name__})"
    return f"an object of type {printable(type(given).__name__, _SHOWN)}"


def _shown(given: object) -> str:
    return printable(repr(given), _SHOWN)


def _quoted(given: object) -> str:
    return _shown(given) if isinstance(given, str) else "recipient"


def give_limits(message: Message, ttl: float | None, priority: int) -> None:
    """Give a message, which was just composed, its time to live and its priority.

    Args:
        message: gets them.
        ttl: seconds above 0; None, or infinity, for no limit.
        priority: a whole number of 32 bits with a sign, which every serializer carries.

    Raises:
        MessageValidationError: one is no such number.
    """
    given: object = ttl
    if given is not None:
        if isinstance(given, bool) or not isinstance(given, Real) or not float(given) > 0.0:
            raise MessageValidationError(
                f"ttl is a number of seconds above 0, or None for no limit, not {kind_of(given)}"
            )
        message.ttl = None if isinf(given) else float(given)
    if type(priority) is not int or not -_PRIORITIES <= priority < _PRIORITIES:
        raise MessageValidationError(
            f"a priority is a whole number of 32 bits with a sign, not {kind_of(priority)}"
        )
    message.priority = priority


def reserved_type(message: Message) -> MessageValidationError:
    """Return the error of a message whose type belongs to the runtime."""
    return MessageValidationError(
        f"message type {message.type!r} to {message.recipient!r}: types that begin with "
        f"{RESERVED_PREFIX!r} are reserved for the runtime; use another one"
    )
