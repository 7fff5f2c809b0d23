"""Client: what is told when there is nobody to talk to, or nobody who would listen."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from civitas import Runtime, Supervisor
from civitas._cluster.codec import encode
from civitas._cluster.protocol import Fenced, control_address
from civitas.client import Client
from civitas.components import build_component_set
from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.plugins import Capabilities
from civitas.transport import InProcessTransport
from support.agents import SOON, Gate, Scripted, until
from support.local_bus.testbed import LocalBus

LIMIT = 0.25


class Distant(InProcessTransport):
    """A transport whose start, or readiness, is what a test makes of it."""

    capabilities = Capabilities(cross_process=True)

    async def connect(self) -> None:
        """Connect at once."""

    async def start(self) -> None:
        await self.connect()
        await super().start()


class Refused(Distant):
    """Gives up just when the client does, as one with the same limit."""

    async def connect(self) -> None:
        await asyncio.sleep(LIMIT * 1.1)
        raise NotConnectedError("nothing listens at loft:7")


class Hanging(Distant):
    """Never connects, and never says why."""

    async def connect(self) -> None:
        await asyncio.Event().wait()


class Telling(Hanging):
    """Never connects, and has told its node why."""

    config: Any = None

    async def connect(self) -> None:
        self.config.link_state.down("the loft does not know this token")
        await super().connect()


class Unready(Distant):
    """Waits for the system itself, which is not there."""

    async def wait_ready(self) -> None:
        await asyncio.Event().wait()


NOBODY = "no running system was found in T s; is it started, with the same transport"


@pytest.mark.parametrize(
    ("transport", "told"),
    [
        (Refused, "nothing listens at loft:7"),
        (Hanging, f"the transport did not connect within {LIMIT} s; is what it connects to there"),
        (Telling, f"did not connect within {LIMIT} s: the loft does not know this token; is what"),
        (Unready, NOBODY),
        (Distant, f"the transport is connected, and {NOBODY}"),
    ],
)
async def test_who_finds_nobody_is_told_how_far_it_came(
    transport: type[Distant], told: str
) -> None:
    components = build_component_set(transport())
    components.transport.config = components.config  # type: ignore[attr-defined]
    with pytest.raises(NotConnectedError) as raised:
        await Client(components=components, connect_timeout=LIMIT).start()
    assert told in re.sub(r"in \d\.\d s", "in T s", str(raised.value))


async def test_who_finds_nobody_before_the_time_is_over_is_told_how_long_it_took() -> None:
    components = build_component_set(Distant())
    components.transport.config = components.config  # type: ignore[attr-defined]
    with pytest.raises(NotConnectedError, match=r"no running system was found in [1-9]\.\d s"):
        await Client(components=components, connect_timeout=60.0).start()


async def test_a_client_that_was_taken_for_dead_says_so_and_ends(local_bus: LocalBus) -> None:
    gate = Gate()
    root = Supervisor("root", [Scripted("a", gate)])
    options = local_bus.options()
    async with Runtime(root, **options) as runtime, Client(**options) as client:
        asking = asyncio.create_task(client.ask("a", {}, timeout=SOON))
        await asyncio.wait_for(gate.entered.wait(), SOON)
        fenced = encode(Fenced("no answer to pings"), runtime.components.origin)
        node = client.components.origin.node.hex()
        await runtime.components.transport.publish(control_address(node), fenced)
        with pytest.raises(OutcomeUnknownError, match="can't stay in the system .no answer to"):
            await asking
        await until(lambda: client.failure is not None)
        await client.stop()
        with pytest.raises(NotConnectedError, match=r"has ended: .*no answer to pings.*make a new"):
            await client.ask("a", {}, timeout=SOON)
        gate.opened.set()
