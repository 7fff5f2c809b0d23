"""Checks of what a plugin offers: its hook, the specs that the hook returned, and the claims."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from civitas.envelope import MAX_SERIALIZER_BYTES
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.contract import call_problem
from civitas.plugins.specs import Capabilities, SerializerSpec, TransportSpec

MAX_SPECS: Final = 1000
"""Specs that a hook may give: a generator that never ends would take all memory."""

SPEC_TYPES: Final[dict[PluginKind, type[TransportSpec] | type[SerializerSpec]]] = {
    PluginKind.TRANSPORT: TransportSpec,
    PluginKind.SERIALIZER: SerializerSpec,
}

FACTORY_ARGUMENTS: Final = {TransportSpec: ("options", "context"), SerializerSpec: ()}
"""What the factory of each type of spec is called with."""


class SpecProblem(Exception):  # noqa: N818 - it carries a cause to the guard and is not seen outside
    """Why a spec can't be used, as the end of a sentence."""


def check_hook(function: Callable[..., Any], hook: str, module: str) -> None:
    """Check that a function which is marked with `hookimpl` implements a hook.

    Args:
        function: the function.
        hook: the name of the hook that it says it implements.
        module: the module, or the object in one, where it was found.

    Raises:
        SpecProblem: there is no such hook, or the function wants arguments.
    """
    hooks = [kind.hook for kind in PluginKind]
    if hook not in hooks:
        close = get_close_matches(hook, hooks, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the hooks are {' and '.join(hooks)}"
        raise SpecProblem(f"{hook} in {module} is marked with @hookimpl, and is no hook: {hint}")
    problem = call_problem(function, ())
    if problem:
        raise SpecProblem(f"{hook} in {module} must take no arguments; {problem}")


def specs_from(result: object, kind: PluginKind) -> list[Any]:
    """Return the specs that a hook returned.

    Args:
        result: the return value of the hook.
        kind: which hook it was.

    Raises:
        SpecProblem: it is not an iterable of specs. Whatever iterating raises passes through.
    """
    expected = SPEC_TYPES[kind]
    if inspect.iscoroutine(result):
        result.close()  # a coroutine that nobody awaits would warn later, far from its cause
        raise SpecProblem(f"{kind.hook} is async and nothing awaits it: write `def {kind.hook}`")
    if not isinstance(result, Iterable) or isinstance(result, str | bytes | dict):
        raise SpecProblem(f"{kind.hook} gave {_kind_of(result)}, not a list of {expected.__name__}")
    specs = list(islice(result, MAX_SPECS + 1))
    if len(specs) > MAX_SPECS:
        raise SpecProblem(f"{kind.hook} gave more than {MAX_SPECS} specs; does it ever end?")
    for spec in specs:
        if not isinstance(spec, expected):
            raise SpecProblem(
                f"{kind.hook} gave {_kind_of(spec)} where a {expected.__name__} belongs"
            )
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
        raise SpecProblem(
            f"its entry point is named {candidate.name!r} but {hook} offers {names}; "
            "the names must be equal"
        )
    if len(found) > 1:
        raise SpecProblem(f"{hook} offers {candidate.name!r} {len(found)} times")
    spec = found[0]
    problem = _text_problem(spec) or (
        _transport_problem(spec) if isinstance(spec, TransportSpec) else _serializer_problem(spec)
    )
    if problem:
        raise SpecProblem(f"its {type(spec).__name__} is malformed: {problem}")
    return spec


def capabilities_problem(capabilities: object) -> str | None:
    """Say what is wrong with a transport's claims; `None` when they are well formed."""
    if not isinstance(capabilities, Capabilities):
        return f"capabilities must be Capabilities, not {_kind_of(capabilities)}"
    for each in fields(capabilities):
        value = getattr(capabilities, each.name)
        if each.name == "max_message_bytes":
            if value is not None and (type(value) is not int or value < 1):
                return f"max_message_bytes must be a positive number or None, not {value!r}"
        elif type(value) is not bool:
            return f"capability {each.name} must be True or False, not {value!r}"
    return None


def _text_problem(spec: Any) -> str | None:
    if not isinstance(spec.summary, str) or not spec.summary.strip():
        return f"summary must be a line of text, not {spec.summary!r}"
    if not callable(spec.factory):
        return f"factory must be callable, not {_kind_of(spec.factory)}"
    arguments = FACTORY_ARGUMENTS[type(spec)]
    problem = call_problem(spec.factory, arguments)
    if problem:
        how = f"with ({', '.join(arguments)})" if arguments else "without arguments"
        return f"factory is called {how}; {problem}"
    return None


def _serializer_problem(spec: SerializerSpec) -> str | None:
    if not spec.name.isascii() or len(spec.name) > MAX_SERIALIZER_BYTES:
        return f"name must be ASCII of at most {MAX_SERIALIZER_BYTES} bytes: frames carry it"
    return None


def _transport_problem(spec: TransportSpec) -> str | None:
    if callable(spec.capabilities):
        problem = call_problem(spec.capabilities, ("options",))
        if problem:
            return f"capabilities is called with (options); {problem}"
    else:
        problem = capabilities_problem(spec.capabilities)
        if problem:
            return problem
    return None if spec.options is None else _options_problem(spec.options)


def _options_problem(options: object) -> str | None:
    """Check the options' model. Only a plugin with options pays for the import of pydantic."""
    from pydantic import BaseModel

    if not isinstance(options, type) or not issubclass(options, BaseModel):
        return f"options must be a pydantic model class or None, not {_kind_of(options)}"
    if options.model_config.get("extra") != "forbid":
        return (
            f"{options.__name__} ignores unknown keys, so that a mistyped option goes unnoticed; "
            'set model_config = ConfigDict(extra="forbid")'
        )
    return None


def _kind_of(value: object) -> str:
    """Describe a value of any kind in a few words."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a value of type {type(value).__name__}"
