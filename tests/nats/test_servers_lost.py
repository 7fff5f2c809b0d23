"""Servers that are killed or stand still under a running system: all live again, losses count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.deployment import CALM, AskError, Build, agent, nobody_was_taken_for_dead, systems
from support.nats.cluster import ELECTED_WITHIN, NatsCluster
from support.nats.server import NatsServer
from support.waiting import eventually

pytestmark = pytest.mark.slow

CONNECTED_AGAIN = "INFO    civitas.transport.nats: connected again"


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Make systems on NATS, and kill in the end what is left of them."""
    options = {"type": "nats", "ping_interval": 0.3}
    with systems(tmp_path / "system", options, beats=CALM) as make:
        yield make


def test_what_is_lost_with_a_server_is_counted_to_the_frame(
    build: Build, server: NatsServer
) -> None:
    system = build(
        agent("far", "w1"),
        agent("stream", "w2", "Stream"),
        agent("here"),
        transport={"servers": server.url},
    )
    running = system.run("supervisor", "w1", "w2")
    streaming = system.console("w2").begin("stream", {"to": "far", "until": "halt"})
    for _ in range(3):
        handled = system.handled_and_lost("far", "w1")[0]
        eventually(lambda h=handled: system.handled_and_lost("far", "w1")[0] > h + 500)
        for process in running:
            process.err.clear()
        server.restart()
        for process in running:
            process.until(CONNECTED_AGAIN)
        system.wait_joined()
    (system.folder / "halt").touch()
    sent = streaming.outcome()["sent"]
    eventually(lambda: system.handled_and_lost("far", "w1"), lambda seen: sum(seen) == sent)
    nobody_was_taken_for_dead(*running)
    system.stop(*running)


def test_a_server_that_stands_still_is_noticed_and_all_is_well_after_it(
    build: Build, server: NatsServer
) -> None:
    system = build(agent("here"), agent("far", "w1"), transport={"servers": server.url})
    primary, worker = running = system.run("supervisor", "w1")
    server.pause()
    for process in running:
        process.until("WARNING civitas.transport.nats: the connection to the servers is lost")
    with pytest.raises(AskError, match="NotConnectedError"):
        system.console().begin("far").outcome(5.0)
    server.resume()
    for console, name, there in (("supervisor", "far", worker), ("w1", "here", primary)):
        answer = eventually(
            lambda c=console, n=name: system.console(c).ask(n, timeout=5), trying=AskError
        )
        assert answer["pid"] == there.pid
    nobody_was_taken_for_dead(*running)
    system.stop(*running)


@pytest.mark.parametrize("jetstream", [False, True], ids=["core", "jetstream"])
def test_a_cluster_goes_on_without_one_of_its_servers(
    build: Build, cluster: NatsCluster, jetstream: bool
) -> None:
    options = {"jetstream": True, "replicas": 3, "send_timeout": 20.0} if jetstream else {}
    system = build(
        agent("far", "w1"),
        agent("stream", "w2", "Stream"),
        agent("here"),
        transport={"servers": cluster.urls, **options},
    )
    running = system.run("supervisor", "w1", "w2")
    console = system.console("w2")
    streaming = console.begin("stream", {"to": "far", "until": "halt"})
    eventually(lambda: system.handled_and_lost("far", "w1")[0] > 200)
    victim = cluster.leader("AGENCY") if jetstream else cluster.servers[0]
    victim.kill()
    handled = system.handled_and_lost("far", "w1")[0]
    eventually(
        lambda: system.handled_and_lost("far", "w1")[0] > handled + 200, deadline=3 * ELECTED_WITHIN
    )
    (system.folder / "halt").touch()
    told = streaming.outcome(3 * ELECTED_WITHIN)
    if jetstream:
        notes = eventually(lambda: system.notes("far"), lambda n: len(set(n)) >= told["sent"])
        assert set(notes) >= {str(number) for number in range(told["sent"])}
        assert list(dict.fromkeys(notes)) == sorted(set(notes), key=int)
    else:
        eventually(
            lambda: sum(system.handled_and_lost("far", "w1")), lambda seen: seen == told["sent"]
        )
    assert eventually(lambda: console.ask("far", timeout=5), trying=AskError)
    nobody_was_taken_for_dead(*running)
    system.stop(*running)
