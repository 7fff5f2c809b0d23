"""The plugins that a topology names, of every kind, with their options checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from civitas._published import OPTIONS, hint
from civitas.errors import ConfigurationError, Location, PluginError, crash_of, describe
from civitas.plugins import TransportSpec
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.loader import (
    LoadedPlugin,
    load_instrument,
    load_serializer,
    load_transport,
)
from civitas.plugins.masking import mask_text, secret_texts
from civitas.plugins.option_fields import (
    all_keys,
    is_secret,
    key_of,
    keys_at,
    keyword_of,
    names_file,
    option_keys,
    secret_keys,
)
from civitas.plugins.selection import select
from civitas.plugins.similar import closest
from civitas.plugins.specs import PluginSpec
from civitas.topology.problems import Problem, did_you_mean, explain, problem_at, raise_problems
from civitas.topology.resolved import (
    ResolvedInstrument,
    ResolvedPlugin,
    ResolvedSerializer,
    ResolvedTransport,
)
from civitas.topology.yaml_nodes import (
    Entry,
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
)

_TRANSPORT: Final[Path] = ("transport",)
_SERIALIZER: Final[Path] = ("serializer",)

_Loaded = TypeVar("_Loaded", bound=LoadedPlugin[Any])
_Load: TypeAlias = Callable[[str, Location], _Loaded]
Keywords: TypeAlias = Mapping[str, str] | None


@dataclass(slots=True)
class Plugins:
    """The plugins that well-formed blocks of a topology name, and why they can't be used."""

    transport: ResolvedTransport | None = None
    serializer: ResolvedSerializer | None = None
    accepted: list[ResolvedSerializer] = field(default_factory=list)
    instruments: list[ResolvedInstrument] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)


def load_plugins(root: MappingNode, *, imports: bool) -> Plugins:
    """Load the plugins that the topology names, and those alone.

    Without `imports` only the built-in ones are loaded; the others have to be installed.
    """
    plugins = Plugins()

    def load(kind: PluginKind, loader: _Load[_Loaded], path: Path, name: str) -> _Loaded | None:
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

    def resolve(
        kind: PluginKind, loader: _Load[_Loaded], block: Path, default: str | None = None
    ) -> ResolvedPlugin[_Loaded] | None:
        """Load the plugin that a block names, and check its options; None for no name."""
        path, name = _named(root, block, default)
        if name is None:
            return None
        loaded, options = load(kind, loader, path, name), None
        if loaded is not None:
            options, wrong = check_options(root, loaded.spec, block)
            plugins.problems.extend(wrong)
        return ResolvedPlugin(name, loaded, options, locate(root, block))

    plugins.transport = resolve(PluginKind.TRANSPORT, load_transport, _TRANSPORT, "in_process")
    plugins.serializer = resolve(PluginKind.SERIALIZER, load_serializer, _SERIALIZER, "msgpack")
    for path in _items(root, "accept_serializers"):
        if (accepted := resolve(PluginKind.SERIALIZER, load_serializer, path)) is not None:
            plugins.accepted.append(accepted)
    for path in _items(root, "instruments"):
        if (instrument := resolve(PluginKind.INSTRUMENT, load_instrument, path)) is not None:
            plugins.instruments.append(instrument)
    return plugins


def _items(root: MappingNode, key: str) -> list[Path]:
    """Return the paths of the items of a list."""
    listed = root.get(key)
    return [(key, i) for i in range(len(listed.items))] if isinstance(listed, SequenceNode) else []


def _not_judged(candidate: Candidate) -> str:
    """Say what only an import of a plugin would show."""
    return f"whether the {candidate.title} works, and its options: it was not imported"


def _named(root: MappingNode, path: Path, default: str | None) -> tuple[Path, str | None]:
    """Return which plugin a block names, and where; `None` for a malformed block."""
    node = find(root, path)
    if isinstance(node, MappingNode):
        return (*path, "type"), text(node.get("type"))
    if node is None:
        return path, default
    return path, None if path == _TRANSPORT else text(node)


def check_options(
    root: Node, spec: PluginSpec, path: Path = _TRANSPORT, keywords: Keywords = None
) -> tuple[BaseModel | None, list[Problem]]:
    """Make a plugin's options from its block, which stands at `path`.

    The block, if there is one, is a mapping, or the name of a serializer, which has no options
    then. `keywords` has those of its keys that were given as keywords in code. No problem repeats
    a value: an option may be a secret, also where the plugin does not say so.
    """
    block = plain(find(root, path))
    given = block if isinstance(block, dict) else {}
    values = {key: value for key, value in given.items() if key != "type"}
    if spec.options is None:
        return None, [_unknown_option(root, spec, path, key, keywords) for key in values]
    try:
        made = _made(spec.options, values)
        if isinstance(made, BaseModel):
            return made, []
        secrets = option_secrets(values, spec.options)
        found = [_option_problem(root, spec, path, each, secrets, keywords) for each in made]
        return None, _merged(found)
    except BaseException as error:  # noqa: BLE001 - a validator of the plugin's may raise anything
        kind = describe(crash_of(error)).kind
        message = f"checking the options of {spec.name!r} failed with {kind}"
        suggestion = "the plugin should raise ValueError; tell its author"
        return None, [problem_at(root, path, message, suggestion)]


def _made(model: type[BaseModel], values: dict[str, Any]) -> BaseModel | list[Any]:
    """Return the options, or what pydantic has against them.

    A strict model takes a text for a path or a time, and a list for a set, in JSON only. So what
    it refuses is tried as JSON, too: a topology has nothing that JSON does not have.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        refused = error.errors(include_url=False)
    if any("[key]" in each["loc"] or each["type"] == "invalid_key" for each in refused):
        return refused  # a number would be a text there
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        as_python = {each["loc"]: each for each in refused}
        return [
            as_python.get(each["loc"], each) if each["type"] == "needs_python_object" else each
            for each in error.errors(include_url=False)
            if each["loc"] or each["type"] != "json_invalid"  # a text that is no Unicode
        ] or refused
    except (TypeError, ValueError, NotImplementedError):
        # Given in code, and no JSON; or pydantic 2.7 looks for an object, of a class, in JSON.
        return refused


def options_from_mapping(
    block: Mapping[str, Any], spec: PluginSpec, keywords: Keywords = None
) -> BaseModel | None:
    """Make a plugin's options from a block that was given in code, with its `type`.

    Args:
        block: the block.
        spec: the plugin's.
        keywords: the keywords by which some of the options were given, by the keys of these;
            `None` where none could be given.

    Raises:
        TopologyError: an option is unknown or wrong; all of them are listed.
    """
    path: Path = (spec.kind,)
    entries: dict[Any, Entry] = {}
    for key, value in block.items():
        where = Location((keywords or {}).get(key, "<options>"))
        entries[key] = Entry(where, from_mapping(value, where))
    where = Location("<options>")
    root = MappingNode(where, {path[0]: Entry(where, MappingNode(where, entries))})
    options, problems = check_options(root, spec, path, keywords)
    raise_problems(problems)
    return options


def keys_of_keywords(
    given: Iterable[str], block: Mapping[str, Any], spec: TransportSpec
) -> dict[str, str]:
    """Return the keywords that were given beside a block, by the keys of the options they mean.

    Raises:
        ConfigurationError: one does not begin with the transport's name, or has its value in the
            block too.
    """
    keys: dict[str, str] = {}
    for keyword in given:
        key = key_of(spec.name, keyword, spec.options)
        if key is None:
            raise _no_keyword(keyword, spec)
        if key in block or key in keys:
            raise ConfigurationError(f"{keyword!r} is given twice: {key!r} has a value already")
        keys[key] = keyword
    return keys


def _no_keyword(keyword: str, spec: TransportSpec) -> ConfigurationError:
    known = [keyword_of(spec.name, each) for each in all_keys(spec.options)]
    wanted = keyword_of(spec.name, keyword)
    meant = wanted if wanted in known else closest(keyword, known)
    suggestion = f" (did you mean {meant!r}?)" if meant else ""
    otherwise = f"its options begin with {keyword_of(spec.name, '')!r} here{suggestion}"
    advice = hint(keyword, OPTIONS) or otherwise
    return ConfigurationError(f"{keyword!r} is no option of transport {spec.name!r}: {advice}")


def option_secrets(given: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """Return the values that no message may repeat, of options as the user wrote them.

    They are those of fields whose type is, or contains, a secret type, and of names that look
    secret, in nested blocks too; but not those of `option_files`.
    """
    files = option_files(given, model)
    return [each for each in secret_texts(given, secret_keys(model)) if each not in files]


def option_files(given: Mapping[str, Any], model: type[BaseModel]) -> set[str]:
    """Return the names of files among options: that of a file of secrets is no secret itself."""
    values = (
        given.get(key)
        for name, each in model.model_fields.items()
        if names_file(each.annotation) and not is_secret(each.annotation)
        for key in option_keys(model, name)
    )
    return {value for value in values if isinstance(value, str)}


def _option_problem(
    root: Node, spec: PluginSpec, block: Path, error: Any, secrets: list[str], keywords: Keywords
) -> Problem:
    loc: Path = error["loc"]
    if error["type"] == "extra_forbidden" and len(loc) == 1:
        return _unknown_option(root, spec, block, loc[0], keywords)
    path = block
    for step in loc:
        # The location also names the member of a union that was tried.
        if find(root, (*path, step)) is not None:
            path = (*path, step)
    if error["type"] == "extra_forbidden" and spec.options is not None:
        return _unknown_nested(root, path, keys_at(spec.options, loc[:-1]))
    message, suggestion = explain(error)
    if error["type"] == "missing":
        path = path if path == (*block, *loc) else (*path, loc[-1])
        if keywords is not None and len(loc) == 1:
            suggestion = f"give {keyword_of(spec.name, loc[0])}"
    return problem_at(root, path, mask_text(message, secrets), suggestion)


def _unknown_option(
    root: Node, spec: PluginSpec, block: Path, key: Any, keywords: Keywords
) -> Problem:
    known, given = all_keys(spec.options), str(key)
    if keywords is not None and key in keywords:
        known, given = [keyword_of(spec.name, each) for each in known], keywords[key]
    listed = f"its options are {', '.join(known)}" if known else "it has no options"
    suggestion = did_you_mean(given, known, f"{listed}; is it one of another {spec.kind}?")
    message = f"{spec.kind} {spec.name!r} has no option {str(key)!r}"
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
