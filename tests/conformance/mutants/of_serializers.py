"""Serializers with one thing wrong each."""

from __future__ import annotations

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


adopt_all(globals(), __name__)
