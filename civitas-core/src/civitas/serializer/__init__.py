"""Serializers: from a message to the body of a frame, and back.

A serializer of your own needs `FIELDS`, `message_from_fields` and `unserializable` besides its
format: with them every field is there, types are checked, and a refused value is named.
`check_json` and `check_msgpack` refuse bytes that would take memory out of proportion.
"""

from civitas import _installation  # noqa: F401 - first: see its theory
from civitas.serializer.fields import FIELDS, SCHEMA, Check, message_from_fields, unserializable
from civitas.serializer.formats import JsonSerializer, MsgpackSerializer
from civitas.serializer.limits import check_json, check_msgpack
from civitas.serializer.protocol import Serializer, name_of

__all__ = [
    "FIELDS",
    "SCHEMA",
    "Check",
    "JsonSerializer",
    "MsgpackSerializer",
    "Serializer",
    "check_json",
    "check_msgpack",
    "message_from_fields",
    "name_of",
    "unserializable",
]
