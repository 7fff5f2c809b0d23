"""The JSON Schema of one plugin's options, without those whose type has none."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, NoReturn

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, PydanticOmit, PydanticSerializationError

from civitas.errors import crash_of, describe
from civitas.plugins.masking import MASK
from civitas.plugins.option_fields import models_in, option_keys
from civitas.plugins.shown import shown_value


class SchemaWriter(GenerateJsonSchema):
    """Writes a schema for editors.

    Titles made from names are left out, as an editor would show them above each description, and
    so are fields whose type has no JSON Schema, and defaults that are no JSON, or secret.
    """

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_title_should_be_set(self, schema: CoreSchema) -> bool:
        """Leave titles out."""
        return False

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> NoReturn:
        """Leave a field out."""
        raise PydanticOmit

    def encode_default(self, dft: Any) -> Any:
        """Return a default as it is shown, or leave it out."""
        super().encode_default(dft)  # it raises where that is no JSON
        shown = shown_value(dft, None, "")
        if shown == MASK:
            raise PydanticSerializationError(MASK)  # pydantic leaves the default out then
        return shown


class OptionSchema(NamedTuple):
    """A schema of options, and which of them it does not describe, and why."""

    schema: dict[str, Any]
    left_out: list[str]


_PLAIN: Final = "#/$defs/{model}"


def option_schema(model: type[BaseModel], ref_template: str = _PLAIN) -> OptionSchema:
    """Return the schema of options. A plugin may do anything to it; that does no more than cost it.

    What is left out may be given all the same: there may be a way to make it of a text.
    """
    try:
        written = model.model_json_schema(ref_template=ref_template, schema_generator=SchemaWriter)
        left_out = [
            f"option {field!r}: its type has no JSON Schema"
            for each in models_in(model)
            for field in _missing_fields(each, top=each is model)
        ]
    except BaseException as error:  # noqa: BLE001 - code of the plugin's, or of its library's
        reason = f"its options: their JSON Schema can't be had: {describe(crash_of(error))}"
        return OptionSchema({"type": "object"}, [reason])
    _add_keys(written := _inlined(written, ref_template), model)
    return OptionSchema(written, left_out)


def _inlined(schema: dict[str, Any], ref_template: str) -> dict[str, Any]:
    """Return a schema that does not refer to a model as a whole, which contains itself then."""
    references = [each["$ref"] for each in (schema, *schema.get("allOf", ())) if "$ref" in each]
    if not references or "properties" in schema:
        return schema
    begin, _, end = ref_template.partition("{model}")
    name = references[0].removeprefix(begin).removesuffix(end)
    return {**schema["$defs"][name], "$defs": schema["$defs"]}


def _missing_fields(model: type[BaseModel], *, top: bool) -> list[str]:
    """Return the fields that the schema of a model lacks: their keys, below its name if nested."""
    schema = model.model_json_schema(schema_generator=SchemaWriter)
    described = set(_inlined(schema, _PLAIN).get("properties", ()))
    keys = {name: option_keys(model, name) for name in model.model_fields}
    missing = [each[0] for name, each in keys.items() if not described & {name, *each}]
    return missing if top else [f"{model.__name__}.{key}" for key in missing]


def _add_keys(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Let a schema take each key by which an option may be given, and those it does not describe.

    Pydantic's own has the first alias only, and the field's name where that is a path.
    """
    described: dict[str, Any] = schema.get("properties", {})
    properties: dict[str, Any] = {}
    silent: dict[str, Any] = {}
    required = set(schema.get("required", ()))
    for name in model.model_fields:
        keys = option_keys(model, name)
        own = next((described[key] for key in (*keys, name) if key in described), None)
        for key in dict.fromkeys(key.partition(".")[0] for key in keys):
            if own is None or key not in keys:
                silent[f"^{re.escape(key)}$"] = {}
            else:
                properties[key] = own
        if own is None or len(keys) > 1 or "." in keys[0]:
            required -= {name, *keys}
    schema["properties"] = properties
    schema.pop("required", None)
    if required:
        schema["required"] = [key for key in properties if key in required]
    if silent:
        schema["patternProperties"] = silent  # what stands there is taken, and not offered
