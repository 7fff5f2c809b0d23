"""Whole systems under seeded faults: no seed breaks a rule.

`make test` runs 12 seeds of each scenario, and so 12 or more of each topology on each kind of
transport that it has. `CIVITAS_SEEDS` says another number: `make seeds` sets it to 100, and
`make soak` to thousands.
"""

from __future__ import annotations

import os

import pytest

from civitas.testing.simulation.declare import explain
from civitas.testing.simulation.run import run
from core.simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

SEEDS = int(os.environ.get("CIVITAS_SEEDS", "12"))
"""Seeds of one scenario."""

TOGETHER = 12
"""Seeds of one test."""

_THIS = "tests/core/simulation/test_seeds.py"

CHUNKS = [
    pytest.param(name, range(first, last), id=f"{name}-{first}-{last - 1}")
    for name in SCENARIOS
    for first in range(0, SEEDS, TOGETHER)
    for last in [min(first + TOGETHER, SEEDS)]
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "seeds"), CHUNKS)
def test_no_seed_breaks_a_rule(name: str, seeds: range, pytestconfig: pytest.Config) -> None:
    replayed = pytestconfig.getoption("--civitas-seed")
    for seed in seeds if replayed is None else [replayed]:
        outcome = run(SCENARIOS[name], seed)
        if outcome.failed:
            whole = replayed is not None
            text = explain(SCENARIOS[name], outcome, whole=whole, test=f"{_THIS} -k '{name}-'")
            pytest.fail(text, pytrace=False)
