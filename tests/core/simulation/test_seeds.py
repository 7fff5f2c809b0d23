"""Whole systems under seeded faults: no seed breaks a rule.

`CIVITAS_SEEDS` says how many seeds each scenario runs; `make soak` sets it.
"""

from __future__ import annotations

import os

import pytest

from civitas.testing.simulation.declare import explain
from civitas.testing.simulation.run import run
from core.simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

SEEDS = int(os.environ.get("CIVITAS_SEEDS", "200"))
TOGETHER = 20
"""Seeds of one test."""

_THIS = "tests/core/simulation/test_seeds.py"

CHUNKS = [range(first, min(first + TOGETHER, SEEDS)) for first in range(0, SEEDS, TOGETHER)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_seed_breaks_a_rule(name: str, seeds: range, pytestconfig: pytest.Config) -> None:
    replayed = pytestconfig.getoption("--civitas-seed")
    for seed in seeds if replayed is None else [replayed]:
        outcome = run(SCENARIOS[name], seed)
        if outcome.failed:
            whole = replayed is not None
            text = explain(SCENARIOS[name], outcome, whole=whole, test=f"{_THIS} -k '{name}-'")
            pytest.fail(text, pytrace=False)
