"""Object checks: rules about what the objects of an agent do, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import inf
from typing import Final

from civitas.messages import PRIMARY
from civitas.testing.simulation.history import DONE, Handling
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.system import System
from civitas.testing.simulation.world import START

_LEAVING: Final = 1.0
"""Seconds before its end in which a primary that leaves decides about nobody any more."""

_UNHEARD: Final = 0.05
"""Seconds before the end of its process in which nobody may hear what an agent says."""


def one_object_at_once(system: System) -> Iterator[str]:
    """No two live objects of one name handle at once.

    This holds under all faults: an agent has one process, and of that a second one is started only
    when the first has ended.
    """
    at_work: defaultdict[str, list[Handling]] = defaultdict(list)
    for handling in system.history.handlings:
        going = at_work[handling.agent]
        going[:] = [each for each in going if _overlap(each, handling)]
        for other in going:
            if other.object != handling.object:
                yield (
                    f"{handling.agent}: {other.process.label}#{other.object} and "
                    f"{handling.process.label}#{handling.object} at {handling.began_at:.3f}"
                )
        going.append(handling)


def no_more_in_hand_than_allowed(system: System) -> Iterator[str]:
    """An object has no more messages in hand at once than its `concurrency`."""
    most = {(each.agent, each.number): each.concurrency for each in system.history.objects}
    at_work: defaultdict[tuple[str, int], list[Handling]] = defaultdict(list)
    for handling in system.history.handlings:
        key = handling.agent, handling.object
        going = at_work[key]
        going[:] = [each for each in going if _overlap(each, handling)]
        going.append(handling)
        allowed = most.get(key, 1)
        if len(going) > allowed:
            yield f"{handling.agent}#{handling.object} has {len(going)} in hand of {allowed}"


def one_object_lives(system: System) -> Iterator[str]:
    """In one process, an object of an agent begins only when the one before it has ended."""
    last: dict[tuple[SimulatedProcess, str], float | None] = {}
    for each in system.history.objects:
        key = each.process, each.agent
        if key in last and each.outcome:
            ended = last[key]
            if ended is None or ended > each.began_at + 1e-9:
                yield f"{each.agent}#{each.number} began before the object before it had ended"
        last[key] = each.ended_at if each.outcome == "done" else each.began_at


def done_stays_done(system: System) -> Iterator[str]:
    """An agent that has said it is done is started no more, while its primary lives to know it."""
    finished = system.history.finished
    ends = [death.at for death in system.history.deaths if death.agent == PRIMARY]
    primaries = [each for each in system.deployment.incarnations if each.name == PRIMARY]
    ends += [each.ended_at - _LEAVING for each in primaries if each.ended_at is not None]
    for each in system.history.objects:
        done_at = finished.get(each.agent)
        if done_at is None or any(done_at - 1.0 < end < each.began_at for end in ends):
            continue
        if each.began_at > done_at + 1.0 and not _said_in_vain(system, each.agent, done_at):
            yield f"{each.agent}#{each.number} began in {each.process.label}, done at {done_at:.3f}"


def _said_in_vain(system: System, agent: str, done_at: float) -> bool:
    """Return whether the process of an agent that is done has ended before anybody could hear it.

    It is done when it has been stopped.
    """
    said = [e for e in system.history.objects if e.agent == agent and e.began_at <= done_at][-1]
    name, _, _ = said.process.label.rpartition(".")
    heard_at = inf if said.ended_at is None else said.ended_at + _UNHEARD
    ends = [death.at for death in system.history.deaths if death.agent == name]
    end = min((each for each in ends if each >= done_at), default=inf)
    if end == inf:  # it lives to say so
        return False
    return end < heard_at or _cut_off(system, said.process.label, heard_at, end)


def _cut_off(system: System, process: str, since: float, until: float) -> bool:
    """Return whether a process did not hear the primary from one time to another."""
    for side, rest, began, ended in sorted(system.weather.cuts, key=lambda cut: cut[2]):
        primaries = {each for each in side | rest if each.startswith(f"{PRIMARY}.")}
        if rest:
            apart = process in side | rest and (process in side) != bool(primaries & side)
        else:
            apart = process in side or bool(primaries)
        if apart and began <= since:
            since = max(since, ended)
    return since >= until


def nothing_runs_after_on_stop(system: System) -> Iterator[str]:
    """Nothing of an object runs once its `on_stop` is called: no handler, no background task."""
    objects = {(each.agent, each.number): each for each in system.history.objects}
    for each in system.history.handlings:
        made = objects.get((each.agent, each.object))
        if made is not None and made.on_stop is not None and made.on_stop < each.began:
            what = "tick" if each.tick else "message"
            yield f"{each.agent}#{each.object} began with a {what} at {each.began_at:.3f}"
    yield from system.history.late_steps


def a_retry_keeps_its_place(system: System) -> Iterator[str]:
    """With one message in hand at once, none comes between two attempts of another one."""
    if bool(getattr(system.topology.transport.options, "at_least_once", False)):
        return  # a transport may give what has failed once more, later
    alone = {(e.agent, e.number) for e in system.history.objects if e.concurrency == 1}
    last: dict[tuple[str, int], str] = {}
    failed: set[tuple[str, int, str]] = set()
    for each in system.history.handlings:
        key = each.agent, each.object
        again = (*key, each.message.id) in failed
        if key in alone and again and last[key] != each.message.id:
            yield f"{each.agent}#{each.object} handled {last[key][-8:]} before a retry"
        if each.outcome != DONE:
            failed.add((*key, each.message.id))
        last[key] = each.message.id


def _overlap(one: Handling, other: Handling) -> bool:
    """Return whether one was not over when the other began, and its process lived."""
    died_at = one.process.died_at
    lived = died_at is None or died_at - START > other.began_at
    return lived and (one.ended is None or one.ended > other.began)
