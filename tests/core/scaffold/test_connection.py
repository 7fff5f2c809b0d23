"""What the generated connection does with its sessions, where the kit can't see or cause it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from civitas._authoring.scaffold import identify, place, render
from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.plugins import TransportContext
from civitas.plugins.catalog import PluginKind
from support.agents import until

FIRST, SECOND = "first", "second"


@pytest.fixture(scope="module")
def gull(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The modules of a package that was just generated."""
    folder = tmp_path_factory.mktemp("scaffold") / "gull"
    place(render(identify(PluginKind.TRANSPORT, "gull"), "0.1.0"), folder)
    sys.path.insert(0, str(folder / "src"))
    try:
        names = ("options", "session", "stub", "transport")
        yield SimpleNamespace(
            **{name: importlib.import_module(f"civitas_gull.{name}") for name in names}
        )
    finally:
        sys.path.remove(str(folder / "src"))
        for name in [name for name in sys.modules if name.startswith("civitas_gull")]:
            del sys.modules[name]


@pytest.fixture
def network(gull, request):
    return gull.stub.Network.named(request.node.name)


@pytest.fixture
async def transport(gull, network, request):
    """A transport that is started, with two subscriptions, first and second."""
    options = gull.options.GullOptions(network=request.node.name, connect_timeout=30.0)
    transport = gull.transport.GullTransport(options, TransportContext())
    await transport.start()
    for address in (FIRST, SECOND):
        await transport.subscribe(address, ignore)
    yield transport
    await transport.stop()


async def ignore(_frame: bytes) -> None:
    """Be a handler."""


def subscribed(network) -> set[str]:
    """Return what the one connection has asked for, but for the transport's own addresses."""
    (client,) = network.clients
    return {topic for topic in client.topics if not topic.startswith("_")}


async def test_what_is_unsubscribed_while_all_is_subscribed_again_stays_so(
    gull, network, transport, monkeypatch
):
    subscribe = gull.session.Session.subscribe
    held, go_on = asyncio.Event(), asyncio.Event()

    async def held_at_the_first(session, address):
        if address == FIRST:
            held.set()
            await go_on.wait()
        await subscribe(session, address)

    monkeypatch.setattr(gull.session.Session, "subscribe", held_at_the_first)
    network.kill()
    network.start()
    async with asyncio.timeout(10.0):
        await held.wait()
    await transport.unsubscribe(SECOND)
    go_on.set()
    await transport.wait_ready()
    assert subscribed(network) == {FIRST}


async def test_what_is_unsubscribed_while_the_network_is_slow_to_do_so_stays_so(
    gull, network, transport, monkeypatch
):
    subscribe, unsubscribe = gull.session.Session.subscribe, gull.session.Session.unsubscribe
    held, unsubscribed, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def held_at_the_first(session, address):
        if address == FIRST:
            held.set()
            await unsubscribed.wait()
        await subscribe(session, address)
        go_on.set()

    async def waits_for_the_answer(session, address):
        await unsubscribe(session, address)
        unsubscribed.set()
        await go_on.wait()

    monkeypatch.setattr(gull.session.Session, "subscribe", held_at_the_first)
    monkeypatch.setattr(gull.session.Session, "unsubscribe", waits_for_the_answer)
    network.kill()
    network.start()
    async with asyncio.timeout(10.0):
        await held.wait()
        go_on.clear()
        await transport.unsubscribe(SECOND)
    await transport.wait_ready()
    assert subscribed(network) == {FIRST}


async def test_an_address_that_has_a_new_owner_meanwhile_is_not_unsubscribed(network, transport):
    async def takes_its_time(_frame: bytes) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await transport.subscribe("third", ignore)  # in the middle of the end of the old one

    await transport.subscribe("third", takes_its_time)
    (client,) = network.clients
    await client.publish("third", b"frame")
    await transport.wait_ready()  # a frame that was sent later has come back
    await transport.unsubscribe("third")
    assert subscribed(network) == {FIRST, SECOND, "third"}


async def test_each_new_reason_of_an_outage_is_logged_once(network, transport, caplog):
    caplog.set_level(logging.INFO)

    def logged() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name.startswith("civitas")]

    network.kill()
    await until(lambda: len(logged()) == 2)
    network.lets_in = False
    network.start()
    await until(lambda: len(logged()) == 3)
    with pytest.raises(NotConnectedError, match="lets nobody in"):  # at once
        await asyncio.wait_for(transport.wait_ready(), 10.0)
    network.lets_in = True
    await until(lambda: "connected again" in logged())
    await transport.wait_ready()
    lost, away, refused, *rest = logged()
    assert lost.startswith("the connection is lost: ")
    assert away.startswith("there is still no connection: ")
    assert "does not run" in away
    assert "lets nobody in" in refused
    assert rest == ["connected again"]


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (NotConnectedError("there was no room"), NotConnectedError),
        (TimeoutError(), OutcomeUnknownError),
    ],
)
async def test_the_session_says_whether_the_outcome_is_known(
    gull, transport, monkeypatch, raised, seen
):
    async def send(*_):
        raise raised

    monkeypatch.setattr(gull.session.Session, "send", send)
    with pytest.raises(seen, match="no room" if seen is NotConnectedError else "send_timeout"):
        await transport.publish("elsewhere", b"frame")
