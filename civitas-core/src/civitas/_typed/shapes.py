"""Shapes: which classes are models, which kind of model each is, and the tag of its messages.

At the end stand the types of what the verbs take, and handlers return, for type checkers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from civitas.errors import ConfigurationError
from civitas.messages import RESERVED_PREFIX, Message

_TAG: Final = "__civitas_tag__"
"""The attribute of a class that has been given a tag. A subclass does not inherit it."""


NOT_GENERIC: Final = "write a class of its own, with the types in place of the type variables"


class Shape(Enum):
    """What kind of model a class is; see the table of `civitas._typed`."""

    DATACLASS = "a dataclass"
    TYPED_DICT = "a TypedDict"
    PYDANTIC = "a pydantic model"
    STRUCT = "a msgspec Struct"


def shape_of(cls: object) -> Shape | None:
    """Return what kind of model a class is; None for what is none."""
    if not isinstance(cls, type) or cls is Message:
        return None
    if _has(cls, "model_validate", "model_dump", "model_fields"):
        return Shape.PYDANTIC
    if _has(cls, "__struct_fields__", "__struct_config__"):
        return Shape.STRUCT
    if _has(cls, "__dataclass_fields__"):
        return Shape.DATACLASS
    if issubclass(cls, dict) and _has(cls, "__required_keys__", "__optional_keys__"):
        return Shape.TYPED_DICT
    return None


def is_model(cls: object) -> bool:
    """Return whether a class is a model."""
    return shape_of(cls) is not None


def model_of(cls: object, what: str) -> tuple[type, Shape]:
    """Return a class that is to be a model, and its kind; `what` names it in an error.

    Raises:
        ConfigurationError: it is no model.
    """
    shape = shape_of(cls)
    if shape is not None and isinstance(cls, type):
        return cls, shape
    name = getattr(cls, "__qualname__", None) or repr(cls)
    hint = f"; {NOT_GENERIC}" if getattr(cls, "__args__", None) else ""
    raise ConfigurationError(
        f"{what} is a dataclass, a TypedDict, a pydantic model or a msgspec Struct, "
        f"not {name}{hint}"
    )


def give_tag(cls: object, tag: object) -> None:
    """Give the messages of a model another tag than the name of the class.

    Raises:
        ConfigurationError: it is no class, or this can be no type of a message.
    """
    if not isinstance(cls, type):
        raise ConfigurationError(f"@message decorates a class, and not {cls!r}")
    if not isinstance(tag, str) or not tag:
        raise ConfigurationError(f"@message of {cls.__qualname__} takes a message type, a text")
    if tag.startswith(RESERVED_PREFIX):
        raise ConfigurationError(
            f"@message of {cls.__qualname__}: types that begin with {RESERVED_PREFIX!r} are "
            f"reserved"
        )
    setattr(cls, _TAG, tag)


def tag_of(cls: type) -> str:
    """Return the message type of a model."""
    tag: Any = vars(cls).get(_TAG)
    return tag if tag is not None else cls.__name__


def _has(cls: type, *names: str) -> bool:
    return all(hasattr(cls, name) for name in names)


# --- for type checkers ------------------------------------------------------------------------


class DataclassObject(Protocol):
    """An object of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class StructObject(Protocol):
    """An object of a msgspec Struct."""

    __struct_fields__: ClassVar[tuple[str, ...]]


class PydanticObject(Protocol):
    """An object of a pydantic model."""

    def model_dump(self, *, mode: str, by_alias: bool) -> dict[str, Any]:
        """Return it as a dict."""
        ...


Model: TypeAlias = DataclassObject | StructObject | PydanticObject

Payload: TypeAlias = Mapping[str, Any] | Model

Handled: TypeAlias = Message | Payload | None
"""What a handler returns: an answer, or nothing."""
