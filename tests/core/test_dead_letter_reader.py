"""Kept messages: read where they can be, and returned where that is of use."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas._signing.signatures import ClusterKey
from civitas.serializer import JsonSerializer, MsgpackSerializer
from civitas.transport import Kept, KeptMessage
from civitas.transport.dead_letters.reader import MessageReader
from support.dead_letters import ORIGIN, frame_of

NOW = 2_000_000_000.0
SERIALIZERS = [MsgpackSerializer(), JsonSerializer()]
KEY = ClusterKey("the-key-of-a-cluster")
READER = MessageReader()
KEYED = MessageReader(key=KEY)
contents_of = READER.contents_of


def stored(frame: bytes, agent: str = "a") -> KeptMessage:
    return KeptMessage(Kept.DEAD, 1, agent, frame, NOW, "E: no", 5)


def reason_to_keep(
    kept: KeptMessage,
    now: float = NOW,
    *,
    expired_too: bool,
    to: str | None = None,
    reader: MessageReader = READER,
) -> str:
    return reader.reason_to_keep(kept, to or kept.agent, now, expired_too=expired_too)


def replay_frame(kept: KeptMessage, now: float) -> bytes:
    return READER.frame_for(kept, kept.agent, now)


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_message_of_a_serializer_of_core_is_read_with_its_reply_address(serializer):
    contents = contents_of(frame_of({"x": 1}, serializer=serializer, reply_to="_reply.8.1"))
    assert contents.message is not None
    assert (contents.message.payload, contents.message.sender) == ({"x": 1}, "asker")
    assert contents.message.reply_to == "_reply.8.1"
    assert (contents.problem, contents.unreadable) == ("", False)


def test_a_message_of_another_serializer_is_not_read_here_but_goes_back():
    frame = envelope.seal(b"?", "protobuf", ORIGIN, attempt=4)
    contents = contents_of(frame)
    assert contents.message is None
    assert contents.problem == "written by the serializer 'protobuf'"
    assert reason_to_keep(stored(frame), NOW, expired_too=False) == ""
    assert replay_frame(stored(frame), NOW) == envelope.with_attempt(frame, 0)


@pytest.mark.parametrize(
    "frame", [b"", b"text", b"\xc1", b"\xc1\x02" + bytes(40), envelope.seal(b"{", "json", ORIGIN)]
)
def test_what_no_agent_can_read_stays(frame):
    contents = contents_of(frame)
    assert contents.message is None
    assert contents.unreadable
    told = reason_to_keep(stored(frame), NOW, expired_too=True)
    assert told == f"no agent can read it: {contents.problem}"


def signed(frame: bytes, agent: str = "a") -> bytes:
    return KEY.at(agent, attempt_may_change=True).sign(envelope.with_attempt(frame, 0), 7)


def verified(frame: bytes, agent: str) -> bytes:
    """Return what is in a frame that a durable transport has brought to an agent."""
    plain, counter = KEY.at(agent, attempt_may_change=True).verify(frame)
    assert counter == 7
    return plain


def test_a_signed_letter_is_read_and_goes_back_as_it_was_signed():
    sent = envelope.with_attempt(frame_of({"x": 1}), 0)
    frame = envelope.with_attempt(signed(sent), 4)
    contents = contents_of(frame)
    assert contents.message is not None
    assert contents.message.payload == {"x": 1}
    assert reason_to_keep(stored(frame), NOW, expired_too=False) == ""
    assert verified(replay_frame(stored(frame), NOW), "a") == sent


def test_without_the_key_a_signed_message_whose_time_is_over_stays():
    kept = stored(signed(frame_of({"x": 1}, ttl=1.0)))
    for expired_too in (False, True):
        told = reason_to_keep(kept, NOW, expired_too=expired_too)
        assert "its time to live is over, it is signed" in told
        assert "can't be changed without the cluster_key" in told


def test_without_the_key_a_signed_message_goes_to_no_other_agent():
    told = reason_to_keep(stored(signed(frame_of({}))), NOW, expired_too=True, to="b")
    assert told.startswith("it is signed (signed_frames) for 'a', and it can't be changed")


def test_with_the_key_a_signed_message_is_signed_for_the_other_agent():
    sent = envelope.with_attempt(frame_of({"x": 1}), 0)
    kept = stored(envelope.with_attempt(signed(sent), 4))
    assert reason_to_keep(kept, expired_too=False, to="b", reader=KEYED) == ""
    assert verified(KEYED.frame_for(kept, "b", NOW), "b") == sent


def test_with_the_key_a_signed_message_whose_time_is_over_goes_without_a_limit():
    kept = stored(signed(frame_of({"x": 1}, ttl=1.0)))
    assert "--expired" in reason_to_keep(kept, expired_too=False, reader=KEYED)
    assert reason_to_keep(kept, expired_too=True, reader=KEYED) == ""
    message = contents_of(verified(KEYED.frame_for(kept, "a", NOW), "a")).message
    assert message is not None
    assert (message.ttl, message.payload) == (None, {"x": 1})


def test_what_was_signed_for_another_name_or_with_another_key_stays():
    other = MessageReader(key=ClusterKey("the-key-of-another-one"))
    for kept, reader in (
        (stored(signed(frame_of({})), agent="c"), KEYED),
        (stored(signed(frame_of({}))), other),
    ):
        told = reason_to_keep(kept, expired_too=False, to="b", reader=reader)
        assert "it is signed with another cluster_key, or was changed on its way" in told


def test_a_message_of_a_serializer_of_the_system_is_read():
    class Reversed(JsonSerializer):
        name = "reversed"

        def serialize(self, message):
            return super().serialize(message)[::-1]

        def deserialize(self, data):
            return super().deserialize(data[::-1])

    frame = frame_of({"x": 1}, serializer=Reversed())
    assert contents_of(frame).problem == "written by the serializer 'reversed'"
    message = MessageReader([Reversed()]).contents_of(frame).message
    assert message is not None
    assert message.payload == {"x": 1}


@given(st.binary(), st.sampled_from(["msgpack", "json"]))
def test_no_bytes_are_an_error(data, serializer):
    for frame in (data, envelope.seal(data, serializer, ORIGIN)):
        assert (contents_of(frame).message is None) == bool(contents_of(frame).problem)
        reason_to_keep(stored(frame), NOW, expired_too=False)


@pytest.mark.parametrize("agent", ["_agency", "a b", "", "a" * 201])
def test_what_is_for_a_name_that_no_agent_has_stays(agent):
    told = reason_to_keep(stored(frame_of({}), agent), NOW, expired_too=True)
    assert told.startswith("no agent has this name: ")


@pytest.mark.parametrize(("ttl", "is_over"), [(None, False), (1.0, True), (2e9, False)])
def test_a_message_whose_time_is_over_stays_unless_it_is_wanted(ttl, is_over):
    letter = stored(frame_of({}, ttl=ttl))
    told = reason_to_keep(letter, NOW, expired_too=False)
    assert ("--expired" in told) is is_over
    assert reason_to_keep(letter, NOW, expired_too=True) == ""


def test_a_frame_goes_back_as_if_it_had_never_been_delivered():
    frame = frame_of({"x": 1}, reply_to="_reply.8.1", ttl=2e9)
    assert envelope.attempt_of(frame) == 3
    again = replay_frame(stored(frame), NOW)
    assert again == envelope.with_attempt(frame, 0)


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_message_whose_time_is_over_goes_back_without_a_limit_and_without_its_asker(serializer):
    frame = frame_of({"x": 1}, serializer=serializer, reply_to="_reply.8.1", ttl=1.0)
    again = replay_frame(stored(frame), NOW)
    before, after = contents_of(frame).message, contents_of(again).message
    assert before is not None
    assert after is not None
    assert (after.ttl, after.reply_to) == (None, None)
    assert (after.id, after.payload, after.timestamp) == (
        before.id,
        before.payload,
        before.timestamp,
    )
    opened, original = envelope.open(again), envelope.open(frame)
    assert (opened.attempt, opened.reply_to) == (0, "")
    assert opened[2:6] == original[2:6]  # who sealed it, its number and its serializer


def test_a_time_that_is_no_time_is_no_message():
    frame = frame_of({}, serializer=JsonSerializer(), ttl=1.5)
    message = json.loads(envelope.open(frame).body)
    message["timestamp"] = 10**400
    odd = envelope.seal(json.dumps(message).encode(), "json", ORIGIN)
    assert contents_of(odd).message is None
    assert "too many digits" in str(contents_of(odd).problem)
    assert not contents_of(odd).expired(NOW)
