"""Checks of what a plugin offers, without a call: its hook, its specs, its claims, its product."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from types import FunctionType, MethodType
from typing import Any, Final

from civitas.envelope import MAX_SERIALIZER_BYTES
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.specs import (
    Capabilities,
    InstrumentSpec,
    PluginSpec,
    SerializerSpec,
    TransportSpec,
)

_MAX_SPECS: Final = 1000
"""Specs that a hook may give: a generator that never ends would take all memory."""

_SPECS: Final[dict[str, type[PluginSpec]]] = {
    each.kind: each for each in (TransportSpec, SerializerSpec, InstrumentSpec)
}
"""The class of the specs of each kind of plugin."""

_OPTIONAL_PARTS: Final = {"dead_letters": ("options", "context"), "apart": ("options", "name")}
"""What a spec of a transport may have besides, and what each is called with."""

_MISSING: Final = object()
_AWAITABLE_RESULTS: Final = ("Awaitable", "Coroutine", "Future", "Task")


class SpecProblem(Exception):  # noqa: N818 - it carries a cause to the guard and is not seen outside
    """Why a spec can't be used, as the end of a sentence."""


def check_hook(function: Callable[..., Any], hook: str, module: str) -> None:
    """Check that a function which is marked with `hookimpl` implements the hook it is marked for.

    Raises:
        SpecProblem: there is no such hook, or the function wants arguments.
    """
    hooks = [kind.hook for kind in PluginKind]
    if hook not in hooks:
        close = get_close_matches(hook, hooks, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the hooks are {', '.join(hooks)}"
        raise SpecProblem(f"{hook} in {module} is marked with @hookimpl, and is no hook: {hint}")
    if problem := call_problem(function, ()):
        raise SpecProblem(f"{hook} in {module} must take no arguments; {problem}")


def specs_from(result: object, kind: PluginKind) -> list[Any]:
    """Return the specs that a hook of this kind returned.

    Raises:
        SpecProblem: it is not an iterable of specs. Whatever iterating raises passes through.
    """
    expected = _SPECS[kind.value]
    if inspect.iscoroutine(result):
        result.close()  # a coroutine that nobody awaits would warn later, far from its cause
        raise SpecProblem(f"{kind.hook} is async and nothing awaits it: write `def {kind.hook}`")
    if not isinstance(result, Iterable) or isinstance(result, str | bytes | dict):
        raise SpecProblem(f"{kind.hook} gave {_kind_of(result)}, not a list of {expected.__name__}")
    specs = list(islice(result, _MAX_SPECS + 1))
    if len(specs) > _MAX_SPECS:
        raise SpecProblem(f"{kind.hook} gave more than {_MAX_SPECS} specs; does it ever end?")
    wrong = (_kind_of(each) for each in specs if not isinstance(each, expected))
    if found := next(wrong, None):
        raise SpecProblem(f"{kind.hook} gave {found} where a {expected.__name__} belongs")
    return specs


def matching_spec(specs: Sequence[Any], candidate: Candidate) -> Any:
    """Return the well-formed spec whose name is the entry point's name.

    Raises:
        SpecProblem: there is none, there are two, or it is malformed.
    """
    hook = candidate.kind.hook
    found = [spec for spec in specs if spec.name == candidate.name]
    if not found:
        names = ", ".join(repr(spec.name) for spec in specs) or "nothing"
        offered = f"its entry point is named {candidate.name!r} but {hook} offers {names}"
        raise SpecProblem(f"{offered}; the names must be equal")
    if len(found) > 1:
        raise SpecProblem(f"{hook} offers {candidate.name!r} {len(found)} times")
    if problem := next(_spec_problems(found[0]), None):
        raise SpecProblem(f"its {type(found[0]).__name__} is malformed: {problem}")
    return found[0]


def capabilities_problems(capabilities: object) -> Iterator[str]:
    """Say what is wrong with a transport's claims."""
    if not isinstance(capabilities, Capabilities):
        yield f"capabilities must be Capabilities, not {_kind_of(capabilities)}"
        return
    for each in fields(capabilities):
        value = getattr(capabilities, each.name)
        if each.name == "max_message_bytes":
            if value is not None and (type(value) is not int or value < 1):
                yield f"max_message_bytes must be a positive number or None, not {value!r}"
        elif type(value) is not bool:
            yield f"capability {each.name} must be True or False, not {value!r}"


def _spec_problems(spec: Any) -> Iterator[str]:
    """Say what is wrong with a spec. Only the first problem counts: later checks rely on it."""
    if not isinstance(spec.summary, str) or not spec.summary.strip():
        yield f"summary must be a line of text, not {spec.summary!r}"
    if not callable(spec.factory):
        yield f"factory must be callable, not {_kind_of(spec.factory)}"
    if isinstance(spec, SerializerSpec):
        yield from _serializer_problems(spec)
    else:
        yield from _factory_problems(spec)
    if isinstance(spec, TransportSpec):
        yield from _transport_problems(spec)
    if spec.options is not None:
        yield from _options_problems(spec.options)


def _serializer_problems(spec: Any) -> Iterator[str]:
    arguments = () if spec.options is None else ("options",)
    if problem := call_problem(spec.factory, arguments):
        how = "with (options)" if arguments else "without arguments"
        yield f"factory is called {how}; {problem}"
    if not spec.name.isascii() or len(spec.name) > MAX_SERIALIZER_BYTES:
        yield f"name must be ASCII of at most {MAX_SERIALIZER_BYTES} bytes: frames carry it"


def _factory_problems(spec: Any) -> Iterator[str]:
    if problem := call_problem(spec.factory, ("options", "context")):
        yield f"factory is called with (options, context); {problem}"


def _transport_problems(spec: Any) -> Iterator[str]:
    if not callable(spec.capabilities):
        yield from capabilities_problems(spec.capabilities)
    elif problem := call_problem(spec.capabilities, ("options",)):
        yield f"capabilities is called with (options); {problem}"
    for name, arguments in _OPTIONAL_PARTS.items():
        part = getattr(spec, name)
        if part is None:
            continue
        if not callable(part):
            yield f"{name} must be callable or None, not {_kind_of(part)}"
        elif problem := call_problem(part, arguments):
            yield f"{name} is called with ({', '.join(arguments)}); {problem}"


def _options_problems(options: object) -> Iterator[str]:
    # Only a plugin with options pays for the import of pydantic.
    from pydantic import BaseModel

    if not isinstance(options, type) or not issubclass(options, BaseModel):
        yield f"options must be a pydantic model class or None, not {_kind_of(options)}"
    elif options.model_config.get("extra") != "forbid":
        yield (
            f"{options.__name__} ignores unknown keys, so that a mistyped option goes unnoticed; "
            'set model_config = ConfigDict(extra="forbid")'
        )
    else:
        from civitas.plugins.option_fields import option_keys

        if any(set(option_keys(options, name)) == {"type"} for name in options.model_fields):
            yield "its option 'type' can't be given, for that key names the plugin: rename it"


def _kind_of(value: object) -> str:
    """Describe a value of any kind in a few words."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a value of type {type(value).__name__}"


def contract_problems(product: object, protocol: type, *, optional: bool = False) -> list[str]:
    """Say in which ways an object, such as what a factory made, does not fit a Protocol class.

    Arguments are passed by position, so a parameter may have another name than the protocol
    gives it; annotations are not compared. The order is the protocol's. Where all methods are
    `optional`, it has to have one at least.
    """
    what = type(product).__name__
    if product is None:
        return [f"None is no {protocol.__name__}"]
    if inspect.isclass(product):
        return [f"the class {product.__name__} is not an instance: it must be called"]
    if inspect.isawaitable(product):
        return [f"{what} must be awaited before it is a {protocol.__name__}"]
    methods = [
        (name, getattr(product, name, _MISSING), expected)
        for name, expected in _methods_of(protocol)
    ]
    if optional:
        known = ", ".join(name for name, _, _ in methods)
        methods = [each for each in methods if each[1] is not _MISSING]
        if not methods:
            return [f"{what} has none of its methods, which are {known}"]
    return [
        f"{what} {problem}"
        for name, actual, expected in methods
        for problem in _method_problems(actual, name, expected)
    ]


@lru_cache(maxsize=32)
def _methods_of(protocol: type) -> list[tuple[str, FunctionType]]:
    methods = {
        name: member
        for base in reversed(protocol.__mro__)
        for name, member in vars(base).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    return list(methods.items())


def call_problem(
    function: Callable[..., Any], by_position: Iterable[str], by_name: Iterable[str] = ()
) -> str | None:
    """Say why a function's signature does not take arguments of these names, or return `None`."""
    try:
        signature = _signature(function)
    except (TypeError, ValueError):
        return None  # written in C without a signature: only a call would show
    try:
        signature.bind(*by_position, **dict.fromkeys(by_name))
    except TypeError as error:
        return f"it takes {signature}, {error}"
    return None


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if inspect.ismethod(function) and inspect.isfunction(function.__func__):
        return _method_signature(function.__func__)
    return inspect.signature(function)


@lru_cache(maxsize=256)
def _method_signature(function: FunctionType) -> inspect.Signature:
    """Return the signature of a method, without its object; found once for all objects."""
    return inspect.signature(MethodType(function, object()))


def _method_problems(actual: object, name: str, expected: FunctionType) -> list[str]:
    if inspect.ismethod(actual) and inspect.isfunction(actual.__func__):
        return _problems_of_function(actual.__func__, name, expected)
    return list(_differences(actual, name, expected))


@lru_cache(maxsize=256)
def _problems_of_function(function: FunctionType, name: str, expected: FunctionType) -> list[str]:
    """Say what is wrong with a function as a method, for all objects of its class at once."""
    return list(_differences(MethodType(function, object()), name, expected))


def _differences(actual: Any, name: str, expected: FunctionType) -> Iterator[str]:
    parameters = _method_signature(expected).parameters.values()
    call = f"{name}({', '.join(each.name for each in parameters)})"
    if actual is _MISSING:
        yield f"has no method {call}"
        return
    if not callable(actual):
        yield f"has {name} = {actual!r}, which is not a method {call}"
        return
    by_name = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    by_position = [each.name for each in parameters if each.name not in by_name]
    if problem := call_problem(actual, by_position, by_name):
        yield f"can't be called as {call}: {problem}"
    if "Awaitable" in str(inspect.signature(expected).return_annotation):
        return  # it may be async, or not
    if inspect.iscoroutinefunction(expected):
        if not _may_be_awaited(actual):
            yield f"has {call}, which is not async: write `async def {name}`"
    elif _is_async(actual):
        yield f"has {call} as async, and its result is used without await: write `def {name}`"


def _is_async(method: Callable[..., Any]) -> bool:
    faces = (method, inspect.unwrap(method), type(method).__call__)
    return any(map(inspect.iscoroutinefunction, faces))


def _may_be_awaited(method: Callable[..., Any]) -> bool:
    """Return whether a call gives an awaitable: `async def`, or annotated as giving one."""
    if _is_async(method):
        return True
    try:
        result = str(inspect.signature(method).return_annotation)
    except (TypeError, ValueError):
        return True
    return any(word in result for word in _AWAITABLE_RESULTS)
