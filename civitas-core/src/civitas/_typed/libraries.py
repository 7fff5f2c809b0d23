"""Libraries: models that validate themselves. What they need is found from the class."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from civitas._typed.refusals import ValueRefusedError, key_step, refused_by
from civitas.errors import describe


def of_pydantic(cls: type) -> Callable[[Any], Any]:
    """Return the function that makes an object of a pydantic model.

    Raises:
        NameError: a type that it names is not there yet.
    """
    model: Any = cls
    if not getattr(model, "__pydantic_complete__", True) and not model.model_rebuild(
        raise_errors=False
    ):
        raise NameError("its types can't be found")
    validate: Callable[[Any], Any] = model.model_validate

    def convert(value: Any) -> Any:
        try:
            return validate(value)
        except Exception as error:  # noqa: BLE001 - its validators may raise anything
            raise _of_pydantic_error(cls.__name__, error) from None

    return convert


def of_struct(cls: type) -> Callable[[Any], Any]:
    """Return the function that makes an object of a msgspec Struct.

    Raises:
        NameError: a type that it names is not there yet.
    """
    typing.get_type_hints(cls)
    convert_to: Callable[[Any, type], Any] = library_of(cls).convert

    def convert(value: Any) -> Any:
        try:
            return convert_to(value, cls)
        except Exception as error:  # noqa: BLE001 - its `__post_init__` may raise anything
            raise _of_struct_error(cls.__name__, error) from None

    return convert


def library_of(cls: type) -> Any:
    """Return the library that a Struct comes from: it is loaded, since the class is there."""
    return sys.modules[type(cls).__module__.partition(".")[0]]


def _of_pydantic_error(name: str, error: Exception) -> ValueRefusedError:
    try:
        found: Sequence[Mapping[str, Any]] = error.errors(  # type: ignore[attr-defined]
            include_url=False, include_context=False, include_input=False
        )
        first, more = found[0], len(found) - 1
        reason = f"is refused by {name}: {first['msg']}"
        steps = (f"[{at}]" if isinstance(at, int) else key_step(at) for at in first["loc"])
    except Exception:  # noqa: BLE001 - it is no error of validation, or says nothing
        return refused_by(name, error)
    if more > 0:
        reason += f" (and {more} more)"
    return ValueRefusedError(reason, *reversed(tuple(steps)))


def _of_struct_error(name: str, error: Exception) -> ValueRefusedError:
    if type(error).__name__ != "ValidationError":
        return refused_by(name, error)
    text = describe(error).text
    reason, found, place = text.rpartition(" - at `$")
    if not found:
        return ValueRefusedError(f"is refused by {name}: {text}")
    return ValueRefusedError(f"is refused by {name}: {reason}", place.removesuffix("`"))
