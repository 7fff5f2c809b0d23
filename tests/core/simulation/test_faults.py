"""Faults: plans are data, made from numbers and nothing else."""

from __future__ import annotations

import random

import pytest

from civitas.messages import PRIMARY
from civitas.testing.simulation.faults import MEANINGS, Cast, Fault, Faults

CAST = Cast(("w1", "w2"), ("a", "b", "c"))


def plan(seed: int, faults: Faults, cast: Cast = CAST) -> tuple[Fault, ...]:
    return faults.plan(random.Random(seed), cast, 30.0)


def test_the_same_numbers_give_the_same_plan() -> None:
    assert plan(7, Faults.every()) == plan(7, Faults.every())
    assert len({plan(seed, Faults.every()) for seed in range(50)}) > 40


@pytest.mark.parametrize("kind", Faults.every().kinds)
def test_each_kind_of_fault_comes_alone_when_it_is_the_only_one(kind: str) -> None:
    made = [fault for seed in range(20) for fault in plan(seed, Faults(**{kind: True}))]
    own = {"crash", "late_crash"} if kind in {"crash", "group"} else {kind, f"{kind}_at_start"}
    extra = {"crash"} if kind == "start_failure" else set()
    assert made
    assert {fault.kind for fault in made} <= own | extra


def test_every_kind_comes_in_some_plan() -> None:
    made = {fault.kind for seed in range(300) for fault in plan(seed, Faults.every())}
    assert set(Faults.every().kinds) - {"group"} <= made


def test_no_faults_are_allowed_and_none_are_made() -> None:
    assert plan(1, Faults()) == ()
    assert plan(1, Faults(kill=True), Cast((), ("a",))) == ()


def test_a_plan_names_only_who_is_there_and_ends_in_time() -> None:
    there = {PRIMARY, *CAST.workers, *CAST.agents, "all"}
    for seed in range(200):
        for fault in plan(seed, Faults.every(most=5)):
            assert set(fault.target.split(",")) <= there
            assert 0.0 <= fault.at <= 31.0


def test_every_fault_in_a_plan_has_a_meaning() -> None:
    made = {fault.kind for seed in range(300) for fault in plan(seed, Faults.every())}
    assert set(MEANINGS) == made


def test_a_plan_can_be_read() -> None:
    assert str(Fault(1.5, "kill", "w1", 3.0)) == "1.50 s: kill w1 3 s"
    assert str(Fault(0.0, "crash", "a")) == "0.00 s: crash a"
