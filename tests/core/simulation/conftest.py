"""What tests of the rules share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from civitas.testing.simulation.world import World, installed
from core.simulation.written import Written


@pytest.fixture(params=[False, True], ids=["at most once", "at least once"])
def durable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def written(durable: bool) -> Iterator[Written]:
    world = World(1)
    with installed(world):
        yield Written(world, durable)
