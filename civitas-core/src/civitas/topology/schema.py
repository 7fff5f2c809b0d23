"""One JSON Schema of core and the installed plugins, for completion in editors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from civitas.errors import PluginError
from civitas.plugins.catalog import PluginKind, builtins, scan, usable
from civitas.plugins.loader import LoadedPlugin, load
from civitas.topology.model import TopologyModel
from civitas.topology.option_schema import SchemaWriter, option_schema

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final = {"$ref": "#/$defs/Variable"}
_ANNOTATIONS: Final = ("title", "description", "default", "examples", "deprecated")
_LISTS: Final = ("anyOf", "allOf", "oneOf", "prefixItems")
_SUBSCHEMAS: Final = ("items", "additionalProperties", "then", "else", *_LISTS)
_CONSTRAINTS: Final = ("enum", "pattern", "minLength", "maxLength")
_NOT_TEXT: Final = ("integer", "number", "boolean")


class Installed(NamedTuple):
    """The plugins that a schema describes, and notes on which were left out, and why."""

    plugins: list[LoadedPlugin[Any]]
    notes: list[str]


def installed_plugins(*, only_builtin: bool = False) -> Installed:
    """Load every installed plugin; one that can't be used is left out with a note.

    With `only_builtin`, no other one is imported.
    """
    found = [] if only_builtin else scan()
    installed = Installed([], [])
    for kind in PluginKind:
        for name in dict.fromkeys(each.name for each in [*builtins(kind), *usable(found, kind)]):
            try:
                plugin: LoadedPlugin[Any] = load(kind, name)
            except PluginError as error:
                installed.notes.append(f"left out: {error}")
                continue
            if plugin.spec.options is not None:
                left_out = option_schema(plugin.spec.options).left_out
                installed.notes.extend(f"left out: {kind.value} {name!r}, {e}" for e in left_out)
            installed.plugins.append(plugin)
    return installed


def json_schema(plugins: Iterable[LoadedPlugin[Any]]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a topology that may name these plugins.

    Wherever a number, a truth value or a fixed word is wanted, a text with `${VAR}` is fine too.
    """
    schema = TopologyModel.model_json_schema(schema_generator=SchemaWriter)
    definitions = schema.pop("$defs")
    by_kind: dict[PluginKind, list[LoadedPlugin[Any]]] = {kind: [] for kind in PluginKind}
    for plugin in plugins:
        by_kind[plugin.candidate.kind].append(plugin)
        definitions |= _option_definitions(plugin)
    for kind, offered in by_kind.items():
        block = _block_of(kind)
        definitions[block] = _plugin_block(kind.value, definitions[block], offered)
    _complete(definitions)
    for kind, key in (
        (PluginKind.SERIALIZER, "serializer"),
        (PluginKind.INSTRUMENT, "instruments"),
    ):
        names = [each.spec.name for each in by_kind[kind]]
        schema["properties"][key] = _with_names(kind, schema["properties"][key], names)
    names = [each.spec.name for each in by_kind[PluginKind.SERIALIZER]]
    schema["properties"]["accept_serializers"]["items"] = {"anyOf": _names(names)}
    for name, each in definitions.items():
        if each.get("title") == name.rpartition(".")[2]:
            del each["title"]  # the name of a class means nothing to a reader
    definitions = {name: _loosened(each) for name, each in definitions.items()}
    # Without a description: editors would show it in place of the option's own.
    definitions["Variable"] = {"type": "string", "pattern": r"\$\{"}
    return {
        "$schema": DIALECT,
        "title": "Civitas topology",
        **{key: value for key, value in _loosened(schema).items() if key != "title"},
        "$defs": definitions,
    }


def _block_of(kind: PluginKind) -> str:
    """Return the name of the definition of the block that names a plugin of a kind."""
    return f"{kind.value.capitalize()}Block"


def _names(names: list[str]) -> list[dict[str, Any]]:
    """Return what a text is that names one of some plugins."""
    known = [{"enum": names}] if names else []
    return [*known, {"type": "string", "pattern": ":"}]


def _with_names(kind: PluginKind, key: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the schema of a key whose plugin, or each of a list of them, may be a mere name."""
    described: dict[str, Any] = {each: key[each] for each in _ANNOTATIONS if each in key}
    given = {"anyOf": [*_names(names), {"$ref": f"#/$defs/{_block_of(kind)}"}]}
    return {**described, **({"type": "array", "items": given} if "items" in key else given)}


def _complete(definitions: dict[str, Any]) -> None:
    """Add what pydantic's schema of the model does not have."""
    child = definitions["ChildBlock"]
    for key, each in child["properties"].items():
        block, _nothing = each.pop("anyOf")
        child["properties"][key] = {**each, **block}
    child["oneOf"] = [{"required": [key]} for key in child["properties"]]
    definitions["SupervisorBlock"]["properties"]["children"]["items"] = {
        "if": {"required": ["type"]},
        "then": {"$ref": "#/$defs/AgentBlock"},
        "else": {"$ref": "#/$defs/ChildBlock"},
    }
    of_supervisor = definitions["SupervisorBlock"]["properties"]
    retry_backoff, _nothing = definitions["AgentBlock"]["properties"]["retry_backoff"]["anyOf"]
    for block in (of_supervisor["strategy"], of_supervisor["backoff"], retry_backoff):
        block["enum"] = [*block["enum"], *(each.lower() for each in block["enum"])]


def _option_definitions(plugin: LoadedPlugin[Any]) -> dict[str, Any]:
    """Return the options of a plugin, and what they refer to, under names of their own."""
    spec, kind = plugin.spec, plugin.candidate.kind.value
    prefix = f"{kind}.{spec.name}"
    options: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if spec.options is not None:
        options = option_schema(spec.options, f"#/$defs/{prefix}.{{model}}").schema
    nested = options.pop("$defs", {})
    options["properties"] = {"type": {}, **options.get("properties", {})}
    options["title"] = f"Options of the {kind} {spec.name}"
    options["description"] = spec.summary
    return {prefix: options, **{f"{prefix}.{name}": each for name, each in nested.items()}}


def _plugin_block(
    kind: str, block: dict[str, Any], plugins: Sequence[LoadedPlugin[Any]]
) -> dict[str, Any]:
    """Return the schema of the block that names a plugin: each name brings its options."""
    names: list[dict[str, str]] = []
    rules: list[dict[str, Any]] = []
    for each in plugins:
        name = each.spec.name
        names.append({"const": name, "description": each.spec.summary})
        known = {"type": {"enum": [name, each.candidate.qualified_name]}}
        condition = {"properties": known, "required": ["type"]}
        rules.append({"if": condition, "then": {"$ref": f"#/$defs/{kind}.{name}"}})
    others = {"type": "string", "pattern": r":|\$\{", "description": "distribution:name"}
    description = block["properties"]["type"]["description"]
    return {
        "type": "object",
        **{key: block[key] for key in ("description",) if key in block},  # python -OO has none
        "required": ["type"],
        "properties": {"type": {"description": description, "anyOf": [*names, others]}},
        **({"allOf": rules} if rules else {}),
    }


def _loosened(schema: Any) -> Any:
    """Return the schema with a text with `${VAR}` allowed wherever the schema excludes one."""
    if isinstance(schema, list):
        return [_loosened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _loosened(each) if key in _SUBSCHEMAS else each for key, each in schema.items()}
    for key in {"properties", "patternProperties"} & set(result):
        result[key] = {name: _loosened(each) for name, each in schema[key].items()}
    if schema.get("type") not in _NOT_TEXT and not any(key in schema for key in _CONSTRAINTS):
        return result
    outside = {key: result.pop(key) for key in _ANNOTATIONS if key in result}
    return {**outside, "anyOf": [result, _VARIABLE]}
