"""Typed messages: methods that handle the messages of one class each, and the types of messages.

Both names come from `civitas` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from civitas._typed.handlers import mark
from civitas._typed.shapes import Handled, give_tag, model_of
from civitas.messages import Message

__all__ = ["message", "on"]

A = TypeVar("A")
C = TypeVar("C", bound=type)
M = TypeVar("M")
R = TypeVar("R", bound=Handled)


def on(
    model: type[M],
) -> Callable[
    [Callable[[A, M, Message], Coroutine[Any, Any, R]]],
    Callable[[A, M, Message], Coroutine[Any, Any, R]],
]:
    """Let a method of an agent handle the messages of a class.

    The method is given what was sent, as an object of that class, and the message. What it returns
    is the answer: another such object, a dict, `self.reply(...)`, or None for none. A payload that
    does not fit is refused before the method is called; see `AgentProcess.on_unhandled` for
    messages of other types.

    Args:
        model: a dataclass, a TypedDict, a pydantic model or a msgspec Struct.

    Raises:
        ConfigurationError: it is no such class, or what is decorated is no `async def` method with
            two arguments. When the class is made: two methods take messages of the same type, the
            class has a `handle` of its own, or a field is of a type that is not converted.

    Example:
        A cashier, who takes one type of messages:

            @dataclass
            class Book:
                cents: int

            class Cashier(AgentProcess):
                @on(Book)
                async def book(self, book: Book, message: Message) -> Receipt:
                    return Receipt(number=1, cents=book.cents)
    """
    model_of(model, "what @on names")

    def decorate(
        method: Callable[[A, M, Message], Coroutine[Any, Any, R]],
    ) -> Callable[[A, M, Message], Coroutine[Any, Any, R]]:
        mark(method, model)
        return method

    return decorate


def message(type: str) -> Callable[[C], C]:
    """Give the messages of a class another type than its name, such as `book.v1`.

    Args:
        type: the message type. A subclass does not inherit it.

    Raises:
        ConfigurationError: what is decorated is no dataclass, TypedDict, pydantic model or msgspec
            Struct, or the type is reserved.

    Example:
        A class that may be renamed, since its messages keep their type:

            @message("book.v1")
            @dataclass
            class Book:
                cents: int
    """

    def decorate(cls: C) -> C:
        give_tag(cls, type)
        return cls

    return decorate
