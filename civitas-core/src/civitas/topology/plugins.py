"""The plugins that a topology names, transport and serializers, with their options checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from civitas.errors import Location, PluginError, crash_of, describe
from civitas.plugins import SerializerSpec, TransportSpec
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.loader import load_serializer, load_transport
from civitas.plugins.masking import mask_text, secret_texts
from civitas.plugins.options import is_secret, keys_at, names_file
from civitas.plugins.selection import select
from civitas.topology.problems import Problem, did_you_mean, explain, problem_at, raise_problems
from civitas.topology.resolved import ResolvedSerializer, ResolvedTransport
from civitas.topology.yaml_nodes import (
    MappingNode,
    Node,
    Path,
    SequenceNode,
    dotted,
    find,
    from_mapping,
    locate,
    plain,
    text,
    walkable,
)

_TRANSPORT: Final[Path] = ("transport",)
_SERIALIZER: Final[Path] = ("serializer",)

_Loaded = TypeVar("_Loaded")
_Spec: TypeAlias = TransportSpec | SerializerSpec


@dataclass(slots=True)
class Plugins:
    """The plugins that well-formed blocks of a topology name, and why they can't be used."""

    transport: ResolvedTransport | None = None
    serializer: ResolvedSerializer | None = None
    accepted: list[ResolvedSerializer] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)


def load_plugins(root: MappingNode, *, imports: bool) -> Plugins:
    """Load the transport and the serializers that the topology names, and those alone.

    Without `imports` only the built-in ones are loaded; the others have to be installed.
    """

    def load(
        kind: PluginKind, loader: Callable[[str, Location], _Loaded], path: Path, name: str
    ) -> _Loaded | None:
        where = locate(root, path)
        try:
            if imports or (chosen := select(kind, name, where)).builtin:
                return loader(name, where)
        except PluginError as error:
            message = str(error).removeprefix(f"{where}: ")  # the problem begins with it as well
            plugins.problems.append(Problem(where, dotted(path), message, "", error.code, error))
        else:
            plugins.not_judged.append(_not_judged(chosen))
        return None

    plugins = Plugins()
    path, name = _named(root, _TRANSPORT, "in_process")
    if name is not None:
        transport, options = load(PluginKind.TRANSPORT, load_transport, path, name), None
        if transport is not None:
            options, wrong = check_options(root, transport.spec)
            plugins.problems += wrong
        plugins.transport = ResolvedTransport(name, transport, options, locate(root, _TRANSPORT))
    path, name = _named(root, _SERIALIZER, "msgpack")
    if name is not None:
        serializer, options = load(PluginKind.SERIALIZER, load_serializer, path, name), None
        if serializer is not None:
            options, wrong = check_options(root, serializer.spec, _SERIALIZER)
            plugins.problems += wrong
        where = locate(root, _SERIALIZER)
        plugins.serializer = ResolvedSerializer(name, serializer, options, where)
    accepted = root.get("accept_serializers")
    for index, item in enumerate(accepted.items if isinstance(accepted, SequenceNode) else ()):
        path, name = ("accept_serializers", index), text(item)
        if name is not None:
            serializer, options = load(PluginKind.SERIALIZER, load_serializer, path, name), None
            if serializer is not None:
                options, wrong = check_options(root, serializer.spec, path)
                plugins.problems += wrong
            where = locate(root, path)
            plugins.accepted.append(ResolvedSerializer(name, serializer, options, where))
    return plugins


def _not_judged(candidate: Candidate) -> str:
    """Say what only an import of a plugin would show."""
    return f"whether the {candidate.title} works, and its options: it was not imported"


def _named(root: MappingNode, path: Path, default: str) -> tuple[Path, str | None]:
    """Return which plugin a block names, and where; `None` for a malformed block."""
    node = find(root, path)
    if isinstance(node, MappingNode):
        return (*path, "type"), text(node.get("type"))
    if node is None:
        return path, default
    return path, None if path == _TRANSPORT else text(node)


def check_options(
    root: Node, spec: _Spec, path: Path = _TRANSPORT
) -> tuple[BaseModel | None, list[Problem]]:
    """Make a plugin's options from its block, which stands at `path`.

    The block, if there is one, is a mapping, or the name of a serializer, which has no options
    then. No problem repeats a value: an option may be a secret, also where the plugin does not say
    so.
    """
    block = plain(find(root, path))
    given = block if isinstance(block, dict) else {}
    values = {key: value for key, value in given.items() if key != "type"}
    if spec.options is None:
        return None, [_unknown_option(root, spec, path, key) for key in values]
    try:
        return spec.options.model_validate(values), []
    except ValidationError as error:
        secrets = option_secrets(values, spec.options)
        errors = error.errors(include_url=False)
        return None, _merged([_option_problem(root, spec, path, each, secrets) for each in errors])
    except BaseException as error:  # noqa: BLE001 - a validator of the plugin's may raise anything
        kind = describe(crash_of(error)).kind
        message = f"checking the options of {spec.name!r} failed with {kind}"
        suggestion = "the plugin should raise ValueError; tell its author"
        return None, [problem_at(root, path, message, suggestion)]


def options_from_mapping(block: Mapping[str, Any], spec: _Spec) -> BaseModel | None:
    """Make a plugin's options from a block that was given in code, with its `type`.

    Raises:
        TopologyError: an option is unknown or wrong; all of them are listed.
    """
    path = _TRANSPORT if isinstance(spec, TransportSpec) else _SERIALIZER
    root = from_mapping({path[0]: block}, Location("<options>"))
    options, problems = check_options(root, spec, path)
    raise_problems(problems)
    return options


def option_secrets(given: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """Return the values that no message may repeat, of options as the user wrote them.

    They are those of fields whose type is, or contains, SecretStr, and of names that look secret;
    but not those of `option_files`.
    """
    fields = [(key, each) for key, each in model.model_fields.items() if is_secret(each.annotation)]
    names = [name for key, each in fields for name in (key, each.alias) if name]
    files = option_files(given, model)
    return [each for each in secret_texts(given, names) if each not in files]


def option_files(given: Mapping[str, Any], model: type[BaseModel]) -> set[str]:
    """Return the names of files among options: that of a file of secrets is no secret itself."""
    values = (
        given.get(name)
        for key, each in model.model_fields.items()
        if names_file(each.annotation) and not is_secret(each.annotation)
        for name in (key, each.alias or key)
    )
    return {value for value in values if isinstance(value, str)}


def _option_problem(
    root: Node, spec: _Spec, block: Path, error: Any, secrets: list[str]
) -> Problem:
    loc: Path = error["loc"]
    if error["type"] == "extra_forbidden" and len(loc) == 1:
        return _unknown_option(root, spec, block, loc[0])
    path = (*block, *loc)
    if error["type"] == "extra_forbidden" and spec.options is not None:
        return _unknown_nested(root, path, keys_at(spec.options, loc[:-1]))
    if error["type"] != "missing":
        # Below the option, the location also names the member of a union that was tried.
        path = walkable(root, path)
    message, suggestion = explain(error)
    return problem_at(root, path, mask_text(message, secrets), suggestion)


def _unknown_option(root: Node, spec: _Spec, block: Path, key: Any) -> Problem:
    kind = "transport" if isinstance(spec, TransportSpec) else "serializer"
    known = [] if spec.options is None else list(spec.options.model_fields)
    listed = f"its options are {', '.join(known)}" if known else "it has no options"
    suggestion = did_you_mean(str(key), known, f"{listed}; is it one of another {kind}?")
    message = f"{kind} {spec.name!r} has no option {str(key)!r}"
    return problem_at(root, (*block, key), message, suggestion)


def _unknown_nested(root: Node, path: Path, known: list[str]) -> Problem:
    below: Path = ()
    for step in path[:-1]:  # the location also names members of unions that were tried
        below = (*below, step) if find(root, (*below, step)) is not None else below
    owner, key = str(below[-1]), str(path[-1])
    if key in known:  # of another member
        message, suggestion = f"{key!r} does not go with the other keys of {owner!r}", ""
    else:
        listed = f"its keys are {', '.join(known)}" if known else ""
        message, suggestion = f"{owner!r} has no key {key!r}", did_you_mean(key, known, listed)
    return problem_at(root, (*below, path[-1]), message, suggestion)


def _merged(problems: list[Problem]) -> list[Problem]:
    """Make one problem of those at one path: the members of a union fail one by one."""
    by_path: dict[str, list[Problem]] = {}
    for each in problems:
        by_path.setdefault(each.path, []).append(each)
    return [
        Problem(
            same[0].location,
            path,
            "; or ".join(dict.fromkeys(each.message for each in same)),
            next((each.suggestion for each in same if each.suggestion), ""),
        )
        for path, same in by_path.items()
    ]
