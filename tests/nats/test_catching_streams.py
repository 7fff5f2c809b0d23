"""A stream that keeps messages to agents though JetStream is off: a start refuses, and says why."""

from __future__ import annotations

import logging

import pytest

from civitas.errors import ConfigurationError
from support.nats.nodes import Node, bare, durable
from support.nats.server import NatsServer
from support.nats.starts import start_fails, works

pytestmark = [pytest.mark.slow, pytest.mark.each_release]


async def test_jetstream_that_is_switched_off_while_its_stream_is_there_is_refused_with_the_way_out(
    shared_jetstream, unique
):
    async with durable(shared_jetstream.url, unique):
        pass
    text = await start_fails(Node(shared_jetstream.url, subject_prefix=unique), ConfigurationError)
    assert text.startswith(f"stream {unique} at {shared_jetstream.url} keeps what is sent")
    assert f"nats stream rm {unique}" in text
    assert "jetstream: true" in text
    async with bare(shared_jetstream.url) as client:
        await client.jetstream().delete_stream(unique)
    async with Node(shared_jetstream.url, subject_prefix=unique) as node:
        await works(node)


@pytest.mark.parametrize("pattern", ["{}.>", "{}.*", "{}.till"])
async def test_so_is_a_stream_of_another_name_that_has_the_subject_of_any_agent(
    shared_jetstream, unique, pattern
):
    async with bare(shared_jetstream.url) as client:
        await client.jetstream().add_stream(
            name=f"other-{unique}", subjects=[pattern.format(unique)]
        )
    node = Node(shared_jetstream.url, subject_prefix=unique)
    assert f"stream other-{unique}" in await start_fails(node, ConfigurationError)


async def test_the_control_plane_of_a_process_on_jetstream_starts_all_the_same(
    shared_jetstream, unique
):
    async with durable(shared_jetstream.url, unique, control=True):
        pass


async def test_whoever_may_not_ask_starts_and_says_so_for_debugging_only(tmp_path, caplog):
    caplog.set_level(logging.DEBUG, logger="civitas")
    config = (
        "authorization { users: [ { user: ali, password: sesame, permissions: {"
        ' publish: { deny: "$JS.API.>" } } } ] }'
    )
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        node = Node(server.url, user="ali", password="sesame", connect_timeout=60)
        async with node:
            await works(node)
    said = [each for each in caplog.records if "is not known" in each.getMessage()]
    assert [each.levelno for each in said] == [logging.DEBUG]
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []
