"""Faults: what is to go wrong, as data that is made before it does.

A plan is made from the seed, and nothing else decides what is in it, so it can be printed, made
smaller, and carried out again. Not every seed has every kind of fault: each draws some of those
that are allowed, because what a rare combination shows would drown in all of them together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple, Self

from civitas.messages import PRIMARY

_LENGTHS: Final = (0.1, 0.5, 1.0, 2.0, 3.0, 6.0)
_STEPS: Final = (-30.0, -1.0, 1.0, 30.0)
_COMPANY: Final = 0.3
"""How often a fault has a crash just before it."""

_PAUSES: Final = (0.0, 0.05, 0.3, 1.0, 3.0)
"""Seconds between two faults."""


class Fault(NamedTuple):
    """One thing that goes wrong.

    Attributes:
        at: seconds after the beginning of the storm.
        kind: what it is; a field of `Faults`.
        target: a process, an agent, or for a partition the processes on one side, with commas.
        seconds: how long it lasts, or how far a clock steps.
    """

    at: float
    kind: str
    target: str
    seconds: float = 0.0

    @property
    def what(self) -> str:
        """What goes wrong, without when."""
        return f"{self.kind} {self.target}" + (f" {self.seconds:g} s" if self.seconds else "")

    def __str__(self) -> str:
        return f"{self.at:.2f} s: {self.what}"


MEANINGS: Final = {
    "crash": "its next `handle` raises, at its beginning",
    "late_crash": "its next `handle` raises, at its end",
    "kill": "killed, and started again after that time",
    "kill_primary": "killed, and started again after that time",
    "stop": "stopped in order, and started again after that time",
    "pause": "stands still for that time",
    "block": "its next `handle` blocks the event loop for that time",
    "slow": "200 times slower for that time",
    "partition": "no frames between these processes and all others",
    "link": "its connection is down for that time",
    "server": "the server in the middle is away for that time",
    "clock": "its wall clock steps by that time",
    "drift": "its clocks run 2% fast for that time",
    "slow_start": "its next `on_start` takes that time longer",
    "slow_stop": "its next `on_stop` takes that time longer",
    "slow_handle": "its next `handle` takes that time longer",
    "start_failure": "its next `on_start` raises, when it is restarted",
    "done": "says in its next `handle` that it is done",
    "done_at_start": "says in its next `on_start` that it is done",
    "loss": "a tenth of the frames are lost for that time",
    "repetition": "control messages arrive twice at times, for that time",
    "spikes": "a tenth of the frames take long, for that time",
}
"""What each kind of fault in a plan does to its target."""


class Cast(NamedTuple):
    """Who can suffer."""

    workers: tuple[str, ...]
    agents: tuple[str, ...]
    durable: bool = False

    @property
    def processes(self) -> tuple[str, ...]:
        """All processes of the system."""
        return (PRIMARY, *self.workers)


@dataclass(frozen=True)
class Faults:
    """Which faults there may be. All times are drawn from the seed.

    Attributes:
        crash: an agent's `handle` raises, at its beginning or at its end.
        group: several agents crash at once.
        kill: a worker process is killed, and started again after a while.
        kill_primary: so is the primary.
        stop: a worker is stopped in order, and started again.
        pause: a process stands still, and goes on.
        block: an agent blocks its process' event loop.
        slow: a process is 200 times slower.
        partition: some processes do not hear the others.
        link: a process loses its connection, and gets it back.
        server: the server in the middle goes, and comes back.
        clock: the wall clock of a process steps.
        drift: the clock of a process runs faster or slower.
        slow_start: an agent's `on_start` takes seconds.
        slow_stop: so does its `on_stop`.
        slow_handle: so does its `handle`.
        start_failure: an agent's `on_start` raises when it is restarted.
        done: an agent says that it is done, in its `handle` or in its next `on_start`.
        loss: frames are lost for a while.
        repetition: control messages arrive twice for a while.
        spikes: frames take long for a while.
        most: how many faults a storm has at most.
    """

    crash: bool = False
    group: bool = False
    kill: bool = False
    kill_primary: bool = False
    stop: bool = False
    pause: bool = False
    block: bool = False
    slow: bool = False
    partition: bool = False
    link: bool = False
    server: bool = False
    clock: bool = False
    drift: bool = False
    slow_start: bool = False
    slow_stop: bool = False
    slow_handle: bool = False
    start_failure: bool = False
    done: bool = False
    loss: bool = False
    repetition: bool = False
    spikes: bool = False
    most: int = 8

    @classmethod
    def every(cls, *, without: Sequence[str] = (), most: int = 8) -> Self:
        """Return all faults but some."""
        kinds = {kind: kind not in without for kind in _kinds()}
        return cls(**kinds, most=most)

    @property
    def kinds(self) -> list[str]:
        """The names of those that there may be."""
        return [kind for kind in _kinds() if getattr(self, kind)]

    def plan(self, numbers: random.Random, cast: Cast, seconds: float) -> tuple[Fault, ...]:
        """Return what is to go wrong within so many seconds."""
        kinds = [kind for kind in self.kinds if cast.workers or kind not in _NEEDS_WORKERS]
        if not kinds or not self.most:
            return ()
        drawn = numbers.sample(kinds, min(len(kinds), numbers.choice((1, 2, 2, 3, 4, len(kinds)))))
        if self.crash and "crash" not in drawn and numbers.random() < 0.5:
            drawn.append("crash")  # what most other faults are about
        at, plan = 0.0, list[Fault]()
        for _ in range(numbers.randint(1, self.most)):
            kind = numbers.choice(drawn)
            if "crash" in drawn and numbers.random() < _COMPANY:
                plan += _crash(numbers, cast, kind, at)  # rules meet where two things happen
                at += numbers.choice(_PAUSES[:3])
            plan += _MAKERS.get(kind, _of_process)(numbers, cast, kind, at)
            at += numbers.choice(_PAUSES)
            if at > seconds:
                break
        return tuple(plan)


def _kinds() -> list[str]:
    return [each.name for each in fields(Faults) if each.name != "most"]


Maker = Callable[[random.Random, Cast, str, float], list[Fault]]


def _of_process(numbers: random.Random, cast: Cast, kind: str, at: float) -> list[Fault]:
    return [Fault(at, kind, numbers.choice(cast.processes), numbers.choice(_LENGTHS))]


def _of_worker(numbers: random.Random, cast: Cast, kind: str, at: float) -> list[Fault]:
    return [Fault(at, kind, numbers.choice(cast.workers), numbers.choice((0.0, *_LENGTHS)))]


def _of_primary(numbers: random.Random, _cast: Cast, kind: str, at: float) -> list[Fault]:
    return [Fault(at, kind, PRIMARY, numbers.choice(_LENGTHS))]


def _of_agent(numbers: random.Random, cast: Cast, kind: str, at: float) -> list[Fault]:
    return [Fault(at, kind, numbers.choice(cast.agents), numbers.choice(_LENGTHS))]


def _of_all(numbers: random.Random, _cast: Cast, kind: str, at: float) -> list[Fault]:
    return [Fault(at, kind, "all", numbers.choice(_LENGTHS))]


def _crash(numbers: random.Random, cast: Cast, _kind: str, at: float) -> list[Fault]:
    return [Fault(at, numbers.choice(("crash", "late_crash")), numbers.choice(cast.agents))]


def _done(numbers: random.Random, cast: Cast, _kind: str, at: float) -> list[Fault]:
    return [
        Fault(at, numbers.choice(("done", "done", "done_at_start")), numbers.choice(cast.agents))
    ]


def _group(numbers: random.Random, cast: Cast, _kind: str, at: float) -> list[Fault]:
    count, spread = numbers.randint(2, 5), numbers.choice((0.0, 0.0, 0.3))
    return [
        Fault(at + numbers.uniform(0.0, spread), "crash", numbers.choice(cast.agents))
        for _ in range(count)
    ]


def _start_failure(numbers: random.Random, cast: Cast, kind: str, at: float) -> list[Fault]:
    """A restart is what fails, so there is one."""
    agent = numbers.choice(cast.agents)
    return [Fault(at, kind, agent), Fault(at, "crash", agent)]


def _clock(numbers: random.Random, cast: Cast, kind: str, at: float) -> list[Fault]:
    return [Fault(at, kind, numbers.choice(cast.processes), numbers.choice(_STEPS))]


def _partition(numbers: random.Random, cast: Cast, kind: str, at: float) -> list[Fault]:
    there = list(cast.processes)
    numbers.shuffle(there)
    side = sorted(there[: numbers.randint(1, max(1, len(there) - 1))])
    return [Fault(at, kind, ",".join(side), numbers.choice(_LENGTHS))]


_MAKERS: Final[dict[str, Maker]] = {
    "crash": _crash,
    "group": _group,
    "kill": _of_worker,
    "stop": _of_worker,
    "kill_primary": _of_primary,
    "partition": _partition,
    "done": _done,
    "clock": _clock,
    "start_failure": _start_failure,
    **dict.fromkeys(("slow_start", "slow_stop", "slow_handle", "block"), _of_agent),
    **dict.fromkeys(("server", "loss", "repetition", "spikes"), _of_all),
}

_NEEDS_WORKERS: Final = {"kill", "stop", "partition"}
