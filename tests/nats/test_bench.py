"""`civitas bench` on nats: beside the topology's own subjects and streams, and nothing stays."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest

from civitas_nats.jetstream.streams import create_streams
from civitas_nats.options import NATSOptions
from civitas_nats.plugin import civitas_transports
from support.commands import COMMAND, completed
from support.nats.server import NatsServer
from support.ports import free_port

[SPEC] = civitas_transports()
assert SPEC.apart is not None
APART = SPEC.apart


def bench(folder: Path, **transport: Any) -> subprocess.CompletedProcess[str]:
    agents = [{"agent": {"name": "a", "type": "not.There"}}]
    tree = {"name": "root", "children": agents}
    topology = {"transport": {"type": "nats", **transport}, "supervision": tree}
    (folder / "topology.yaml").write_text(json.dumps(topology))
    return completed(COMMAND, "bench", "--quick", cwd=folder)


async def test_a_system_apart_has_subjects_below_those_that_permissions_name() -> None:
    given = NATSOptions(subject_prefix="a.b", dead_letter_subject="c.d", user="u", password="p")
    async with APART(given, "bench-1") as own:
        assert own.subject_prefix == "a.b.bench-1"
        assert own.dead_letter_subject == "c.d.bench-1"
        assert own.stream_name == "AGENCY-bench-1"
        assert (own.user, own.password) == (given.user, given.password)


@pytest.mark.slow
def test_streams_of_the_command_are_deleted_and_those_of_the_system_are_as_they_were(
    tmp_path: Path, jetstream: NatsServer
) -> None:
    options = NATSOptions(servers=(jetstream.url,), jetstream=True)
    asyncio.run(create_streams(options, logging.getLogger("tests")))
    before = jetstream.streams()
    done = bench(tmp_path, servers=jetstream.url, jetstream=True, max_message_bytes=1_040_000)
    assert done.returncode == 0, done.stderr
    assert "stream_name: AGENCY-bench-" in done.stderr
    assert "1 MiB" in done.stdout
    assert "skipped: max_message_bytes of this transport is 1,040,000" in done.stdout
    assert jetstream.streams() == before
    assert before.keys() == {"AGENCY", "AGENCY_DEAD"}


@pytest.mark.slow
def test_a_server_that_is_away_is_an_error_in_words(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    done = bench(tmp_path, servers=url, jetstream=True, connect_timeout=0.2)
    assert done.returncode == 1
    assert f"error: no NATS server at {url} within 0.2 s" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_server_without_jetstream_is_an_error_in_words(
    tmp_path: Path, server: NatsServer
) -> None:
    done = bench(tmp_path, servers=server.url, jetstream=True)
    assert done.returncode in (1, 2)
    assert "error: JetStream is not enabled" in done.stderr
    assert "Traceback" not in done.stderr
