"""Handlers: the methods marked with `@on` become the `handle` of their class.

Theory. When a subclass of AgentProcess is made, its methods that bear a mark, inherited ones
included, are collected by the tags of their models, and a `handle` is set in the class that looks
the type of a message up. For a class without such methods nothing is set. Rules of inheritance:

    in a subclass                                   | what it does
    ------------------------------------------------+---------------------------------------------
    a method of another name, `@on` of the same tag | takes these messages in place of the other
    a method of the same name, without `@on`        | overrides it: as ever, it is called instead
    a method of the same name, `@on` of another tag | is an error: which is meant?
    `handle`, without `@on` beside it               | overrides that which was made here, and calls
                                                    | it as `super().handle(message)`
    `@on` beside a `handle`, be it a base class's   | is an error: it would never be called
    two base classes that know nothing of each      | is an error, until the subclass says itself
    other have the same tag                         | what it does with it

The fields of a model may name types that are defined later. So a class whose models can't be read
yet is completed when its first object is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any, Final, NamedTuple

from civitas._typed.refusals import (
    INVALID,
    UNHANDLED,
    ValueRefusedError,
    some_of,
    unresolved,
)
from civitas._typed.shapes import tag_of
from civitas.errors import ConfigurationError, RefusedMessageError, printable
from civitas.messages import Message

_MARK: Final = "__civitas_on__"
"""The attribute of a function: its model."""

_HANDLERS: Final = "__civitas_handlers__"
"""The attribute of a `handle` that was made here."""

_SHOWN: Final = 100
"""Bytes of a name or type that an error shows: they come from others."""

unfinished: Final[set[type]] = set()
"""Classes whose models could not be read yet."""


class _Handler(NamedTuple):
    """One method, by the place where it was found."""

    owner: type
    name: str
    model: type


_Handlers = dict[str, tuple[str, Callable[[Any], Any]]]
"""By message type: the name of the method, and what makes the object that it is given."""


def mark(function: object, model: type) -> None:
    """Take note that a method handles the messages of a model.

    Raises:
        ConfigurationError: it is no such method.
    """
    name = getattr(function, "__qualname__", repr(function))
    if not isinstance(function, FunctionType) or not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"@on decorates an `async def` method, and not {name}")
    if hasattr(function, _MARK):
        raise ConfigurationError(f"{name} has more than one @on: write a method for each model")
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        raise ConfigurationError(
            f"{name} takes what was sent and its message: `async def {function.__name__}(self, "
            f"{model.__name__.lower()}: {model.__name__}, message: Message)`"
        ) from None
    setattr(function, _MARK, model)


def install(cls: type, base_handle: Callable[..., Any]) -> None:
    """Give a class of agents the `handle` of its methods that are marked with `@on`.

    `base_handle` is that of AgentProcess.

    Raises:
        ConfigurationError: the marks contradict each other, or a `handle`.
    """
    found = _collect(cls)
    if not found or found == _inherited(cls):
        return
    _check_handle(cls, base_handle)
    handlers: _Handlers = {}
    handle = _dispatcher(handlers)
    setattr(handle, _HANDLERS, (found, handlers))
    handle.__qualname__ = f"{cls.__qualname__}.handle"
    setattr(cls, "handle", handle)  # noqa: B010 - mypy takes no assignment to a method
    try:
        _complete(found, handlers)
    except NameError:
        unfinished.add(cls)


def complete(cls: type) -> None:
    """Read the models of a class that could not be read when it was made.

    Raises:
        ConfigurationError: they still can't.
    """
    for owner in unfinished.intersection(cls.__mro__):
        found, handlers = getattr(vars(owner)["handle"], _HANDLERS)
        _complete(found, handlers, final=True)
        unfinished.discard(owner)


def unhandled(cls: type, name: str, message: Message) -> RefusedMessageError:
    """Return the error for a message of a type that no method of a class handles."""
    kind = printable(message.type, _SHOWN)
    found = _inherited(cls)
    known = f"its types are {some_of(found)}" if found else "it has no method with @on"
    text = f"agent {name!r} takes no message of type {kind!r}; {known}"
    return RefusedMessageError(text, reason=UNHANDLED)


def _complete(found: dict[str, _Handler], handlers: _Handlers, *, final: bool = False) -> None:
    from civitas._typed.converting import converter_of  # most agents have no use for it

    for tag, handler in found.items():
        try:
            convert = converter_of(handler.model, "what @on names")
        except NameError as error:
            if final:
                raise unresolved(handler.model, error) from error
            raise
        handlers[tag] = handler.name, convert


def _collect(cls: type) -> dict[str, _Handler]:
    """Return the methods of a class that are marked, inherited ones included, by their tags."""
    found: dict[str, _Handler] = {}
    by_name: dict[str, _Handler] = {}
    for owner in cls.__mro__:
        own: dict[str, _Handler] = {}
        for name, value in vars(owner).items():
            model = _mark_of(value, owner, name)
            if model is None:
                continue
            tag, handler = tag_of(model), _Handler(owner, name, model)
            nearer = by_name.setdefault(name, handler)
            if tag_of(nearer.model) != tag:
                raise ConfigurationError(
                    f"{_named(nearer)} takes messages of type {tag_of(nearer.model)!r}, and "
                    f"{_named(handler)}, which it overrides, those of type {tag!r}: rename one"
                )
            if tag in own:
                raise _equal_tags(own[tag], handler, tag)
            own[tag] = handler
            if not issubclass(found.setdefault(tag, handler).owner, owner):
                raise _equal_tags(found[tag], handler, tag)
            if not callable(getattr(cls, name)):
                raise ConfigurationError(
                    f"{cls.__qualname__}.{name} hides {_named(handler)}, which has @on, and is no "
                    f"method"
                )
    return found


def _inherited(cls: type) -> dict[str, _Handler]:
    """Return the methods that the nearest `handle` made here calls, whatever is around it."""
    for owner in cls.__mro__:
        made = getattr(vars(owner).get("handle"), _HANDLERS, None)
        if made is not None:
            found: dict[str, _Handler] = made[0]
            return found
    return {}


def _mark_of(value: object, owner: type, name: str) -> type | None:
    if isinstance(value, staticmethod | classmethod):
        if hasattr(value.__func__, _MARK):
            raise ConfigurationError(
                f"{owner.__qualname__}.{name} has @on, and is to be an ordinary method"
            )
        return None
    model: type | None = getattr(value, _MARK, None) if isinstance(value, FunctionType) else None
    return model


def _check_handle(cls: type, base_handle: Callable[..., Any]) -> None:
    """Raise ConfigurationError if a class, or a base of it, has a `handle` of its author."""
    for owner in cls.__mro__:
        handle = vars(owner).get("handle")
        if handle is base_handle:
            return
        if handle is not None and not hasattr(handle, _HANDLERS):
            raise ConfigurationError(
                f"{cls.__qualname__} has methods with @on, and {owner.__qualname__} a handle of "
                f"its own, which do not go together: on_unhandled takes messages of other types"
            )


def _equal_tags(one: _Handler, other: _Handler, tag: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_named(one)} and {_named(other)} both take messages of type {tag!r}: use one, or give "
        f"one of their models another type with @message"
    )


def _named(handler: _Handler) -> str:
    return f"{handler.owner.__qualname__}.{handler.name}"


def _dispatcher(handlers: _Handlers) -> Callable[..., Coroutine[Any, Any, Message | None]]:
    async def handle(self: Any, message: Message) -> Message | None:
        """Give the message to the method that takes its type."""
        found = handlers.get(message.type)
        if found is None:
            answer = await self.on_unhandled(message)
        else:
            name, convert = found
            try:
                model = convert(message.payload)
            except ValueRefusedError as refused:
                raise _invalid(self.name, message, refused) from None
            answer = await getattr(self, name)(model, message)
        if answer is None or isinstance(answer, Message):
            return answer
        reply: Message = self.reply(answer)
        return reply

    return handle


def _invalid(agent: str, message: Message, refused: ValueRefusedError) -> RefusedMessageError:
    kind = printable(message.type, _SHOWN)
    text = f"agent {agent!r} refused a message of type {kind!r}: {refused}"
    return RefusedMessageError(text, refused.path, INVALID)
