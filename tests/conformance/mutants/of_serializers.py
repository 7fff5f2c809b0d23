"""Serializers with one thing wrong each."""

from __future__ import annotations

from dataclasses import replace

from right import adopt_all

from civitas.serializer import JsonSerializer, MsgpackSerializer


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


adopt_all(globals(), __name__)
