"""Frames of ours, which floors carry: the same bytes, or the same values packed anew."""

from __future__ import annotations

import json
from typing import NamedTuple

import msgpack

from civitas import envelope


class Kind:
    """One of the frames of ours: where it was sent, its header, and the values in its body."""

    def __init__(self, topic: str, frame: str) -> None:
        self.topic = topic.encode()
        self.bytes = bytes.fromhex(frame)
        body = envelope.open(self.bytes).body
        self._head = self.bytes.removesuffix(body)
        self._values = msgpack.unpackb(body)

    def make(self) -> bytes:
        """Return the frame, with its body packed anew."""
        body: bytes = msgpack.packb(self._values)
        return self._head + body

    def read(self, frame: bytes) -> list[object]:
        """Return the values in a frame of this kind."""
        values: list[object] = msgpack.unpackb(frame[len(self._head) :])
        return values


class Kinds(NamedTuple):
    """What is sent: questions, their answers, and messages of a stream."""

    question: Kind
    answer: Kind
    message: Kind

    @classmethod
    def read(cls, captured: str) -> Kinds:
        """Return the kinds of captured frames: a JSON list of topics and frames, those in hex."""
        return cls(*(Kind(*each) for each in json.loads(captured)))
