"""Serializers: from a message to the body of a frame, and back."""

from civitas.serializer.fields import SCHEMA
from civitas.serializer.json_format import JsonSerializer
from civitas.serializer.msgpack_format import MsgpackSerializer
from civitas.serializer.protocol import Serializer, name_of

__all__ = ["SCHEMA", "JsonSerializer", "MsgpackSerializer", "Serializer", "name_of"]
