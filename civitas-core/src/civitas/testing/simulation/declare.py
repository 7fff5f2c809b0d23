"""The decorator that makes a pytest test of a scenario: many seeds, each a run of its own."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Final

from civitas.process import AgentProcess
from civitas.testing.simulation.faults import Faults
from civitas.testing.simulation.invariants import Invariant
from civitas.testing.simulation.report import report, report_of_two
from civitas.testing.simulation.run import Declared, RunOutcome, Scenario, run, same_guarantee
from civitas.testing.simulation.shrink import shrink

SEEDS: Final = "civitas_seeds"
"""The argument of a test by which the pytest plugin gives it its seeds, and how many it wants."""


def test(
    *,
    topology: Declared,
    seeds: int = 100,
    faults: Faults | None = None,
    agent_classes: Mapping[str, Callable[..., AgentProcess]] | None = None,
    transport: Mapping[str, Any] | None = None,
    invariants: Sequence[Invariant] = (),
) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Run an async function with a `System` once for each seed, on virtual time.

    Args:
        topology: a file, relative to the test's own; the mapping that it would be; or a function
            that makes one from random numbers, a different one for each seed.
        seeds: how many runs; they have the seeds 0, 1, 2 ...
        faults: what may go wrong in the storms of the test.
        agent_classes: classes that the topology names as types. Others are imported by their
            dotted paths, as commands do: from the current directory, or from `sys.path`.
        transport: options of the simulated transport, which replaces that of the topology, such as
            `{"at_least_once": True}`. Left out, it promises what the topology's own does.
        invariants: what has to hold at the end of each run: `at_most_once()`, `nothing_lost()`, or
            any function of a `System` that yields a text for what it finds broken, or raises.

    What else the test takes are fixtures. After it has returned, the system is stopped, and the
    rules that hold for every system are looked at, too. `pytest --civitas-seed=N` runs one seed
    again.

    Raises:
        TopologyError: in the test, when the topology can't be used.
    """

    def decorate(body: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        def play(**arguments: Any) -> None:
            chosen, replayed = arguments.pop(SEEDS)
            where, classes, options = _beside(body, topology), agent_classes or {}, transport or {}
            if "at_least_once" not in options:
                options = {**same_guarantee(where, classes), **options}
            scenario = Scenario(
                partial(body, **arguments),
                where,
                faults or Faults(),
                classes,
                options,
                invariants,
                body.__qualname__,
            )
            _play(scenario, chosen, whole=replayed, test=_in_pytest(body))

        _name_like(play, body)
        play.__dict__[SEEDS] = seeds
        return play

    return decorate


test.__dict__["__test__"] = False  # pytest would take it for one where it is imported by name


def _play(scenario: Scenario, seeds: range, *, whole: bool, test: str) -> None:
    import pytest

    for seed in seeds:
        outcome = run(scenario, seed)
        if outcome.failed:
            pytest.fail(explain(scenario, outcome, whole=whole, test=test), pytrace=False)


def explain(scenario: Scenario, failed: RunOutcome, *, whole: bool, test: str) -> str:
    """Return the text for a failure; it runs the seed again, with fewer and fewer faults.

    Args:
        scenario: what was run.
        failed: what has come of it.
        whole: whether to show the whole history.
        test: what pytest calls the test.
    """
    again = run(scenario, failed.seed)
    if again.digest != failed.digest:
        return report_of_two(failed, again, test=test)
    return report(failed, shrink(scenario, failed), whole=whole, test=test)


def _in_pytest(body: Callable[..., object]) -> str:
    """Return what pytest calls a test, as seen from the current directory."""
    file = getattr(sys.modules.get(body.__module__), "__file__", None) or body.__module__
    with suppress(ValueError):  # it is elsewhere
        file = str(Path(file).relative_to(Path.cwd()))
    return f"{file}::{body.__qualname__.replace('.', '::')}"


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
