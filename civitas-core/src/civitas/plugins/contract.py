"""Whether an object has the methods of a protocol, checked by their signatures without a call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, Protocol

_MISSING: Final = object()
_AWAITABLE_RESULTS: Final = ("Awaitable", "Coroutine", "Future", "Task")


def contract_problems(product: object, protocol: type) -> list[str]:
    """Compare an object with a Protocol class.

    Arguments are passed by position, so a parameter may have another name than the protocol
    gives it; annotations are not compared.

    Args:
        product: the object, for example what a factory made.
        protocol: a class derived from `typing.Protocol`.

    Returns:
        A sentence for each way in which the object does not fit, in the protocol's order.
    """
    what = type(product).__name__
    if product is None:
        return [f"None is not a {protocol.__name__}"]
    if inspect.isclass(product):
        return [f"the class {product.__name__} is not an instance: it must be called"]
    if inspect.isawaitable(product):
        return [f"{what} must be awaited before it is a {protocol.__name__}"]
    return [
        f"{what} {problem}"
        for name, method in _methods(protocol)
        for problem in _method_problems(product, name, method)
    ]


def call_problem(
    function: Callable[..., Any], by_position: Iterable[str], by_name: Iterable[str] = ()
) -> str | None:
    """Say why a function's signature does not take these arguments; `None` when it does.

    Args:
        function: what is to be called.
        by_position: what the arguments that are given by position are called.
        by_name: the names of those that are given by name.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # written in C without a signature: only a call would show
    try:
        signature.bind(*by_position, **dict.fromkeys(by_name))
    except TypeError as error:
        return f"it takes {signature}, {error}"
    return None


def _methods(protocol: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Return the public methods that the protocol and the protocols above it declare."""
    methods: dict[str, Callable[..., Any]] = {}
    for base in reversed(protocol.__mro__):
        if base not in (object, Protocol, Generic):
            methods |= {
                name: member
                for name, member in vars(base).items()
                if inspect.isfunction(member) and not name.startswith("_")
            }
    yield from methods.items()


def _method_problems(product: object, name: str, expected: Callable[..., Any]) -> Iterator[str]:
    actual = getattr(product, name, _MISSING)
    call = _call_of(expected)
    if actual is _MISSING:
        yield f"has no method {name}{call}"
        return
    if not callable(actual):
        yield f"has {name} = {actual!r}, which is not a method {name}{call}"
        return
    problem = _argument_problem(actual, expected)
    if problem:
        yield f"can't be called as {name}{call}: {problem}"
    if inspect.iscoroutinefunction(expected):
        if not _may_be_awaited(actual):
            yield f"has {name}{call}, which is not async: write `async def {name}`"
    elif _is_async(actual):
        yield f"has {name}{call} as async, and its result is used without await: write `def {name}`"


def _parameters(expected: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a protocol's method without `self`."""
    return list(inspect.signature(expected).parameters.values())[1:]


def _call_of(expected: Callable[..., Any]) -> str:
    return f"({', '.join(each.name for each in _parameters(expected))})"


def _argument_problem(actual: Callable[..., Any], expected: Callable[..., Any]) -> str | None:
    """Say why a call of the protocol's method would not be accepted."""
    by_name = [each.name for each in _parameters(expected) if each.kind is each.KEYWORD_ONLY]
    by_position = [each.name for each in _parameters(expected) if each.name not in by_name]
    return call_problem(actual, by_position, by_name)


def _is_async(method: Callable[..., Any]) -> bool:
    return any(
        inspect.iscoroutinefunction(each)
        for each in (method, inspect.unwrap(method), type(method).__call__)
    )


def _may_be_awaited(method: Callable[..., Any]) -> bool:
    """Return whether a call gives an awaitable: `async def`, or annotated as giving one."""
    if _is_async(method):
        return True
    try:
        result = str(inspect.signature(method).return_annotation)
    except (TypeError, ValueError):
        return True
    return any(word in result for word in _AWAITABLE_RESULTS)
