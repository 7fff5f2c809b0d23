"""Serializers: what payloads survive, and what one node can't read of another."""

from __future__ import annotations

from typing import Any

import pytest

from civitas import Message
from civitas.errors import AgentError
from civitas.serializer import JsonSerializer
from support.agents import SOON, Scripted, echo

PAYLOAD = {
    "none": None,
    "flags": [True, False],
    "numbers": [0, -1, 2**53, 1.5, -0.25],
    "text": "Zoë 日本 \0 \n",
    "deep": {"a": [{"b": [[], {}]}]},
}


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
async def test_json_like_values_arrive_as_they_are(system: Any, serializer: str) -> None:
    async with system(Scripted("b", echo), Scripted("a", echo), serializer=serializer) as s:
        for name in ("a", "b"):
            assert (await s.ask(name, PAYLOAD)).payload["echo"] == PAYLOAD


async def test_asking_with_what_the_other_can_not_read_is_an_error_at_once(system: Any) -> None:
    class Garbled(JsonSerializer):
        def serialize(self, message: Message) -> bytes:
            body = super().serialize(message)
            return b"?" if message.type == "garble" else body

    async with system(Scripted("a", echo), serializer=Garbled()) as s:
        with pytest.raises(AgentError, match="agent 'a'.*DeserializationError"):
            await s.ask("a", {}, "garble", timeout=SOON)
        assert (await s.ask("a", {"n": 1}, timeout=SOON)).payload["echo"] == {"n": 1}
        assert s.dropped == {"unreadable deserialization": 1}


async def test_a_serializer_with_nothing_but_the_two_methods_is_used_on_both_ways(
    system: Any,
) -> None:
    class Reversing:
        def __init__(self) -> None:
            self.inner = JsonSerializer()

        def serialize(self, message: Message) -> bytes:
            return self.inner.serialize(message)[::-1]

        def deserialize(self, data: bytes) -> Message:
            return self.inner.deserialize(data[::-1])

    async with system(Scripted("a", echo), serializer=Reversing()) as s:
        assert (await s.ask("a", {"n": 1})).payload["echo"] == {"n": 1}
