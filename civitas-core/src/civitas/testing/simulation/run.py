"""Run: one seed of one scenario from the beginning to its end, and what it has shown."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from traceback import format_exception
from typing import Any, Final, TypeAlias

from civitas.errors import describe
from civitas.plugins.loader import capabilities_of
from civitas.process import AgentProcess
from civitas.testing.simulation.checks import check
from civitas.testing.simulation.errors import is_of_a_library, refusals
from civitas.testing.simulation.faults import Fault, Faults
from civitas.testing.simulation.guards import guarded
from civitas.testing.simulation.history import Fact
from civitas.testing.simulation.invariants import Invariant
from civitas.testing.simulation.system import System
from civitas.testing.simulation.world import World, installed
from civitas.topology import Topology, TopologyError, load_topology, load_topology_mapping

Plans: TypeAlias = Sequence[Sequence[Fault]]
"""The faults of each storm of a run."""

Declared: TypeAlias = (
    "str | Path | Mapping[str, Any] | Callable[[random.Random], Mapping[str, Any]]"
)
"""A topology's file, or the mapping that it would be, or what makes one from the seed."""

RAISED: Final = "the test"
"""The rule that a test itself breaks when it raises."""

REFUSED: Final = "can't be simulated"
"""The rule that code breaks when it asks for what waits in real time."""

_AFTER: Final = 1.0
"""Seconds in which what is under way comes to its end before the system is stopped."""

_LIMIT: Final = 3600.0
"""Seconds of virtual time that a run may take."""


@dataclass
class Scenario:
    """What every seed runs.

    Attributes:
        test: what is done to the system; `check` follows it.
        topology: the system.
        faults: what may go wrong in its storms.
        agent_classes: classes that the topology names as types.
        transport: options of the simulated transport, which replaces the topology's own.
        invariants: rules beyond those of `checks`.
        name: makes the seeds of this scenario other ones than those of others.
    """

    test: Callable[[System], Awaitable[object]]
    topology: Declared
    faults: Faults = field(default_factory=Faults)
    agent_classes: Mapping[str, Callable[..., AgentProcess]] = field(default_factory=dict)
    transport: Mapping[str, Any] = field(default_factory=dict)
    invariants: Sequence[Invariant] = ()
    name: str = ""


@dataclass
class RunOutcome:
    """What one run has shown.

    Attributes:
        seed: which one it was.
        broken: the rules that were broken, each with what was seen of it.
        error: what the test has raised; empty if nothing.
        traceback: where it has.
        plans: the faults of each storm.
        facts: the history.
        turns: the digest of the turns that the world's event loops have taken.
        seconds: how much virtual time has passed.
    """

    seed: int
    broken: list[tuple[str, str]]
    error: str
    traceback: str
    plans: list[tuple[Fault, ...]]
    facts: list[Fact]
    turns: str
    seconds: float

    @property
    def digest(self) -> str:
        """What the run was, in 16 hex digits: its turns, and its history."""
        facts = "\n".join(map(str, self.facts))
        return blake2b(f"{self.turns} {facts}".encode(), digest_size=8).hexdigest()

    @property
    def failed(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.error or self.broken)

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of what was broken, each once."""
        error = (RAISED,) if self.error else ()
        return tuple(dict.fromkeys((*error, *(rule for rule, _ in self.broken))))

    def summary(self) -> str:
        """Return what was wrong, a line for each."""
        lines = [f"{rule}: {text}" for rule, text in self.broken]
        return "\n".join([self.error, *lines]).strip()


def run(scenario: Scenario, seed: int, plans: Plans | None = None) -> RunOutcome:
    """Run one seed; with `plans`, these faults instead of those that the seed would have."""
    world = World(seed, scenario=scenario.name)
    refusals.clear()
    with installed(world), guarded(world), _interruptible(world):
        return _Run(scenario, world, plans).outcome()


class _Run:
    """One run; nothing of it is kept that holds on to its world."""

    def __init__(self, scenario: Scenario, world: World, plans: Plans | None) -> None:
        topology = _load(scenario, world.random("topology"))
        self._test = scenario.test
        self._invariants = scenario.invariants
        self._world = world
        self._system = System(world, topology, scenario.faults, plans)

    def outcome(self) -> RunOutcome:
        """Run, and return what was seen."""
        world, system, error, traceback = self._world, self._system, "", ""
        with _failures_reported(partial(system.complain, "nothing ends unexpectedly")):
            try:
                world.run(self._live(), _LIMIT)
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # noqa: BLE001 - a test may raise anything
                error, traceback = str(describe(raised)), _traceback(raised)
        for text in dict.fromkeys(refusals):
            system.complain(REFUSED, text)
        check(system, () if error else self._invariants)  # it may have ended in the middle
        return RunOutcome(
            seed=world.seed,
            broken=system.complaints,
            error=error,
            traceback=traceback,
            plans=system.plans,
            facts=system.history.facts,
            turns=world.digest,
            seconds=system.history.now,
        )

    async def _live(self) -> None:
        system = self._system
        await system.start()
        await self._test(system)
        if not system.stopped_by_test:
            await asyncio.sleep(_AFTER)
            await system.await_the_end()
            await system.stop()


def _traceback(raised: BaseException) -> str:
    """Return the traceback of what a test has raised, without the frames that called the test."""
    frames = raised.__traceback__
    while frames is not None and is_of_a_library(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return "".join(format_exception(raised.with_traceback(frames)))


def same_guarantee(
    declared: Declared, agent_classes: Mapping[str, Callable[..., AgentProcess]]
) -> dict[str, Any]:
    """Return the options by which the simulated transport promises what a topology's own does.

    A topology that is made from random numbers has none: its transport is at-most-once.

    Raises:
        TopologyError: something is wrong with the topology, or its own transport can't be used.
    """
    if callable(declared):
        return {}
    try:
        transport = _read(declared, agent_classes).transport
    except TopologyError as error:
        error.add_note(_SAY_IT)
        raise
    assert transport.plugin is not None
    claims = capabilities_of(transport.plugin, transport.options, transport.where)
    return {"at_least_once": claims.at_least_once}


_SAY_IT: Final = (
    "a simulated transport promises what the topology's own does; where that can't be used, say "
    'what is to be promised: @sim.test(transport={"at_least_once": False}, ...)'
)


def _load(scenario: Scenario, numbers: random.Random) -> Topology:
    declared = scenario.topology
    if callable(declared):
        declared = declared(numbers)
    return _read(declared, scenario.agent_classes, {"type": "simulation", **scenario.transport})


def _read(
    declared: str | Path | Mapping[str, Any],
    agent_classes: Mapping[str, Callable[..., AgentProcess]],
    transport: Mapping[str, Any] | None = None,
) -> Topology:
    """Read a topology; with another transport block, if one is given."""
    if not isinstance(declared, str | Path):
        mapping = {**declared, "transport": transport} if transport else declared
        return load_topology_mapping(mapping, agent_base=AgentProcess, agent_classes=agent_classes)
    options = dict(transport or {})
    return load_topology(
        declared,
        agent_base=AgentProcess,
        agent_classes=agent_classes,
        app_dir=Path.cwd(),  # as commands do
        transport=options.pop("type", None),
        sets=[f"transport.{key}={value}" for key, value in options.items()],
    )


@contextmanager
def _interruptible(world: World) -> Iterator[None]:
    """Within the block, let Ctrl-C end the run between two turns.

    In a turn it would be an exception in the code of some agent, which its supervisor deals with.
    The second time it is one, for code that never ends its turn.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # somebody else decides what a signal does
        return

    def interrupt(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        world.at(world.now, _raise_interrupt)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


@contextmanager
def _failures_reported(report: Callable[[str], None]) -> Iterator[None]:
    """Within the block, show no log of core, but report what says that a part has failed."""
    logger, handler = logging.getLogger("civitas"), _Failures(report)
    level, propagate, handlers = logger.level, logger.propagate, logger.handlers
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


class _Failures(logging.Handler):
    """Reports what was logged as critical: something has ended unexpectedly."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__(logging.CRITICAL)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Report it."""
        self._report(record.getMessage())
