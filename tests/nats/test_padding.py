"""A stream that is full refuses a message; it never loses another one instead."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.errors import MailboxFullError
from civitas_nats.jetstream.padding import HEADER, UNIT, padded, rounded, stored_bytes
from support.nats.inspection import state_of
from support.nats.nodes import durable, within

NAMES = st.text(st.characters(codec="utf-8", exclude_characters=".*> \r\n"), min_size=1)
HEADERS = st.dictionaries(st.just("Nats-Msg-Id"), st.text("0123456789abcdef.", min_size=1))


@given(NAMES, st.binary(max_size=5_000), HEADERS)
def test_what_is_stored_is_a_multiple_of_the_unit(subject, frame, headers):
    given_too = padded(subject, frame, headers)
    assert stored_bytes(subject, frame, given_too) % UNIT == 0
    assert given_too == {**headers, HEADER: given_too[HEADER]}
    assert 1 <= len(given_too[HEADER]) <= UNIT


@given(st.integers(1, 1 << 40))
def test_a_limit_is_rounded_down_and_never_to_nothing(limit):
    assert rounded(limit) % UNIT == 0
    assert rounded(limit) == max(limit - limit % UNIT, UNIT)


@pytest.mark.parametrize("agent", ["w", "w" * 200, "\u65e5\u672c\u8a9e"])
async def test_the_server_stores_as_many_bytes_as_are_reckoned(shared_jetstream, unique, agent):
    async with durable(shared_jetstream.url, unique, max_bytes=100 * UNIT) as node:
        await node.send(agent, "x" * 10)
        assert state_of(shared_jetstream, unique)["bytes"] == UNIT
        await node.send(agent, "x" * 2 * UNIT)
        assert state_of(shared_jetstream, unique)["bytes"] == 4 * UNIT


@pytest.mark.parametrize("size", [1, 300, 480, 900, 940, 980, 1020, 1500, 2040])
async def test_a_full_stream_loses_nothing_whatever_the_size_of_messages(
    shared_jetstream, unique, size
):
    async with durable(shared_jetstream.url, unique, max_bytes=10_000, send_timeout=0.3) as node:
        accepted = 0
        with suppress(MailboxFullError):
            while accepted < 30:
                await within(node.send("worker", "x" * size))
                accepted += 1
        assert 0 < accepted < 30
        state = state_of(shared_jetstream, unique)
        assert (state["first_seq"], state["messages"]) == (1, accepted)
