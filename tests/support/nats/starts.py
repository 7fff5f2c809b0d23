"""Checks that a start works, and that a start fails."""

from __future__ import annotations

import pytest

from civitas.errors import CivitasError
from civitas.messages import RESERVED_PREFIX
from support.nats.nodes import PATIENCE, Node, within

SYSTEM = f"{RESERVED_PREFIX}test"
"""A system address: every subscriber gets its frames, also the sender."""


async def works(node: Node) -> None:
    """Check that a frame goes to the server and comes back."""
    heard = await node.agent(SYSTEM)
    await within(node.transport.wait_ready())
    await node.send(SYSTEM, "hello")
    await heard.has_done(1)


async def start_fails(node: Node, error: type[CivitasError]) -> str:
    """Check that a start fails within its limit, or soon after it; return the text of its error."""
    try:
        with pytest.raises(error) as caught:
            await within(node.transport.start(), node.options.connect_timeout + PATIENCE / 3)
    finally:
        await within(node.transport.stop())
    return str(caught.value)
