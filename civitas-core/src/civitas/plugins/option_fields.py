"""The fields of a plugin's options: the keys by which they are given, and which are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel, Secret, SecretBytes, SecretStr

SECRET_TYPES: Final = (Secret, SecretStr, SecretBytes)
_NOT_IN_NAMES: Final = re.compile(r"\W")
_STANDS_FOR: Final = ("__value__", "__supertype__")
"""What a type has that is another name of one: `type X = ...`, and a NewType."""
_HAS_FIELDS: Final = ("__dataclass_fields__", "__total__", "_fields")
"""What a class has that is a dataclass, a TypedDict or a NamedTuple."""


def option_keys(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """Return the keys by which a block gives a field of a model; the first one is to be shown.

    A key may be a path with dots, where an alias says that the value is below another key.
    """
    aliases = tuple(_aliases(model.model_fields[name].validation_alias))
    settings = model.model_config
    by_alias = aliases and settings.get("validate_by_alias") is not False
    by_name = settings.get("validate_by_name") or settings.get("populate_by_name")
    return (*(aliases if by_alias else ()), *((name,) if by_name or not by_alias else ()))


def all_keys(model: type[BaseModel] | None) -> list[str]:
    """Return the keys that a block may have: for each option the one that is shown."""
    return [] if model is None else [option_keys(model, name)[0] for name in model.model_fields]


def keyword_of(transport: str, key: str) -> str:
    """Return the keyword by which code gives an option: what can't be in a name is `_` in it."""
    return _NOT_IN_NAMES.sub("_", f"{transport}_{key}")


def key_of(transport: str, keyword: str, model: type[BaseModel] | None) -> str | None:
    """Return the key of the option that a keyword of this transport means, whether it is one.

    `None` where the keyword does not begin with the transport's name.
    """
    for prefix in (f"{transport}_", keyword_of(transport, "")):
        if keyword.startswith(prefix):
            rest = keyword.removeprefix(prefix)
            keys = [] if model is None else _every_key(model)
            alike = (key for key in keys if _NOT_IN_NAMES.sub("_", key) == rest)
            return rest if rest in keys else next(alike, rest)
    return None


def _every_key(model: type[BaseModel]) -> list[str]:
    return [key for name in model.model_fields for key in option_keys(model, name)]


def _aliases(alias: str | AliasPath | AliasChoices | None) -> Iterator[str]:
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, AliasPath):
        yield ".".join(map(str, alias.path))
    elif isinstance(alias, AliasChoices):
        for each in alias.choices:
            yield from _aliases(each)


def is_secret(annotation: Any) -> bool:
    """Return whether a type is, or contains, one of pydantic's secret types."""
    return any(map(_is_secret_type, _parts(annotation)))


def models_in(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and those that are nested in it, at any depth: each has keys of its own."""
    parts = _parts(model, deep=True)
    return [each for each in parts if _is_model(each) and not issubclass(each, RootModel)]


def keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the keys that a block nested in options may have; empty where that is not fixed.

    `path` is what pydantic names as the place of an error: it may have list indices, keys of
    mappings and members of unions in it.
    """
    models = [model]
    for step in path:
        fields = [
            field
            for each in models
            for name, field in each.model_fields.items()
            if step in (name, *option_keys(each, name))
        ]
        if fields:
            models = [
                part for each in fields for part in _parts(each.annotation) if _is_model(part)
            ]
    return list(dict.fromkeys(key for each in models for key in all_keys(each)))


def names_file(annotation: Any) -> bool:
    """Return whether a type is, or contains, Path: its value is the name of a file."""
    return any(isinstance(part, type) and issubclass(part, PurePath) for part in _parts(annotation))


def secret_keys(model: type[BaseModel]) -> set[str]:
    """Return the keys of secret fields in the blocks of a model, nested ones included."""
    keys: set[str] = set()
    for part in _parts(model, deep=True):
        if _is_model(part):
            for name, field in part.model_fields.items():
                if is_secret(field.annotation):
                    keys.update(key.rpartition(".")[2] for key in option_keys(part, name))
        else:
            keys.update(name for name, each in _fields_of(part).items() if is_secret(each))
    return keys


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_secret_type(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, SECRET_TYPES)


def _parts(annotation: Any, *, deep: bool = False) -> list[Any]:
    """Return a type and all that it is made of; `deep`: the types of fields as well."""
    found: list[Any] = []
    waiting = [annotation]
    while waiting:
        part = waiting.pop(0)
        if any(part is each for each in found):
            continue
        found.append(part)
        waiting += part if isinstance(part, list) else get_args(part)  # of a Callable
        waiting += [each for each in (get_origin(part),) if each is not None]
        waiting += [getattr(part, each) for each in _STANDS_FOR if hasattr(part, each)]
        if deep or (_is_model(part) and issubclass(part, RootModel)):
            waiting += _fields_of(part).values()
    return found


def _fields_of(part: Any) -> dict[str, Any]:
    """Return the types of the fields of a class that has some: a block of a topology."""
    if not isinstance(part, type):
        return {}
    if issubclass(part, BaseModel):
        return {name: field.annotation for name, field in part.model_fields.items()}
    if any(hasattr(part, each) for each in _HAS_FIELDS):
        try:
            return get_type_hints(part, include_extras=True)
        except (NameError, TypeError, AttributeError):  # a name that is not there
            return {}
    return {}
