"""Whole systems under seeded faults: no seed shows anything but what is known to be broken.

`CIVITAS_SEEDS` says how many seeds each scenario runs; `make soak` sets it.
"""

from __future__ import annotations

import os

import pytest

from civitas.testing.simulation.report import report
from civitas.testing.simulation.run import run
from civitas.testing.simulation.shrink import shrink
from core.simulation.known import KNOWN, SHOWN
from core.simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

SEEDS = int(os.environ.get("CIVITAS_SEEDS", "20"))
TOGETHER = 20
"""Seeds of one test."""

CHUNKS = [range(first, min(first + TOGETHER, SEEDS)) for first in range(0, SEEDS, TOGETHER)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_seed_breaks_a_rule_that_is_kept(
    name: str, seeds: range, pytestconfig: pytest.Config
) -> None:
    replayed = pytestconfig.getoption("--civitas-seed")
    for seed in seeds if replayed is None else [replayed]:
        outcome = run(SCENARIOS[name], seed)
        if set(outcome.rules) - set(KNOWN):
            shrunk = shrink(SCENARIOS[name], outcome)
            pytest.fail(report(outcome, shrunk, whole=replayed is not None), pytrace=False)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", SHOWN)
def test_what_is_known_to_be_broken_still_is(fault: int) -> None:
    """Who repairs a fault sees it here, and strikes it off the list."""
    name, seed, rule = SHOWN[fault]
    outcome = run(SCENARIOS[name], seed)
    assert rule in outcome.rules, (
        f"seed {seed} of {name!r} does not show fault {fault} any more: if it is repaired, strike "
        f"it off core/simulation/known.py, and the rules that only it broke"
    )


def test_no_rule_is_excused_for_a_fault_that_is_repaired() -> None:
    assert {fault for faults in KNOWN.values() for fault in faults} == set(SHOWN)
    for fault, shown in SHOWN.items():
        assert fault in KNOWN[shown.rule]
