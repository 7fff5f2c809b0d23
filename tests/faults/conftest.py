"""Systems of processes that faults are done to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.deployment import Build, systems


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Make systems, and kill in the end what is left of them."""
    with systems(tmp_path) as make:
        yield make
