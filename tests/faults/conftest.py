"""Systems of processes that faults are done to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.deployment import Build, System


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Make systems, and kill in the end what is left of them."""
    made: list[System] = []

    def make(*children: Any, **keys: Any) -> System:
        made.append(System(tmp_path, *children, **keys))
        return made[-1]

    yield make
    for system in made:
        system.close()
