"""Classes of agents with `@on`: what is found out when they are made, and what they inherit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from civitas import AgentProcess, Message, message, on
from civitas.errors import ConfigurationError, MessageValidationError
from support.agents import SOON, runtime


@dataclass
class Book:
    cents: int


@dataclass
class Cancel:
    number: int


@message("book.v1")
@dataclass
class Booking:
    cents: int


class Cashier(AgentProcess):
    @on(Book)
    async def book(self, book: Book, message: Message) -> dict[str, Any]:
        return {"by": "Cashier.book", "cents": book.cents}

    @on(Cancel)
    async def cancel(self, cancel: Cancel, message: Message) -> dict[str, Any]:
        return {"by": "Cashier.cancel"}


async def asked(agent: AgentProcess, payload: Any, kind: str = "message") -> Any:
    async with runtime(agent) as system:
        return (await system.ask(agent.name, payload, kind, timeout=SOON)).payload


# --- inheritance ----------------------------------------------------------------------------------


class Renamed(Cashier):
    """Takes what its base takes, in a method of another name."""

    @on(Book)
    async def take(self, book: Book, message: Message) -> dict[str, Any]:
        return {"by": "Renamed.take"}


class Overriding(Cashier):
    """Overrides a method, as ever."""

    async def book(self, book: Book, message: Message) -> dict[str, Any]:
        return {"by": "Overriding.book", "base": await super().book(book, message)}


class Again(Cashier):
    @on(Book)
    async def book(self, book: Book, message: Message) -> dict[str, Any]:
        return {"by": "Again.book"}


class Mixin:
    """No agent: its methods are those of the agents that it is mixed into."""

    @on(Booking)
    async def booking(self, booking: Booking, message: Message) -> dict[str, Any]:
        return {"by": "Mixin.booking"}


class Mixed(Mixin, Cashier):
    pass


@dataclass(slots=True)
class AsDataclass(Cashier):
    """Its class is made twice."""

    name: str

    def __post_init__(self) -> None:
        Cashier.__init__(self, self.name)

    @on(Booking)
    async def booking(self, booking: Booking, message: Message) -> dict[str, Any]:
        return {"by": "AsDataclass.booking"}


@pytest.mark.parametrize(
    ("agent", "payload", "by"),
    [
        (Cashier, Book(1), "Cashier.book"),
        (Cashier, Cancel(1), "Cashier.cancel"),
        (Renamed, Book(1), "Renamed.take"),
        (Renamed, Cancel(1), "Cashier.cancel"),
        (Overriding, Book(1), "Overriding.book"),
        (Again, Book(1), "Again.book"),
        (Again, Cancel(1), "Cashier.cancel"),
        (Mixed, Booking(1), "Mixin.booking"),
        (Mixed, Book(1), "Cashier.book"),
        (AsDataclass, Booking(1), "AsDataclass.booking"),
        (AsDataclass, Book(1), "Cashier.book"),
    ],
)
async def test_a_subclass_has_the_handlers_of_its_bases_and_may_override_them(
    agent: Any, payload: Any, by: str
) -> None:
    assert (await asked(agent("a"), payload))["by"] == by


class Around(Cashier):
    """Does something around the handling of each message."""

    async def handle(self, message: Message) -> Message | None:
        if message.type == "ping":
            return self.reply({"by": "Around.handle"})
        return await super().handle(message)


async def test_a_subclass_may_have_a_handle_around_that_of_its_base() -> None:
    assert (await asked(Around("a"), {}, "ping"))["by"] == "Around.handle"
    assert (await asked(Around("a"), Book(1)))["by"] == "Cashier.book"
    with pytest.raises(MessageValidationError, match="its types are 'Book', 'Cancel'$"):
        await asked(Around("a"), {}, "other")


def test_a_class_without_handlers_has_the_handle_that_it_had() -> None:
    class Plain(AgentProcess):
        pass

    class Own(AgentProcess):
        async def handle(self, message: Message) -> None:
            return None

    assert "handle" not in vars(Plain)
    assert Plain.handle is AgentProcess.handle
    assert not hasattr(Own.handle, "__civitas_handlers__")
    assert Cashier.handle.__qualname__ == "Cashier.handle"
    assert "handle" not in vars(Overriding)


# --- what is refused ------------------------------------------------------------------------------


def equal_tags() -> None:
    class Two(AgentProcess):
        @on(Book)
        async def one(self, book: Book, message: Message) -> None: ...

        @on(Book)
        async def two(self, book: Book, message: Message) -> None: ...


def equal_tags_of_two_models() -> None:
    @message("Book")
    @dataclass
    class Other:
        cents: int

    class Two(AgentProcess):
        @on(Book)
        async def one(self, book: Book, message: Message) -> None: ...

        @on(Other)
        async def two(self, other: Other, message: Message) -> None: ...


def equal_tags_of_two_bases() -> None:
    class Other(AgentProcess):
        @on(Book)
        async def take(self, book: Book, message: Message) -> None: ...

    class Both(Cashier, Other):
        pass


def own_handle() -> None:
    class Both(AgentProcess):
        @on(Book)
        async def book(self, book: Book, message: Message) -> None: ...

        async def handle(self, message: Message) -> None: ...


def own_handle_between() -> None:
    class Around(Cashier):
        async def handle(self, message: Message) -> Message | None:
            return await super().handle(message)

    class More(Around):
        @on(Booking)
        async def booking(self, booking: Booking, message: Message) -> None: ...


def own_handle_of_a_base() -> None:
    class Base(AgentProcess):
        async def handle(self, message: Message) -> None: ...

    class Both(Base):
        @on(Book)
        async def book(self, book: Book, message: Message) -> None: ...


def another_tag_by_the_same_name() -> None:
    class Other(Cashier):
        @on(Booking)
        async def book(self, booking: Booking, message: Message) -> None: ...


def hidden() -> None:
    class Hiding(Cashier):
        book = None  # type: ignore[assignment]


def not_async() -> None:
    on(Book)(lambda self, book, message: None)


def of_one_argument() -> None:
    @on(Book)  # type: ignore[arg-type]
    async def book(self: Any, book: Book) -> None: ...


def a_static_method() -> None:
    class Static(AgentProcess):
        @staticmethod
        @on(Book)
        async def book(agent: Any, book: Book, message: Message) -> None: ...


def an_object_for_a_class() -> None:
    on(Book(1))  # type: ignore[arg-type]


def no_model() -> None:
    on(Message)


def twice() -> None:
    class Two(AgentProcess):
        @on(Book)
        @on(Cancel)  # type: ignore[arg-type]
        async def both(self, given: Any, message: Message) -> None: ...


def a_reserved_tag() -> None:
    message("_agency.book")(Book)


def a_tag_that_is_no_text() -> None:
    message(5)(Book)  # type: ignore[arg-type]


def without_its_parentheses() -> None:
    message(Book)(Book)  # type: ignore[arg-type]


def a_field_that_is_not_converted() -> None:
    @dataclass
    class Odd:
        value: complex

    class Agent(AgentProcess):
        @on(Odd)
        async def odd(self, odd: Odd, message: Message) -> None: ...


REFUSED: list[tuple[Any, str]] = [
    (equal_tags, r"Two\.one and .*Two\.two both take messages of type 'Book'"),
    (equal_tags_of_two_models, r"both take messages of type 'Book': .*with @message"),
    (equal_tags_of_two_bases, r"Cashier\.book and .*Other\.take both take .* 'Book'"),
    (own_handle, r"Both has methods with @on, and .*Both a handle of its own.*on_unhandled"),
    (own_handle_between, r"More has methods with @on, and .*Around a handle of its own"),
    (own_handle_of_a_base, r"Both has methods with @on, and .*Base a handle of its own"),
    (another_tag_by_the_same_name, r"Other\.book takes .* 'book\.v1', and Cashier\.book, .*rename"),
    (hidden, r"Hiding\.book hides Cashier\.book, which has @on, and is no method"),
    (not_async, r"@on decorates an `async def` method, and not .*lambda"),
    (of_one_argument, r"`async def book\(self, book: Book, message: Message\)`"),
    (a_static_method, r"Static\.book has @on, and is to be an ordinary method"),
    (an_object_for_a_class, "what @on names is a dataclass.*, not Book"),
    (no_model, "what @on names is a dataclass.*, not Message"),
    (twice, "Two.both has more than one @on"),
    (a_reserved_tag, "types that begin with '_agency.' are reserved"),
    (a_tag_that_is_no_text, "takes a message type, a text"),
    (without_its_parentheses, "takes a message type, a text"),
    (a_field_that_is_not_converted, "field 'value' of .*Odd: complex is not converted"),
]


@pytest.mark.parametrize(("make", "text"), REFUSED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_contradiction_is_an_error_when_the_class_is_made(make: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make()


def test_the_subclass_says_what_becomes_of_equal_tags_of_its_bases() -> None:
    class Other(AgentProcess):
        @on(Book)
        async def take(self, book: Book, message: Message) -> None: ...

    class Both(Cashier, Other):
        @on(Book)
        async def both(self, book: Book, message: Message) -> None: ...

    assert Both("a").name == "a"


def test_a_tag_is_not_inherited_and_may_be_given_before_the_dataclass_is_made() -> None:
    @dataclass(slots=True)
    @message("early.v1")
    class Early:
        number: int

    @dataclass
    class Later(Early):
        pass

    class Agent(AgentProcess):
        @on(Early)
        async def early(self, early: Early, message: Message) -> None: ...

        @on(Later)
        async def later(self, later: Later, message: Message) -> None: ...

    with pytest.raises(MessageValidationError, match=r"its types are 'early\.v1', 'Later'$"):
        Agent("a").on_unhandled(Message()).send(None)
