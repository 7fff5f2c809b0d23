"""Refusals: a value that does not fit its field, and a message that its agent does not handle."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from civitas.errors import ConfigurationError, describe, printable

INVALID: Final = "its payload is not valid for its type"
"""Reason of the dead letter for a message whose payload does not fit the model."""

UNHANDLED: Final = "its agent has no handler for its type"
"""Reason of the dead letter for a message of another type than those of the agent's handlers."""

_SHOWN: Final = 60
"""Bytes of a name from the wire that an error shows."""

_NAMED: Final = 10
"""Names and choices that an error shows at most."""

_PATH_SHOWN: Final = 300
"""Bytes of a path that an error shows."""


class ValueRefusedError(Exception):
    """A value does not fit its field. Its path is put together on the way out."""

    def __init__(self, reason: str, *within: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self._steps = list(within)  # the innermost first

    def within(self, step: str) -> None:
        """Add the step that leads to the value from one level further out: `.key` or `[0]`."""
        self._steps.append(step)

    @property
    def path(self) -> str:
        """Where the value is, such as `payload.items[0].cents`."""
        return printable("payload" + "".join(reversed(self._steps)), _PATH_SHOWN)

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def key_step(key: object) -> str:
    """Return the step of a path to what is behind a key of a dict that came."""
    text = key if isinstance(key, str) else f"({type_name(type(key))})"
    return f".{printable(text, _SHOWN)}"


def type_name(kind: type) -> str:
    """Return how errors call a type of values, such as `a str`."""
    if kind is type(None):
        return "None"
    if kind is bytes:
        return "bytes"
    article = "an" if kind.__name__[:1] in "aeiouAEIOU" else "a"
    return f"{article} {printable(kind.__name__, _SHOWN)}"


def some_of(names: Iterable[object]) -> str:
    """Return the first of what there is to choose from, for an error."""
    first = list(islice(names, _NAMED + 1))
    return ", ".join(map(repr, first[:_NAMED])) + (", ..." if first[_NAMED:] else "")


def wrong_type(value: object, expected: str) -> ValueRefusedError:
    """Return the error for a value that is not what is expected.

    It does not show the value, which may be secret, or of any size.
    """
    return ValueRefusedError(f"is {type_name(type(value))}, not {expected}")


def refused_by(what: str, error: Exception) -> ValueRefusedError:
    """Return the error for a value that somebody's code has refused."""
    return ValueRefusedError(f"is refused by {what}: {describe(error)}")


def unresolved(model: type, error: NameError) -> ConfigurationError:
    """Return the error for a model whose annotations name what is not there."""
    return ConfigurationError(
        f"an annotation of {model.__qualname__}, or of a model within it, can't be read: {error}. "
        f"Define or import the type at the top level of the module of the model, and not under "
        f"TYPE_CHECKING"
    )
