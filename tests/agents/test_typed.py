"""Typed messages: what is sent, answered and refused. On every transport alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec
import pydantic
import pytest

from civitas import AgentProcess, Message, message, on
from civitas.errors import (
    AgentError,
    MessageValidationError,
    RefusedMessageError,
    SerializationError,
    UnansweredError,
)
from support.agents import SOON, until


class Seat(Enum):
    STALLS = "stalls"
    BALCONY = "balcony"


@dataclass(frozen=True)
class Guest:
    name: str
    at: datetime
    tags: frozenset[str] = frozenset()


@message("book.v1")
@dataclass
class Book:
    cents: int
    seat: Seat = Seat.STALLS
    guests: list[Guest] = field(default_factory=list)


class Cancel(pydantic.BaseModel):
    number: int
    at: datetime | None = None


class Receipt(msgspec.Struct):
    number: int
    cents: int


@dataclass
class Crash:
    text: str


@dataclass
class Refuse:
    row: int


@dataclass
class Silence:
    pass


@dataclass
class Later:
    number: int


@dataclass
class Cyclic:
    inner: Any = None


GUEST = Guest("Ada", datetime(2026, 1, 2, 3, tzinfo=UTC), frozenset({"vip"}))


class Cashier(AgentProcess):
    """Handles messages by their classes, and keeps what it got."""

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.got: list[Any] = []

    @on(Book)
    async def book(self, book: Book, message: Message) -> Receipt:
        self.got.append(book)
        return Receipt(len(self.got), book.cents)

    @on(Cancel)
    async def cancel(self, cancel: Cancel, message: Message) -> Message:
        self.got.append(cancel)
        return self.reply(cancel)

    @on(Crash)
    async def crash(self, crash: Crash, message: Message) -> None:
        raise ValueError(crash.text)

    @on(Refuse)
    async def refuse(self, refuse: Refuse, message: Message) -> None:
        self.defer()
        raise RefusedMessageError("there is no row 99", "payload.row")

    @on(Silence)
    async def silence(self, silence: Silence, message: Message) -> None:
        self.got.append(silence)

    @on(Later)
    async def later(self, given: Later, message: Message) -> None:
        later = self.defer()
        await later.reply(Receipt(given.number, 0))


class Customer(AgentProcess):
    """Asks a cashier in its own handler."""

    @on(Book)
    async def book(self, book: Book, message: Message) -> Receipt:
        await self.send("cashier", book)
        return await self.ask("cashier", book, timeout=SOON, reply=Receipt)


async def test_what_is_sent_is_handled_and_answered_as_objects(system: Any) -> None:
    book = Book(250, Seat.BALCONY, [GUEST])
    cashier = Cashier("cashier")
    async with system(cashier, Customer("customer")) as s:
        assert await s.ask("cashier", book, reply=Receipt, timeout=SOON) == Receipt(1, 250)
        cancel = Cancel(number=3, at=GUEST.at)
        assert await s.ask("cashier", cancel, reply=Cancel, timeout=SOON) == cancel
        assert await s.ask("cashier", Later(7), reply=Receipt, timeout=SOON) == Receipt(7, 0)
        await s.send("cashier", Silence())
        await s.broadcast("cash*", book)
        assert await s.ask("customer", book, reply=Receipt, timeout=SOON) == Receipt(6, 250)
    assert cashier.got == [book, cancel, Silence(), book, book, book]


async def test_a_sender_of_dicts_is_served_alike_and_gets_a_dict(system: Any) -> None:
    async with system(Cashier("cashier")) as s:
        answer = await s.ask("cashier", {"cents": 5, "seat": "balcony"}, "book.v1", timeout=SOON)
        assert (answer.type, answer.payload) == ("Receipt", {"number": 1, "cents": 5})
        asked = await s.ask("cashier", {"cents": 5}, "book.v1", reply=Receipt, timeout=SOON)
        assert asked == Receipt(2, 5)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("book.v1", {}, "payload.cents"),
    ("book.v1", {"cents": "many"}, "payload.cents"),
    ("book.v1", {"cents": 1, "tip": 1}, "payload.tip"),
    ("book.v1", {"cents": 1, "guests": [{"name": "a", "at": "noon"}]}, "payload.guests[0].at"),
    ("Cancel", {"number": "x"}, "payload.number"),
]


async def test_a_payload_that_does_not_fit_is_an_error_of_its_sender_and_no_crash(
    system: Any,
) -> None:
    cashier = Cashier("cashier")
    letters: list[tuple[str, str]] = []
    async with system(cashier) as s:
        s.on_dead_letter(lambda item, reason: letters.append((getattr(item, "type", ""), reason)))
        for kind, payload, path in WRONG:
            with pytest.raises(MessageValidationError) as caught:
                await s.ask("cashier", payload, kind, timeout=SOON)
            assert (caught.value.path, caught.value.code) == (path, "message-invalid")
            text = f"agent 'cashier' refused a message of type '{kind}': {path} "
            assert str(caught.value).startswith(text)
            await s.send("cashier", payload, kind)
        await s.ask("cashier", Book(1), timeout=SOON)
        reason = "its payload is not valid for its type"
        assert s.dropped == {reason: 2 * len(WRONG)}
        assert (s.restarts, s.stats("cashier").errors) == (0, 0)
        await until(lambda: len(letters) == 2 * len(WRONG))
        assert letters == [(kind, reason) for kind, _, _ in WRONG for _ in range(2)]
    assert cashier.got == [Book(1)]


async def test_a_type_that_nobody_handles_is_an_error_of_its_sender_and_no_crash(
    system: Any,
) -> None:
    async with system(Cashier("cashier")) as s:
        with pytest.raises(MessageValidationError) as caught:
            await s.ask("cashier", {}, "Bok", timeout=SOON)
        assert str(caught.value) == (
            "agent 'cashier' takes no message of type 'Bok'; its types are 'book.v1', 'Cancel', "
            "'Crash', 'Refuse', 'Silence', 'Later'"
        )
        await s.send("cashier", {"cents": 1})
        await s.ask("cashier", Book(1), timeout=SOON)
        assert s.dropped == {"its agent has no handler for its type": 2}
        assert s.restarts == 0


class Lenient(Cashier):
    async def on_unhandled(self, message: Message) -> Book | None:
        self.got.append(message.type)
        if message.type == "refuse":
            await super().on_unhandled(message)
        return Book(1) if message.reply_to else None


async def test_an_agent_may_take_what_it_has_no_handler_for(system: Any) -> None:
    lenient = Lenient("lenient")
    async with system(lenient) as s:
        await s.send("lenient", {}, "sent")
        assert await s.ask("lenient", {}, "asked", reply=Book, timeout=SOON) == Book(1)
        with pytest.raises(MessageValidationError, match="no message of type 'refuse'"):
            await s.ask("lenient", {}, "refuse", timeout=SOON)
        assert s.restarts == 0
    assert lenient.got == ["sent", "asked", "refuse"]


async def test_a_handler_may_refuse_a_message_by_itself(system: Any) -> None:
    async with system(Cashier("cashier")) as s:
        with pytest.raises(MessageValidationError, match=r"^there is no row 99$") as caught:
            await s.ask("cashier", Refuse(99), timeout=SOON)
        assert caught.value.path == "payload.row"
        await s.send("cashier", Refuse(99))
        await s.ask("cashier", Book(1), timeout=SOON)
        assert s.dropped == {"its agent refused it": 2}
        assert s.restarts == 0


async def test_what_a_handler_raises_is_a_crash_as_ever(system: Any) -> None:
    async with system(Cashier("cashier"), max_restarts=100) as s:
        with pytest.raises(AgentError, match="ValueError: as told"):
            await s.ask("cashier", Crash("as told"), timeout=SOON)
        with pytest.raises(UnansweredError, match="'Silence'"):
            await s.ask("cashier", Silence(), timeout=SOON)
        assert s.restarts == 1


async def test_an_answer_that_is_no_such_object_is_an_error_of_the_ask(system: Any) -> None:
    async with system(Cashier("cashier"), Lenient("lenient")) as s:
        with pytest.raises(MessageValidationError, match=r"is no Book: it is of type 'Receipt'"):
            await s.ask("cashier", Book(1), reply=Book, timeout=SOON)
        await s.ask("lenient", {}, "asked", reply=Book, timeout=SOON)


async def test_what_can_t_be_sent_is_named_with_its_path_at_the_sender(system: Any) -> None:
    class Odd:
        pass

    cyclic = Cyclic()
    cyclic.inner = [cyclic]
    async with system(Cashier("cashier")) as s:
        for payload, path in [
            (Book(1, guests=[Guest("a", Odd())]), r"^payload\.guests\[0\]\.at can't be sent"),  # type: ignore[arg-type]
            (Cyclic({"a": {1j}}), r"^payload\.inner\.a\[0\] can't be sent"),
            (cyclic, r"payload\.inner\[0\]\.inner.* more than 100 levels deep, or a value that"),
        ]:
            for sending in (s.send("cashier", payload), s.ask("cashier", payload, timeout=SOON)):
                with pytest.raises(SerializationError, match=path):
                    await sending
        assert s.sent == 0 or s.place.spread


async def test_many_asks_at_once_each_get_their_own_object(system: Any) -> None:
    async with system(Cashier("cashier")) as s:
        asks = (s.ask("cashier", Book(n), reply=Receipt, timeout=SOON) for n in range(50))
        assert [each.cents for each in await asyncio.gather(*asks)] == list(range(50))
