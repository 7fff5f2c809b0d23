"""The classes of agents: imported by their `type`, and their `config` checked beforehand."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import Parameter
from types import ModuleType
from typing import Any, Final

from civitas._published import TYPES, hint
from civitas.errors import describe, is_interrupt
from civitas.messages import PRIMARY
from civitas.plugins.shadowing import hidden
from civitas.topology.problems import MistakeError, Problem, did_you_mean, problem_at
from civitas.topology.validation import Found, blocks
from civitas.topology.yaml_nodes import MappingNode, Path, plain, text

_NOT_POSITIONAL: Final = (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD)
_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_ONLY_NAME: Final = "it takes only the name"


def find_classes(
    root: MappingNode, agents: Sequence[Found], base: type, given: Mapping[str, type]
) -> tuple[dict[str, type], list[Problem]]:
    """Import the classes of these agents, each once, and compare `config` with their constructors.

    All derive from `base`; those in `given` need no import. Returns classes by the text of `type`,
    and the problems.
    """
    classes: dict[str, type] = {}
    constructors: dict[str, _Constructor] = {}
    errors: dict[str, MistakeError] = {}
    problems: list[Problem] = []
    for _, path, node in agents:
        name = text(node.get("type"))
        if name is None:
            continue
        if name not in classes and name not in errors:
            try:
                classes[name] = _find_class(name, base, given)
                constructors[name] = _Constructor(classes[name])
            except MistakeError as error:
                errors[name] = error
        if name in errors:
            message, suggestion = str(errors[name]), errors[name].suggestion
            problems.append(problem_at(root, (*path, "type"), message, suggestion))
            continue
        config = plain(node.get("config"))
        if isinstance(config, dict | None):  # else the model says so
            below = (*path, "config") if "config" in node.entries else path
            problems += constructors[name].problems(root, below, config or {})
    return classes, problems


def named_classes(
    root: MappingNode, agents: Sequence[Found], base: type, given: Mapping[str, type]
) -> tuple[dict[str, type], list[Problem]]:
    """Do what can be done of `find_classes` without an import.

    Classes in `given` are found and compared; what else is a `type` has the form of a path.
    """
    known: dict[str, type] = {}
    problems: list[Problem] = []
    for _, path, node in agents:
        name = text(node.get("type"))
        if name is None:
            continue
        try:
            if name in given:
                known[name] = _agent_class(given[name], name, base)
            else:
                _split(name, given)
        except MistakeError as error:
            problems.append(problem_at(root, (*path, "type"), str(error), error.suggestion))
    return known, problems


def hosted_agents(
    root: MappingNode, processes: Collection[str] | None, *, crosses: bool
) -> list[Found]:
    """Return the agents that these processes host, or all of them.

    Args:
        root: the topology.
        processes: names of processes; `None`: all.
        crosses: whether the transport reaches other processes; else the primary hosts all agents.
    """
    agents = [found for found in blocks(root) if found.kind == "agent"]
    if processes is None:
        return agents
    if not crosses:
        return agents if PRIMARY in processes else []
    return [each for each in agents if (text(each.node.get("process")) or PRIMARY) in processes]


def unjudged_classes(
    root: MappingNode, judged: Sequence[Found], classes: Mapping[str, type]
) -> list[str]:
    """Say which agents and classes were not judged, of a topology with which nothing is wrong."""
    types = dict.fromkeys(text(each.node.get("type")) or "" for each in judged)
    missing = [name for name in types if name not in classes]
    paths = {each.path for each in judged}
    others = [
        text(each.node.get("name")) or ""
        for each in hosted_agents(root, None, crosses=True)
        if each.path not in paths
    ]
    notes = []
    if missing:
        listed = ", ".join(missing)
        notes.append(f"the classes of agents, and `config`: not imported were {listed}")
    if others:
        notes.append(f"agents of other processes: {', '.join(others)}")
    return notes


def _find_class(name: str, base: type, given: Mapping[str, type]) -> type:
    """Return what is named in `given`, or by `package.module.Class` or `package.module:Class`."""
    if name in given:
        return _agent_class(given[name], name, base)
    module_name, attribute = _split(name, given)
    try:
        target: Any = _import(module_name, attribute)
        for part in attribute.split("."):
            target = _attribute(target, part, base)
        return _agent_class(target, name, base)
    except MistakeError as error:
        if namesake := hidden(module_name):
            raise MistakeError(str(error), str(namesake)) from error
        raise
    except BaseException as error:  # of a `__getattr__`, or a metaclass, of the user's
        if is_interrupt(error):
            raise
        raise _failed(f"looking at {name}", error) from error


def _split(name: str, given: Mapping[str, type]) -> tuple[str, str]:
    """Return the module and the class that a path has."""
    module_name, separator, attribute = name.rpartition(":")
    if not separator:
        module_name, separator, attribute = name.rpartition(".")
    parts = [*module_name.split("."), *attribute.split(".")]
    if name in TYPES:
        raise MistakeError(f"{name!r} is no class", hint(name, dict.fromkeys(TYPES, "")))
    if not separator or not all(part.isidentifier() for part in parts):
        otherwise = "write `package.module.Class`"
        raise MistakeError(
            f"{name!r} is neither `package.module.Class` nor a name in agent_classes",
            did_you_mean(name, given, otherwise),
        )
    return module_name, attribute


class _Constructor:
    """What the constructor of a class takes, given the name as its first argument.

    One with `**kwargs` takes everything, as far as can be seen from outside.
    """

    def __init__(self, cls: type) -> None:
        self._title = cls.__qualname__
        self._parameters: list[Parameter] | None = None
        """All but `self`; `None` where they can't be known."""
        # The class's own signature may be that of a `__new__` in its base; a constructor written in
        # C need not have one.
        with suppress(TypeError, ValueError):
            signature = inspect.signature(cls.__init__)  # type: ignore[misc]
            self._parameters = list(signature.parameters.values())[1:]
        parameters = self._parameters or ()
        named = [each for each in parameters if each.kind not in _NOT_POSITIONAL]
        self._first = named[0] if named else None
        self._named = {
            each.name: each.default is Parameter.empty
            for each in parameters
            if each.kind in _BY_NAME and each is not self._first
        }
        """Whether each argument that has a name is needed."""
        self._takes_all = any(each.kind is Parameter.VAR_KEYWORD for each in parameters)

    def problems(
        self, root: MappingNode, path: Path, config: Mapping[Any, Any]
    ) -> Iterator[Problem]:
        """Compare `config` with it."""
        if self._parameters is None:
            return
        if self._first is None:
            message = f"{self._title} does not take the agent's name first"
            yield problem_at(root, path, message)
            return
        for key in config:
            if not isinstance(key, str):
                continue  # the model says so
            if key == self._first.name:
                message = f"{key!r} is the agent's name already"
                yield problem_at(root, (*path, key), message, "remove it here")
            elif key not in self._named and not self._takes_all:
                listed = f"it takes {', '.join(self._named)}" if self._named else _ONLY_NAME
                message = f"{self._title} takes no argument {key!r}"
                suggestion = did_you_mean(key, self._named, listed)
                yield problem_at(root, (*path, key), message, suggestion)
        for name, needed in self._named.items():
            if needed and name not in config:
                message = f"{self._title} needs the argument {name!r}"
                yield problem_at(root, path, message, f"add `{name}:` to config")


def _import(name: str, attribute: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as error:  # a module of the user's may raise anything
        if is_interrupt(error):
            raise
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise _no_module(name, attribute, missing) from error
        raise _failed(f"importing {name}", error) from error


def _no_module(name: str, attribute: str, missing: str) -> MistakeError:
    wanted = "" if name == missing else f" (of {name})"
    parent = missing.rpartition(".")[0]
    module = sys.modules.get(parent) if parent else None
    if module is not None and not hasattr(module, "__path__"):
        nested = f"{parent}:{name.removeprefix(f'{parent}.')}.{attribute}"
        suggestion = f"{parent} is no package; a class inside a class is written {nested}"
    else:
        suggestion = "is it installed, or in the folder given by --app-dir?"
    return MistakeError(f"there is no module {missing!r}{wanted}", suggestion)


def _failed(doing: str, error: BaseException) -> MistakeError:
    line = str(describe(error))
    machinery = (__file__, importlib.__file__)
    places = [
        f", at {each.filename}:{each.lineno}"
        for each in traceback.extract_tb(error.__traceback__)
        if each.filename not in machinery and not each.filename.startswith("<frozen ")
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append(f", at {error.filename}:{error.lineno}")
    return MistakeError(f"{doing} failed: {line}{places[-1] if places else ''}")


def _attribute(holder: Any, name: str, base: type) -> Any:
    try:
        return getattr(holder, name)
    except AttributeError as error:
        classes = [
            key
            for key, value in vars(holder).items()
            if isinstance(value, type) and issubclass(value, base) and value is not base
        ]
        listed = f"its agents are {', '.join(classes)}" if classes else ""
        kind = "module" if isinstance(holder, ModuleType) else "class"
        message = f"the {kind} {holder.__name__!r} has no {name!r}"
        raise MistakeError(message, did_you_mean(name, classes, listed)) from error


def _agent_class(target: Any, name: str, base: type) -> type:
    wanted = f"an agent's class derives from {base.__name__}"
    if not isinstance(target, type):
        raise MistakeError(f"{name!r} is not a class but a {type(target).__name__}", wanted)
    if not issubclass(target, base):
        raise MistakeError(f"{name!r} is not an agent", wanted)
    if inspect.isabstract(target):
        missing = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
        raise MistakeError(f"{name!r} is abstract: it lacks {missing}")
    return target
