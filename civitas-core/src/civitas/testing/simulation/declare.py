"""The decorator that makes a pytest test of a scenario: many seeds, each a run of its own."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Final

from civitas.process import AgentProcess
from civitas.testing.simulation.faults import Faults
from civitas.testing.simulation.report import report
from civitas.testing.simulation.run import Declared, Scenario, run
from civitas.testing.simulation.shrink import shrink

SEEDS: Final = "civitas_seeds"
"""The argument of a test by which the pytest plugin gives it its seeds, and how many it wants."""


def test(
    *,
    topology: Declared,
    seeds: int = 100,
    faults: Faults | None = None,
    agent_classes: Mapping[str, type[AgentProcess]] | None = None,
    transport: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Run an async function with a `System` once for each seed, on virtual time.

    Args:
        topology: a file, relative to the test's own; the mapping that it would be; or a function
            that makes one from random numbers, a different one for each seed. Its transport is
            replaced by a simulated one.
        seeds: how many runs; they have the seeds 0, 1, 2 ...
        faults: what may go wrong in the storms of the test.
        agent_classes: classes that the topology names as types.
        transport: options of the simulated transport, such as `{"at_least_once": True}`.

    What else the function takes are fixtures. After it has returned, the system is stopped and the
    invariants of `checks` are looked at. `pytest --civitas-seed=N` runs one seed again.
    """

    def decorate(body: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        def play(**arguments: Any) -> None:
            chosen, replayed = arguments.pop(SEEDS)
            scenario = Scenario(
                partial(body, **arguments),
                _beside(body, topology),
                faults or Faults(),
                agent_classes or {},
                transport or {},
                body.__qualname__,
            )
            _play(scenario, chosen, whole=replayed)

        _name_like(play, body)
        play.__dict__[SEEDS] = seeds
        return play

    return decorate


test.__dict__["__test__"] = False  # pytest would take it for one where it is imported by name


def _play(scenario: Scenario, seeds: range, *, whole: bool) -> None:
    import pytest

    for seed in seeds:
        outcome = run(scenario, seed)
        if outcome.failed:
            shrunk = shrink(scenario, outcome)
            pytest.fail(report(outcome, shrunk, whole=whole), pytrace=False)


def _beside(body: Callable[..., object], topology: Declared) -> Declared:
    """Return a topology whose path is relative to the file of the test."""
    if not isinstance(topology, str | Path):
        return topology
    module = sys.modules.get(body.__module__)
    file = getattr(module, "__file__", None)
    return topology if file is None else Path(file).parent / topology


def _name_like(play: Callable[..., None], body: Callable[..., object]) -> None:
    play.__name__, play.__qualname__ = body.__name__, body.__qualname__
    play.__module__, play.__doc__ = body.__module__, body.__doc__
    theirs = signature(body)
    _system, *fixtures = theirs.parameters.values()
    ours = Parameter(SEEDS, Parameter.KEYWORD_ONLY)
    given = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in fixtures]
    play.__dict__["__signature__"] = theirs.replace(parameters=[*given, ours])
    play.__dict__["pytestmark"] = list(getattr(body, "pytestmark", []))
