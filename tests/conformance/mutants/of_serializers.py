"""Serializers with one thing wrong each."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
from dataclasses import replace
from typing import ClassVar

from right import adopt_all

from civitas.errors import DeserializationError, SerializationError
from civitas.serializer import FIELDS, JsonSerializer, MsgpackSerializer, message_from_fields


class LosesTheTtl(MsgpackSerializer):
    def deserialize(self, data):
        message = super().deserialize(data)
        message.ttl = None
        return message


class MakesFloatsOfIntegers(JsonSerializer):
    def deserialize(self, data):
        message = super().deserialize(data)
        message.payload = {
            key: float(value) if type(value) is int else value
            for key, value in message.payload.items()
        }
        return message


class LetsTheLibrarysErrorOut(JsonSerializer):
    def deserialize(self, data):
        data.decode()
        return super().deserialize(data)


class MakesADictOfAnyKeys(JsonSerializer):
    def serialize(self, message):
        if "map" in message.payload:
            pairs = list(message.payload["map"].items())
            message = replace(message, payload={"pairs": pairs})
        return super().serialize(message)

    def deserialize(self, data):
        message = super().deserialize(data)
        if "pairs" in message.payload:
            message.payload = {"map": dict(map(tuple, message.payload["pairs"]))}
        return message


class _NoGlobals(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name} is not for the network")


class _Pickled:
    """Right values only: its subclasses let something through."""

    name = "pickled"
    hostile: ClassVar = {"a list that contains itself": b"\x80\x04]q\x00h\x00a."}

    def serialize(self, message):
        MsgpackSerializer().serialize(message)  # refuses what has to be refused
        found = {each: getattr(message, each) for each in FIELDS}
        found["headers"] = {**message.headers}
        return pickletools.optimize(pickle.dumps(found, protocol=2))

    def deserialize(self, data):
        stream = io.BytesIO(data)
        try:
            found = _NoGlobals(stream).load()
            self.check(found, 0)
            if type(found) is not dict or set(found) != set(FIELDS) or stream.read(1):
                raise DeserializationError("no message")
        except DeserializationError:
            raise
        except Exception as error:
            raise DeserializationError(str(error)) from error
        return message_from_fields(found)

    def check(self, value, depth):
        if depth > self.deepest:
            raise DeserializationError("too deep")
        if type(value) is dict:
            for key, item in value.items():
                self.check(key, depth)
                self.check(item, depth + 1)
        elif type(value) is list:
            for item in value:
                self.check(item, depth + 1)
        elif type(value) not in self.types:
            raise DeserializationError(f"a {type(value).__name__}")

    deepest = 400
    types = (str, int, float, bool, bytes, type(None))


class LetsSetsThrough(_Pickled):
    types = (*_Pickled.types, set)


class LetsCyclesThrough(_Pickled):
    def check(self, value, depth):
        if depth < 20:
            super().check(value, depth)


class LetsDepthOut(JsonSerializer):
    """What its library says of depth comes out."""

    def deserialize(self, data):
        if data.count(b"[") > 10_000:
            json.loads(data)
        return super().deserialize(data)


class MakesRoomForWhatIsClaimed(MsgpackSerializer):
    def deserialize(self, data):
        if b"\xdd\x04\0\0\0" in data:
            bytearray(1 << 26)
        return super().deserialize(data)


class CarriesSets(JsonSerializer):
    """A right one, of a format that has sets."""

    carries = (set,)

    def serialize(self, message):
        return super().serialize(replace(message, payload=self.tagged(message.payload, 0)))

    def tagged(self, value, depth):
        if depth > 50:
            raise SerializationError("too deep", "payload")
        if type(value) is set:
            return {"a set": [self.tagged(each, depth + 1) for each in value]}
        if type(value) is dict:
            return {key: self.tagged(each, depth + 1) for key, each in value.items()}
        return [self.tagged(e, depth + 1) for e in value] if type(value) is list else value

    def deserialize(self, data):
        message = super().deserialize(data)
        message.payload = self.untagged(message.payload)
        return message

    def untagged(self, value):
        if type(value) is list:
            return [self.untagged(each) for each in value]
        if type(value) is not dict:
            return value
        if list(value) == ["a set"]:
            try:
                return set(value["a set"])
            except TypeError as error:
                raise DeserializationError("a set of what can't be in one") from error
        return {key: self.untagged(each) for key, each in value.items()}


class SaysItCarriesSets(JsonSerializer):
    carries = (set,)


adopt_all(globals(), __name__)
