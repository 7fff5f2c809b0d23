"""The loader: from a name such as `type: NAME` to the class behind it, and an instance of that.

`selection` chooses the plugin. Here it is imported, its hook is called, its spec is checked, and
the factory of the spec makes the transport, the serializer or the instrument.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Generic, TypeVar

import pluggy

from civitas.errors import CivitasError, Location
from civitas.plugins import hookspecs, validation
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.guard import guard_call
from civitas.plugins.search_path import app_folders
from civitas.plugins.selection import select
from civitas.plugins.shadowing import namesakes
from civitas.plugins.specs import (
    Capabilities,
    InstrumentContext,
    InstrumentSpec,
    PluginSpec,
    SerializerSpec,
    TransportContext,
    TransportSpec,
)
from civitas.plugins.validation import SpecProblem

_REFERENCE: Final = re.compile(
    r"(?P<module>\w+(\.\w+)*)\s*(:\s*(?P<object>\w+(\.\w+)*))?\s*(\[.*\])?"
)
"""The value of an entry point, as the packaging specifications have it."""


SpecT = TypeVar("SpecT", bound=PluginSpec)


@dataclass(frozen=True, slots=True)
class LoadedPlugin(Generic[SpecT]):
    """A plugin that has been imported, and the spec that it offers under its name."""

    candidate: Candidate
    spec: SpecT


class LoadedTransport(LoadedPlugin[TransportSpec]):
    """A transport that has been imported."""

    __slots__ = ()


class LoadedSerializer(LoadedPlugin[SerializerSpec]):
    """A serializer that has been imported."""

    __slots__ = ()


class LoadedInstrument(LoadedPlugin[InstrumentSpec]):
    """An instrument that has been imported."""

    __slots__ = ()


_LOADED: Final[dict[PluginKind, type[LoadedPlugin[Any]]]] = {
    PluginKind.TRANSPORT: LoadedTransport,
    PluginKind.SERIALIZER: LoadedSerializer,
    PluginKind.INSTRUMENT: LoadedInstrument,
}


class PluginLoader:
    """Loads plugins, each once. A process needs one; tests make their own.

    `progress` is called with the name of the next step, before each call of a plugin's code.
    """

    def __init__(self, progress: Callable[[str], None] = lambda _step: None) -> None:
        self._progress = progress
        self._loaded: dict[Candidate, Any] = {}
        self._specs: dict[tuple[PluginKind, str], list[Any]] = {}

    def transport(self, name: str, where: Location | None = None) -> LoadedTransport:
        """Load the transport of that name; see `load`."""
        loaded: LoadedTransport = self.load(PluginKind.TRANSPORT, name, where)
        return loaded

    def serializer(self, name: str, where: Location | None = None) -> LoadedSerializer:
        """Load the serializer of that name; see `load`."""
        loaded: LoadedSerializer = self.load(PluginKind.SERIALIZER, name, where)
        return loaded

    def instrument(self, name: str, where: Location | None = None) -> LoadedInstrument:
        """Load the instrument of that name; see `load`."""
        loaded: LoadedInstrument = self.load(PluginKind.INSTRUMENT, name, where)
        return loaded

    def load(self, kind: PluginKind, name: str, where: Location | None = None) -> Any:
        """Import the plugin of that kind and name and no other: what is loaded of that kind.

        Its name is `name`, or `distribution:name` where two distributions offer one name. `where`
        is the place in the topology that names it, for messages.

        Raises:
            UnusablePluginError: it can't be used; the subclass and the message say why.
        """
        candidate = select(kind, name, where)
        if candidate not in self._loaded:
            with guard_call(candidate, "", where):
                # A module that serves several names is asked once.
                source = (kind, candidate.value)
                if source not in self._specs:
                    _refuse_namesakes(candidate, [f for f in app_folders() if f in sys.path])
                    self._specs[source] = validation.specs_from(self._call_hook(candidate), kind)
                    # What it imported so far is its own; what it imports later need not be.
                    _refuse_namesakes(candidate, app_folders())
                spec = validation.matching_spec(self._specs[source], candidate)
            self._loaded[candidate] = _LOADED[kind](candidate, spec)
        return self._loaded[candidate]

    def _call_hook(self, candidate: Candidate) -> object:
        """Import the plugin, register it with pluggy, and return what its hook gives."""
        self._progress("importing it")
        plugin = _import(candidate.value)
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for name in dir(plugin):
            marks = manager.parse_hookimpl_opts(plugin, name)
            if marks is not None and not marks.get("optionalhook"):
                validation.check_hook(
                    getattr(plugin, name), marks.get("specname") or name, candidate.value
                )
        manager.register(plugin, candidate.qualified_name)
        manager.check_pending()
        hook = candidate.kind.hook
        caller = getattr(manager.hook, hook)
        if not caller.get_hookimpls():
            lacking = f"{candidate.value} implements no hook {hook}"
            raise SpecProblem(f"{lacking}; is the function there, with @hookimpl?")
        self._progress(f"its hook {hook}")
        # Pluggy leaves out a None; no result and a None are the same mistake.
        results = caller()
        return results[0] if results else None


_loader: Final = PluginLoader()
load: Final = _loader.load
load_transport: Final = _loader.transport
load_serializer: Final = _loader.serializer
load_instrument: Final = _loader.instrument


def make_transport(
    loaded: LoadedTransport,
    options: Any,
    context: TransportContext,
    protocol: type,
    *,
    where: Location | None = None,
) -> Any:
    """Make a transport that fits `protocol`, and do not start it; for `where`, see `load`.

    The options are an instance of the plugin's model, or `None` where it has none.

    Raises:
        BrokenPluginError: the factory failed, or its product does not fit the protocol.
        CivitasError: whatever the factory itself raises of these.
    """
    return _make(loaded, loaded.spec.factory, (options, context), protocol, where)


def make_dead_letters(
    loaded: LoadedTransport,
    options: Any,
    context: TransportContext,
    protocol: type,
    *,
    where: Location | None = None,
) -> Any:
    """Make the dead-letter store of a transport that has one; as for `make_transport`."""
    factory = loaded.spec.dead_letters
    assert factory is not None
    return _make(loaded, factory, (options, context), protocol, where, "dead_letters")


def options_apart(
    loaded: LoadedTransport, options: Any, name: str, *, where: Location | None = None
) -> AbstractAsyncContextManager[Any]:
    """Have options for a system apart from that of these, of a transport that knows how.

    Raises:
        BrokenPluginError: the plugin's function failed, or gave something else.
        CivitasError: whatever the function itself raises of these.
    """
    apart = loaded.spec.apart
    assert apart is not None
    with guard_call(loaded.candidate, "its apart failed: ", where, CivitasError):
        manager: Any = apart(options, name)
        if not isinstance(manager, AbstractAsyncContextManager):
            what = type(manager).__name__
            raise SpecProblem(f"what its apart gives is no asynchronous context manager: {what}")
        apart_from: AbstractAsyncContextManager[Any] = manager
    return apart_from


def make_serializer(
    loaded: LoadedSerializer, options: Any, protocol: type, *, where: Location | None = None
) -> Any:
    """Make a serializer that fits `protocol`; takes and raises the same as `make_transport`."""
    arguments = () if loaded.spec.options is None else (options,)
    return _make(loaded, loaded.spec.factory, arguments, protocol, where)


def make_instrument(
    loaded: LoadedInstrument,
    options: Any,
    context: InstrumentContext,
    protocol: type,
    *,
    where: Location | None = None,
) -> Any:
    """Make an instrument, and do not start it; takes and raises the same as `make_transport`.

    Of the methods of `protocol` it has to have one.
    """
    return _make(loaded, loaded.spec.factory, (options, context), protocol, where)


def capabilities_of(
    loaded: LoadedTransport, options: Any, where: Location | None = None
) -> Capabilities:
    """Return what a transport claims when it is made with these options.

    Raises:
        BrokenPluginError: the plugin's function failed or gave something else.
    """
    with guard_call(loaded.candidate, "its capabilities failed: ", where, CivitasError):
        capabilities = loaded.spec.capabilities_for(options)
        if problem := next(validation.capabilities_problems(capabilities), None):
            raise SpecProblem(problem)
    return capabilities


def _import(value: str) -> Any:
    """Import what an entry point's value names, as `module` or `module:object.attribute`."""
    reference = _REFERENCE.fullmatch(value.strip())
    if reference is None:
        raise SpecProblem(f"its entry point's value is {value!r}, not `module` or `module:object`")
    names = (reference["object"] or "").split(".")
    return reduce(getattr, filter(None, names), importlib.import_module(reference["module"]))


def _refuse_namesakes(candidate: Candidate, folders: Sequence[str]) -> None:
    """Refuse a plugin that would get modules of the user's in place of its libraries."""
    wrong = [e for e in namesakes(candidate, folders) if e.takes_its_place and not e.is_standard]
    if wrong:
        raise SpecProblem("; ".join(map(str, wrong)))


def _make(
    loaded: LoadedPlugin[Any],
    factory: Callable[..., Any],
    arguments: tuple[Any, ...],
    protocol: type,
    where: Location | None,
    name: str = "factory",
) -> Any:
    with guard_call(loaded.candidate, f"its {name} failed: ", where, CivitasError):
        product = factory(*arguments)
        optional = loaded.candidate.kind is PluginKind.INSTRUMENT
        problems = validation.contract_problems(product, protocol, optional=optional)
        if inspect.iscoroutine(product):
            product.close()  # a coroutine that nobody awaits would warn later, far from its cause
        if problems:
            what = f"what its {name} makes is no {protocol.__name__}: "
            raise SpecProblem(what + "; ".join(problems))
    return product
