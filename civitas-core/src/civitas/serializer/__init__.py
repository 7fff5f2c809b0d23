"""Serializers: from a message to the body of a frame, and back.

A serializer of your own needs `FIELDS`, `message_from_fields` and `unserializable` besides its
format: with them every field is there, types are checked, and a refused value is named.
"""

from civitas.serializer.fields import FIELDS, SCHEMA, Check, message_from_fields, unserializable
from civitas.serializer.formats import JsonSerializer, MsgpackSerializer
from civitas.serializer.protocol import Serializer, name_of

__all__ = [
    "FIELDS",
    "SCHEMA",
    "Check",
    "JsonSerializer",
    "MsgpackSerializer",
    "Serializer",
    "message_from_fields",
    "name_of",
    "unserializable",
]
