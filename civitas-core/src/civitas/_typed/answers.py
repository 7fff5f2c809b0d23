"""Answers: the answer of an ask as an object of the model that `reply=` names."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from civitas._typed.converting import converter_of
from civitas._typed.refusals import ValueRefusedError, unresolved
from civitas._typed.shapes import tag_of
from civitas.errors import MessageValidationError, printable
from civitas.messages import TYPE_REPLY, Message

R = TypeVar("R")

_SHOWN: Final = 100
"""Bytes of a name or type that an error shows: they come from others."""


def as_model(asking: Coroutine[Any, Any, Message], model: type[R]) -> Coroutine[Any, Any, R]:
    """Return an ask that gives an object of a model.

    Raises:
        ConfigurationError: the class is no model, or has a field of a type that is not converted.
    """
    try:
        convert = converter_of(model, "reply=")
    except BaseException as error:
        asking.close()
        if isinstance(error, NameError):
            raise unresolved(model, error) from error
        raise
    return _converted(asking, model, convert)


async def _converted(
    asking: Coroutine[Any, Any, Message], model: type[R], convert: Callable[[Any], R]
) -> R:
    answer = await asking
    said = f"the answer of agent {printable(answer.sender, _SHOWN)!r} is no {model.__qualname__}"
    tag = tag_of(model)
    if answer.type not in (tag, TYPE_REPLY):
        raise MessageValidationError(
            f"{said}: it is of type {printable(answer.type, _SHOWN)!r}, and not of {tag!r}"
        )
    try:
        return convert(answer.payload)
    except ValueRefusedError as refused:
        raise MessageValidationError(f"{said}: {refused}", refused.path) from None
