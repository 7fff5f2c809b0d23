"""Who speaks in the name of the primary is believed without a key, and not with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from civitas._cluster.codec import encode
from civitas._cluster.protocol import EVERYONE, Command, Left, control_address
from civitas._signing.settings import NOT_AUTHENTICATED
from civitas.process import ProcessStatus
from support.agents import until
from support.keyed import KEY, Stranger, nodes_on, wire_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("key", [None, KEY])
async def test_only_a_key_keeps_strangers_from_the_name_of_the_primary(
    key: str | None, tmp_path: Path
) -> None:
    settings = {} if key is None else {"cluster_key": key}
    with wire_of("zmq", tmp_path) as wire:
        async with nodes_on(wire.block) as nodes, Stranger(wire.block) as stranger:
            for name in ("primary", "w1", "w2"):
                await nodes.start(name, **settings)
            await nodes.talk()
            primary, w1, w2 = (nodes.all[name] for name in ("primary", "w1", "w2"))
            origins = {name: node.components.origin for name, node in nodes.all.items()}
            order = encode(Command(1, "stop", "w1", 1), origins["primary"])
            here = origins["w2"].node.hex(), origins["w2"].generation
            left = encode(Left(*here, "dead", fenced=True), origins["primary"])
            await stranger.say(control_address(origins["w1"].node.hex()), order)
            await stranger.say(EVERYONE, left)
            if key is None:
                await until(lambda: nodes.agents["w1"].status is not ProcessStatus.RUNNING)
                await until(lambda: w2.failure is not None)
                await nodes.stop("w2")
            else:
                await until(lambda: nodes.refused.get(NOT_AUTHENTICATED, 0) >= 4)
                await nodes.talk()
                assert not any(node.failure for node in (primary, w1, w2))
