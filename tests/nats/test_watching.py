"""`civitas top` and `civitas restart` on JetStream, where what waits for an agent is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.deployment import agent, systems
from support.nats.server import NatsServer
from support.watching import restarts_and_deaths_are_seen, seen

pytestmark = pytest.mark.slow


def test_a_system_is_watched_and_what_waits_for_an_agent_that_is_away_is_counted(
    tmp_path: Path, jetstream: NatsServer
) -> None:
    options = {"type": "nats", "servers": jetstream.url, "jetstream": True, "ping_interval": 0.3}
    with systems(tmp_path / "system", options) as build:
        system = build(agent("far", "w1"))
        frame = restarts_and_deaths_are_seen(system)
        assert frame["far"]["backlog"] == 0
        system.console().send("far", {})
        assert seen(system)["far"]["backlog"] == 1
