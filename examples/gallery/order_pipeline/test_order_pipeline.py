"""The shop under faults: each order that the desk has taken is charged once, and shipped once."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents import Book, Cashier, Desk
from civitas import Message
from civitas.errors import AgentError
from civitas.testing import harness
from civitas.testing import simulation as sim

TOPOLOGY = Path(__file__).with_name("topology.yaml")
BOOKS = tempfile.TemporaryDirectory()
_runs = itertools.count()


def shop(_numbers: random.Random) -> dict[str, Any]:
    """Return the topology with new books: those of another run have its orders in them."""
    folder = Path(BOOKS.name) / str(next(_runs))
    topology: dict[str, Any] = yaml.safe_load(
        TOPOLOGY.read_text().replace("${BOOKS:-books}", str(folder))
    )
    topology["supervision"]["max_restarts"] = 100  # a storm is worse than a bad day
    return topology


def book(system: sim.System, agent: str) -> Counter[str]:
    """Return how often each order is in the book of an agent."""
    (block,) = (
        each.block for each in system.topology.supervision.agents() if each.block.name == agent
    )
    return Counter(order for order, _cents in Book(block.config["book"]).orders())


def order_of(message: Message) -> str:
    """Return the order of a message."""
    return str(message.payload.get("order", message.id))


# --8<-- [start:faults]
def each_order_is_charged_and_shipped_once(system: sim.System) -> Iterator[str]:
    """Compare what the desk has taken with the books. Dead letters are no longer expected there."""
    history = system.history
    handled = history.handled()
    dead = {order_of(each.message) for each in history.handlings if each.message.id not in handled}
    taken = {order_of(each.message) for each in history.sendings if each.accepted}
    for agent in ("cashier", "shipper", "desk"):
        found = book(system, agent)
        for order in sorted(taken - dead - found.keys()):
            yield f"order {order} was taken, and {agent} does not have it"
        for order, times in found.items():
            if times > 1:
                yield f"order {order} is {times} times in the book of {agent}"


@sim.test(
    topology=shop,
    seeds=20,
    faults=sim.Faults(
        kill=True, kill_primary=True, stop=True, partition=True, pause=True, crash=True
    ),
    transport={"at_least_once": True},
    invariants=[sim.nothing_lost(), each_order_is_charged_and_shipped_once],
)
async def test_no_order_is_lost_and_none_is_charged_twice(system: sim.System) -> None:
    """Order from outside while processes die, stand still and do not hear each other."""
    async with system.load("desk", rate=3, payload={"cents": 250}, asks=0.5):
        await system.storm(seconds=20)
    for _step in ("charged", "shipped", "noted"):
        await system.calm(within=60)  # each agent is done with what was sent to it before


# --8<-- [end:faults]


async def test_an_order_that_comes_again_is_charged_once_and_handed_on_again(
    tmp_path: Path,
) -> None:
    """Give the cashier the same order twice."""
    file = str(tmp_path / "cashier.db")
    async with harness(Cashier("cashier", file, then="shipper"), fakes={"shipper": {}}) as h:
        for _time in range(2):
            await h.send("cashier", {"order": "A1", "cents": 250}, "order")
        await h.idle()
        assert Book(file).orders() == [("A1", 250)]
        assert [each.payload["order"] for each in h.sent("shipper", "charged")] == ["A1", "A1"]


async def test_an_order_without_a_price_is_refused_and_the_next_one_is_taken(
    tmp_path: Path,
) -> None:
    """Ask the desk for something that is no order."""
    async with harness(Desk("desk", str(tmp_path / "desk.db")), fakes={"cashier": {}}) as h:
        with pytest.raises(AgentError, match="cents"):
            await h.ask("desk", {"order": "A1"})
        answer = await h.ask("desk", {"order": "A2", "cents": 250})
        assert answer.payload == {"taken": "A2", "shipped": False}
