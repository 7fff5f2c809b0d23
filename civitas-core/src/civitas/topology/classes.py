"""The classes of agents: imported by their `type`, and their `config` checked beforehand."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

from civitas._published import TYPES, hint
from civitas.errors import describe, is_interrupt
from civitas.messages import PRIMARY
from civitas.plugins.shadowing import hidden
from civitas.topology.constructors import Constructor, Maker
from civitas.topology.problems import MistakeError, Problem, did_you_mean, problem_at
from civitas.topology.validation import Found, blocks
from civitas.topology.yaml_nodes import MappingNode, plain, text


def find_classes(
    root: MappingNode,
    agents: Sequence[Found],
    base: type,
    given: Mapping[str, Maker],
    services: Mapping[str, Any],
) -> tuple[dict[str, Constructor], list[Problem]]:
    """Import the classes of these agents, each once, and compare `config` with their constructors.

    All derive from `base`; those in `given` need no import. In the place of a class there may be a
    factory of agents. Returns constructors by the text of `type`, and the problems.
    """
    constructors: dict[str, Constructor] = {}
    errors: dict[str, MistakeError] = {}
    problems: list[Problem] = []
    for _, path, node in agents:
        name = text(node.get("type"))
        if name is None:
            continue
        if name not in constructors and name not in errors:
            try:
                constructors[name] = Constructor(_find_maker(name, base, given), services)
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
    return constructors, problems


def named_classes(
    root: MappingNode, agents: Sequence[Found], base: type, given: Mapping[str, Maker]
) -> tuple[dict[str, Constructor], list[Problem]]:
    """Do what can be done of `find_classes` without an import.

    Classes in `given` are found and compared; what else is a `type` has the form of a path.
    """
    known: dict[str, Constructor] = {}
    problems: list[Problem] = []
    for _, path, node in agents:
        name = text(node.get("type"))
        if name is None:
            continue
        try:
            if name in given:
                known[name] = Constructor(_agent_maker(given[name], name, base), {})
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
    root: MappingNode, judged: Sequence[Found], classes: Collection[str]
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


def _find_maker(name: str, base: type, given: Mapping[str, Maker]) -> Maker:
    """Return what is named in `given`, or by `package.module.Class` or `package.module:Class`."""
    if name in given:
        return _agent_maker(given[name], name, base)
    module_name, attribute = _split(name, given)
    try:
        target: Any = _import(module_name, attribute)
        for part in attribute.split("."):
            target = _attribute(target, part, base)
        return _agent_maker(target, name, base)
    except MistakeError as error:
        if namesake := hidden(module_name):
            raise MistakeError(str(error), str(namesake)) from error
        raise
    except BaseException as error:  # of a `__getattr__`, or a metaclass, of the user's
        if is_interrupt(error):
            raise
        raise _failed(f"looking at {name}", error) from error


def _split(name: str, given: Mapping[str, Maker]) -> tuple[str, str]:
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


def _agent_maker(target: Any, name: str, base: type) -> Maker:
    """Return a class of agents, or what makes one when it is called, if it is such a thing."""
    if not isinstance(target, type):
        return _factory(target, name, base)
    if not issubclass(target, base):
        raise MistakeError(f"{name!r} is not an agent", _wanted(base))
    if inspect.isabstract(target):
        missing = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
        raise MistakeError(f"{name!r} is abstract: it lacks {missing}")
    return target


def _factory(target: Any, name: str, base: type) -> Maker:
    if isinstance(target, base) or not callable(target):
        kind = type(target).__name__
        raise MistakeError(f"{name!r} is neither a class nor a factory but a {kind}", _wanted(base))
    if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
        raise MistakeError(
            f"{name!r} is async, and an agent is made at once",
            "write `def`; what has to be awaited belongs into on_start",
        )
    factory: Maker = target
    return factory


def _wanted(base: type) -> str:
    return f"an agent's class derives from {base.__name__}; a factory returns one"
