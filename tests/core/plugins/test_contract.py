"""Comparing an object with a protocol."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from civitas.plugins.validation import contract_problems


class Post(Protocol):
    async def send(self, address: str, data: bytes) -> None: ...

    def is_open(self) -> bool: ...

    async def close(self, *, force: bool) -> None: ...


class Fitting:
    async def send(self, address, data): ...

    def is_open(self): ...

    async def close(self, *, force=False): ...


def object_with(**members: Any) -> object:
    return type("Box", (Fitting,), members)()


async def wrapped(*args: Any) -> None: ...


def decorated(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return call


class AsyncCall:
    async def __call__(self, address, data): ...


def later(self: object, address: str, data: bytes) -> Awaitable[None]:
    return wrapped()


@pytest.mark.parametrize(
    "send",
    [
        decorated(Fitting.send),
        staticmethod(functools.partial(wrapped)),  # without it, Python 3.13 warns
        AsyncCall(),
        later,
        wrapped,
    ],
    ids=["decorated", "partial", "async call", "gives an awaitable", "any arguments"],
)
def test_every_way_of_being_awaitable_fits(send):
    assert contract_problems(object_with(send=send), Post) == []


def test_parameters_may_have_other_names_defaults_and_more_behind_them():
    async def send(self, where, what=b"", retries=3): ...

    assert contract_problems(object_with(send=send), Post) == []


def plain_send(self, address, data): ...


async def short_send(self, address): ...


async def long_send(self, address, data, quality): ...


async def named_send(self, *, address, data): ...


async def generated_send(self, address, data):
    yield


async def async_is_open(self): ...


async def close_without_force(self): ...


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"send": plain_send}, "Box has send(address, data), which is not async"),
        ({"send": generated_send}, "Box has send(address, data), which is not async"),
        ({"send": short_send}, "Box can't be called as send(address, data): it takes (address), "),
        ({"send": long_send}, "missing a required argument: 'quality'"),
        ({"send": named_send}, "Box can't be called as send(address, data)"),
        ({"send": None}, "Box has send = None, which is not a method send(address, data)"),
        ({"is_open": True}, "Box has is_open = True, which is not a method is_open()"),
        ({"is_open": async_is_open}, "Box has is_open() as async"),
        ({"close": close_without_force}, "Box can't be called as close(force)"),
    ],
)
def test_each_misfit_is_a_sentence(members, problem):
    (found,) = contract_problems(object_with(**members), Post)
    assert problem in found


def test_all_problems_are_told_in_the_order_of_the_protocol():
    problems = contract_problems(object(), Post)
    assert [each.split("(")[0] for each in problems] == [
        "object has no method send",
        "object has no method is_open",
        "object has no method close",
    ]


def test_methods_of_the_protocols_above_count_and_private_ones_do_not():
    class Registered(Post, Protocol):
        async def register(self) -> None: ...

        def _private(self) -> None: ...

    assert contract_problems(Fitting(), Registered) == ["Fitting has no method register()"]


def test_a_method_without_a_signature_is_given_the_benefit_of_the_doubt():
    class Measured(Protocol):
        def update(self, values: dict[str, int]) -> None: ...

    assert contract_problems({}, Measured) == []


@pytest.mark.parametrize("product", [None, Fitting])
def test_what_is_no_instance_is_told_as_such(product):
    (problem,) = contract_problems(product, Post)
    assert "None is no Post" in problem or "is not an instance" in problem
