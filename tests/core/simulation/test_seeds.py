"""Whole systems under seeded faults: no seed breaks a rule.

`CIVITAS_SEEDS` says how many seeds each scenario runs; `make soak` sets it. By default those of a
few kinds of faults run fewer.
"""

from __future__ import annotations

import os

import pytest

from civitas.testing.simulation.declare import explain
from civitas.testing.simulation.run import run
from core.simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

FEWER = {"orderly": 60, "narrow": 60, "jobs": 60, "clocks": 60} | {
    f"signed {frames}{kept}": 60 for frames in ("control", "all") for kept in ("", ", durable")
}
"""Seeds of scenarios with a few kinds of faults, which the others have as well."""

TOGETHER = 20
"""Seeds of one test."""

_THIS = "tests/core/simulation/test_seeds.py"


def seeds_of(name: str) -> int:
    return int(os.environ.get("CIVITAS_SEEDS", FEWER.get(name, 200)))


CHUNKS = [
    pytest.param(name, range(first, last), id=f"{name}-{first}-{last - 1}")
    for name in SCENARIOS
    for first in range(0, seeds_of(name), TOGETHER)
    for last in [min(first + TOGETHER, seeds_of(name))]
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
