"""The fields of a pydantic model as a reader of a topology knows them: in words, not in types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from docs_build.reference.tables import REQUIRED

Schema = Mapping[str, Any]

_WORDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "mapping",
    "array": "list",
}
_FORMATS: Final = {"path": "file", "password": "text, secret"}
_BOUNDS: Final = {
    "exclusiveMinimum": "more than {:,}",
    "minimum": "at least {:,}",
    "exclusiveMaximum": "less than {:,}",
    "maximum": "at most {:,}",
}


class Row(NamedTuple):
    """What a reference says of one field.

    Attributes:
        name: the key in the topology.
        type: its type and bounds, in markdown.
        default: its default, in markdown; `REQUIRED` where it must be given, empty for none.
        description: the words of the model.
    """

    name: str
    type: str
    default: str
    description: str


def rows(model: type[BaseModel], keys_of: Callable[[str], str | None]) -> list[Row]:
    """Return the fields of a model, in the order in which it declares them.

    Args:
        model: the model.
        keys_of: gives where the keys of a nested model are told of, by the model's name.
    """
    schema = model.model_json_schema()
    if "$ref" in schema:  # a model that contains itself
        schema = schema["$defs"][model.__name__]
    return [
        Row(
            name=name,
            type=_type(schema["properties"][name], keys_of),
            default=_default(model, name),
            description=" ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
    ]


def nested(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the models that fields of a model are, or contain, by the field's name."""
    found = {name: _models(field.annotation) for name, field in model.model_fields.items()}
    return {name: models[0] for name, models in found.items() if models}


def _type(schema: Schema, keys_of: Callable[[str], str | None]) -> str:
    return ", or ".join(dict.fromkeys(_alternatives(schema, keys_of)))


def _alternatives(schema: Schema, keys_of: Callable[[str], str | None]) -> list[str]:
    if "$ref" in schema:
        target = keys_of(_name(schema["$ref"]))
        return [f"[mapping]({target})" if target else "mapping"]
    if "anyOf" in schema:
        each = (_alternatives(one, keys_of) for one in schema["anyOf"] if one != {"type": "null"})
        return [word for words in each for word in words]
    if "enum" in schema or "const" in schema:
        *most, last = (f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        return [f"{', '.join(most)} or {last}" if most else last]
    word = _FORMATS.get(schema.get("format", "")) or _WORDS[schema["type"]]
    items = schema.get("items") or {}
    if items:
        word = f"list of {' or '.join(_plural(each) for each in _alternatives(items, keys_of))}"
    bounds = [text.format(_number(schema[key])) for key, text in _BOUNDS.items() if key in schema]
    return [f"{word}, {' and '.join(bounds)}" if bounds else word]


def _number(value: float) -> float:
    return int(value) if value == int(value) else value


def _plural(word: str) -> str:
    return {"text": "texts", "file": "files"}.get(word, word.replace("mapping", "mappings"))


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value in (None, (), [], {}):
        return ""
    return f"`{_shown(to_jsonable_python(value))}`"


def _shown(value: Any) -> str:
    """Return a value as a topology has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_shown(each)}' for key, each in value.items())}}}"
    return str(value)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in get_args(annotation) for model in _models(each)]


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]
