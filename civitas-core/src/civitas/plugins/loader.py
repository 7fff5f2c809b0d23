"""Importing the one plugin that is named, asking its hook, and making what its spec describes."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pluggy

from civitas.errors import CivitasError, Location
from civitas.plugins import hookspecs
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.contract import contract_problems
from civitas.plugins.diagnosis import BrokenPluginError
from civitas.plugins.selection import select
from civitas.plugins.specs import Capabilities, SerializerSpec, TransportContext, TransportSpec
from civitas.plugins.validation import (
    SpecProblem,
    capabilities_problem,
    matching_spec,
    specs_from,
)

_REFERENCE: Final = re.compile(
    r"(?P<module>\w+(\.\w+)*)\s*(:\s*(?P<object>\w+(\.\w+)*))?\s*(\[.*\])?"
)
"""The value of an entry point, as the packaging specifications have it."""
_MACHINERY: Final = (
    __file__,
    *(str(Path(inspect.getfile(each)).parent) for each in (importlib, pluggy)),
    "<frozen ",
)
"""How the names of files begin that stand between core and a plugin's code."""


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that has been imported, and the spec that it offers under its name."""

    candidate: Candidate
    spec: TransportSpec | SerializerSpec


@dataclass(frozen=True, slots=True)
class LoadedTransport(LoadedPlugin):
    """A loaded transport plugin."""

    spec: TransportSpec


@dataclass(frozen=True, slots=True)
class LoadedSerializer(LoadedPlugin):
    """A loaded serializer plugin."""

    spec: SerializerSpec


def _tell_nobody(doing: str) -> None:
    """Take the place of one who wants to know what a plugin's code is given to do."""


class PluginLoader:
    """Loads plugins, each once. A process needs one; tests make their own.

    Args:
        tell: called with words for what comes next, before each call of a plugin's code.
    """

    def __init__(self, tell: Callable[[str], None] = _tell_nobody) -> None:
        self._tell = tell
        self._loaded: dict[Candidate, Any] = {}
        self._specs: dict[tuple[PluginKind, str], list[Any]] = {}

    def transport(self, name: str, where: Location | None = None) -> LoadedTransport:
        """Load the transport of that name; see `load_transport`."""
        candidate = select(PluginKind.TRANSPORT, name, where)
        if candidate not in self._loaded:
            self._loaded[candidate] = LoadedTransport(candidate, self._spec(candidate, where))
        loaded: LoadedTransport = self._loaded[candidate]
        return loaded

    def serializer(self, name: str, where: Location | None = None) -> LoadedSerializer:
        """Load the serializer of that name; see `load_serializer`."""
        candidate = select(PluginKind.SERIALIZER, name, where)
        if candidate not in self._loaded:
            self._loaded[candidate] = LoadedSerializer(candidate, self._spec(candidate, where))
        loaded: LoadedSerializer = self._loaded[candidate]
        return loaded

    def _spec(self, candidate: Candidate, where: Location | None) -> Any:
        with _blame(candidate, "", where):
            # A module that serves several names is asked once.
            source = (candidate.kind, candidate.value)
            if source not in self._specs:
                self._specs[source] = specs_from(self._ask(candidate), candidate.kind)
            return matching_spec(self._specs[source], candidate)

    def _ask(self, candidate: Candidate) -> object:
        """Import the plugin, register it with pluggy, and return what its hook gives."""
        self._tell("importing it")
        plugin = _import(candidate.value)
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(plugin, candidate.qualified_name)
        manager.check_pending()
        caller = getattr(manager.hook, candidate.kind.hook)
        if not caller.get_hookimpls():
            raise SpecProblem(
                f"{candidate.value} implements no hook {candidate.kind.hook}; "
                "is the function there, with @hookimpl?"
            )
        self._tell(f"its hook {candidate.kind.hook}")
        # Pluggy leaves out a None; no result and a None are the same mistake.
        results = caller()
        return results[0] if results else None


_loader: Final = PluginLoader()


def load_transport(name: str, where: Location | None = None) -> LoadedTransport:
    """Import the transport plugin of that name and no other, once for each process.

    Args:
        name: `name`, or `distribution:name` where two distributions offer one name.
        where: the place in the topology that names it, for messages.

    Raises:
        UnusablePluginError: it can't be used; the subclass and the message say why.
    """
    return _loader.transport(name, where)


def load_serializer(name: str, where: Location | None = None) -> LoadedSerializer:
    """Import the serializer plugin of that name and no other, once for each process.

    Takes and raises the same as `load_transport`.
    """
    return _loader.serializer(name, where)


def load(kind: PluginKind, name: str, where: Location | None = None) -> LoadedPlugin:
    """Import the plugin of that kind and name; see `load_transport`."""
    if kind is PluginKind.TRANSPORT:
        return load_transport(name, where)
    return load_serializer(name, where)


def make_transport(
    loaded: LoadedTransport,
    options: Any,
    context: TransportContext,
    protocol: type,
    *,
    optional: Collection[str] = (),
    where: Location | None = None,
) -> Any:
    """Call a transport plugin's factory and check what it gives.

    Args:
        loaded: the plugin.
        options: an instance of its options' model; `None` where it has none.
        context: what the node tells its transport.
        protocol: the Protocol class that the product must fit.
        optional: names of the protocol's methods that may be missing.
        where: the place in the topology that names the plugin, for messages.

    Returns:
        The transport, not started.

    Raises:
        BrokenPluginError: the factory failed, or its product does not fit the protocol.
        CivitasError: whatever the factory itself raises of these.
    """
    with _blame(loaded.candidate, "its factory failed: ", where, CivitasError):
        product = loaded.spec.factory(options, context)
        _check_product(product, protocol, optional)
    return product


def make_serializer(
    loaded: LoadedSerializer, protocol: type, *, where: Location | None = None
) -> Any:
    """Call a serializer plugin's factory and check what it gives.

    Takes and raises the same as `make_transport`.
    """
    with _blame(loaded.candidate, "its factory failed: ", where, CivitasError):
        product = loaded.spec.factory()
        _check_product(product, protocol, ())
    return product


def capabilities_of(
    loaded: LoadedTransport, options: Any, where: Location | None = None
) -> Capabilities:
    """Return what a transport claims when it is made with these options.

    Raises:
        BrokenPluginError: the plugin's function failed or gave something else.
    """
    with _blame(loaded.candidate, "its capabilities failed: ", where, CivitasError):
        capabilities = loaded.spec.capabilities_for(options)
        problem = capabilities_problem(capabilities)
        if problem:
            raise SpecProblem(problem)
    return capabilities


def _import(value: str) -> Any:
    """Import what an entry point's value names, as `module` or `module:object.attribute`."""
    reference = _REFERENCE.fullmatch(value.strip())
    if reference is None:
        raise SpecProblem(f"its entry point's value is {value!r}, not `module` or `module:object`")
    names = (reference["object"] or "").split(".")
    return reduce(getattr, filter(None, names), importlib.import_module(reference["module"]))


def _check_product(product: object, protocol: type, optional: Collection[str]) -> None:
    problems = contract_problems(product, protocol, optional)
    if inspect.iscoroutine(product):
        product.close()  # a coroutine that nobody awaits would warn later, far from its cause
    if problems:
        raise SpecProblem(
            f"what its factory makes is not a {protocol.__name__}: " + "; ".join(problems)
        )


@contextmanager
def _blame(
    candidate: Candidate,
    doing: str,
    where: Location | None,
    passes: type[Exception] | tuple[()] = (),
) -> Iterator[None]:
    """Turn whatever a plugin's code raises into the diagnosis "broken".

    A plugin may raise anything, SystemExit included; that must not end the process. Only an
    interrupt by the user, and errors of the kind `passes`, go through. A stream that it takes away
    is given back: nothing could be said any more.
    """
    streams = {name: getattr(sys, name, None) for name in ("stdout", "stderr")}
    try:
        yield
    except KeyboardInterrupt:
        raise
    except SpecProblem as problem:
        raise BrokenPluginError(candidate, str(problem), where) from problem.__cause__
    except passes:
        raise
    except BaseException as error:
        raise BrokenPluginError(candidate, doing + _cause(error, candidate), where) from error
    finally:
        for name, stream in streams.items():
            if getattr(sys, name, None) is None:
                setattr(sys, name, stream)


def _cause(error: BaseException, candidate: Candidate) -> str:
    """Say in a line what was raised, and in which line of which file."""
    name = type(error).__name__
    text = _text(error)
    raised = f"{name}: {text}" if text else name
    if isinstance(error, ModuleNotFoundError) and error.name:
        own = candidate.value.partition(":")[0].strip()
        if own == error.name or own.startswith(error.name + "."):
            return (
                f"its entry point names {own!r}, and there is no module {error.name!r} ({raised})"
            )
        raised = f"it needs the module {error.name!r}, which is missing ({raised})"
    place = _place(error)
    return f"{raised}, at {place}" if place else raised


def _text(error: BaseException) -> str:
    """Return what an exception says, in a line; it may be unable to."""
    try:
        return " ".join(str(error).split())
    except Exception as failure:  # noqa: BLE001 - the plugin's own class of exceptions
        return f"what it says can't be told, for {type(failure).__name__}"


def _place(error: BaseException) -> str:
    """Return file and line of the plugin's code that raised, without the machinery's."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith(_MACHINERY)]
    return f"{outside[-1].filename}:{outside[-1].lineno}" if outside else ""
