"""Message, its identifiers, and the names of agents."""

from __future__ import annotations

import os
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.messages import Message, compose, compose_reply, name_problem, new_id


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = int(time.time() * 1000)
    made = uuid.UUID(new_id())
    after = int(time.time() * 1000)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before <= made.int >> 80 <= after


def test_ten_thousand_ids_are_distinct_and_all_valid() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(each).variant == uuid.RFC_4122 for each in ids)


def test_a_forked_child_does_not_repeat_its_parents_ids() -> None:
    new_id()  # so that there is a pool to inherit
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "\n".join(new_id() for _ in range(50)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = {each.split("-", 3)[3] for each in pipe.read().split()}
    os.waitpid(child, 0)
    ours = {new_id().split("-", 3)[3] for _ in range(50)}
    assert len(theirs) == 50
    assert not ours & theirs


def test_a_first_message_starts_a_trace_and_its_consequences_stay_in_it() -> None:
    first = compose("a", "b", {}, "message")
    second = compose("b", "c", {}, "message", cause=first)
    assert len(first.trace_id) == 32
    assert len(first.span_id) == 16
    assert first.parent_span_id is None
    assert second.trace_id == first.trace_id
    assert second.parent_span_id == first.span_id
    assert second.span_id != first.span_id


def test_a_reply_goes_to_the_reply_address_and_is_correlated_by_the_requests_id() -> None:
    request = compose("a", "b", {}, "message")
    request.reply_to = "_reply.node.1"
    reply = compose_reply("b", request, {"x": 1}, "reply")
    assert (reply.recipient, reply.correlation_id) == ("_reply.node.1", request.id)
    assert reply.trace_id == request.trace_id


@pytest.mark.parametrize(
    ("ttl", "age", "expired"), [(None, 1e9, False), (5.0, 4.9, False), (5.0, 5.1, True)]
)
def test_a_message_expires_when_its_time_to_live_has_passed(
    ttl: float | None, age: float, expired: bool
) -> None:
    assert Message(timestamp=1000.0, ttl=ttl).expired(1000.0 + age) is expired


@pytest.mark.parametrize("name", ["a", "web_worker", "a-b", "größe", "数え手", "a" * 200, "A:1"])
def test_a_single_token_is_a_name(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize("name", ["workers.eu.1", "a.b", "a._b", "1.5", "a." * 99 + "bc"])
def test_a_name_may_have_dots_inside(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("_x", "reserved"),
        ("a b", "' '"),
        ("a\tb", "'\\t'"),
        (".", "dot"),
        (".a", "dot"),
        ("a.", "dot"),
        ("a..b", "dot"),
        ("a~b", "'~'"),
        ("~a", "'~'"),
        ("a*", "'*'"),
        ("a>", "'>'"),
        ("a/b", "'/'"),
        ("a\\b", "'\\\\'"),
        ("a\0", "'\\x00'"),
        ("a\u2003b", "u2003"),
        ("a" * 201, "201"),
        ("ä" * 101, "202"),
        ("\ud800", "Unicode"),
        (7, "int"),
    ],
)
def test_what_no_transport_could_carry_is_no_name(name: object, reason: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert reason in problem


@given(st.text())
def test_any_text_gets_a_verdict_and_what_passes_can_be_an_address(name: str) -> None:
    if name_problem(name) is None:
        assert 0 < len(name.encode()) <= 200
        assert not set(name) & set("*>/\\~\0 \t\n")
        assert all(name.split("."))
