"""Checks: each yields a text for what it finds broken in a system; its name is the rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from civitas._typed.refusals import INVALID, UNHANDLED
from civitas.client import Client
from civitas.testing.simulation import object_checks, tick_checks
from civitas.testing.simulation.history import AgentObject, Sending
from civitas.testing.simulation.invariants import Invariant, broken, handled_again, kept
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.system import System
from civitas.testing.simulation.world import START

_COUNTED: Final = {"handle", "on_start", "background"}
"""Crashes that count towards a restart intensity."""

_NOT_COUNTED: Final = {"stop", "done", "done_at_start", "start_failure", "slow_stop"}
"""Faults in which an agent may crash while it is stopped, or is done: nobody counts that."""

_DELAYING: Final = {"link", "server", "partition", "loss", "spikes", "pause", "slow"}
"""Faults by which a crash is heard late: perhaps when the agent is to be stopped anyway."""

_LATE: Final = 0.1
"""Seconds that the end of an ask may take beyond its timeout."""

_EXPLAINED: Final = 0.1
"""Seconds more in which an ask of a second or longer finds out why it has no answer."""

_NOT_MESSAGES: Final = (
    *("reply", "while it was handled", "was retried", "system frame", "replayed", "former node"),
    *(INVALID, UNHANDLED, "its agent refused it"),
    *("before it was answered", "before it answered"),
)
"""Reasons of drops that are not of a message which nobody has begun to handle."""

_STOP_BOUND: Final = 16.0
"""Seconds that a stop takes beyond the longest `shutdown_timeout`: the transport, callbacks."""


def order(system: System) -> Iterator[str]:
    """What one sender has sent one agent is handled in that order.

    "Before" is: its send had returned when the other one was called. On a transport that gives
    messages again, the first time counts.
    """
    sendings = {each.message.id: each for each in system.history.sendings}
    newest: dict[tuple[SimulatedProcess, str, str], Sending] = {}
    seen: set[tuple[str, str]] = set()
    for handling in system.history.handlings:
        sending = sendings.get(handling.message.id)
        if sending is None or (handling.agent, handling.message.id) in seen:
            continue
        seen.add((handling.agent, handling.message.id))
        key = sending.process, handling.message.sender, handling.agent
        before = newest.get(key)
        if before is not None and sending.ended is not None and sending.ended < before.began:
            yield f"{handling.agent}: {_named(sending)} was handled after {_named(before)}"
        if before is None or sending.began > before.began:
            newest[key] = sending


def at_most_once(system: System) -> Iterator[str]:
    """Where nothing is given again, nothing is handled twice."""
    if is_durable(system):
        return
    yield from handled_again(system, system.cast.agents)


def nothing_accepted_is_lost(system: System) -> Iterator[str]:
    """At least once: what was accepted is handled, or waits, or is a dead letter."""
    if not is_durable(system):
        return
    known = {handling.message.id for handling in system.history.handlings}
    known |= {message.id for message in kept(system)}
    finished = system.history.finished
    for each in system.history.sendings:
        lost = each.accepted and each.message.id not in known
        if lost and each.message.recipient not in finished:
            yield f"{_named(each)}, accepted at {each.ended_at:.3f}, is nowhere"


def asks_end_in_time(system: System) -> Iterator[str]:
    """Every ask ends within its timeout, also in a node that stops."""
    for each in system.history.sendings:
        if not each.is_ask or each.timeout is None:
            continue
        died_at = each.process.died_at
        last = system.history.now if died_at is None else died_at - START
        ended = last if each.ended is None else each.ended_at
        stalled = system.stalled(each.process, each.began_at, ended)
        explained = _EXPLAINED if each.timeout >= 1.0 else 0.0
        if ended - each.began_at - each.timeout - stalled > _LATE + explained:
            how = each.outcome or "not ended"
            yield f"{_named(each)}: {ended - each.began_at:.3f} s of {each.timeout:g} s ({how})"


def answers_come_from_handling(system: System) -> Iterator[str]:
    """What was answered was handled."""
    begun = system.history.begun()
    for each in system.history.sendings:
        if each.outcome == "answered" and each.message.id not in begun:
            yield f"{_named(each)} was answered, and never handled"


def no_message_goes_without_a_word(system: System) -> Iterator[str]:
    """At most once: what was accepted is begun, or counted as lost or dropped by some node."""
    if is_durable(system) or not _is_whole(system):
        return
    begun = system.history.begun()
    missing = [e for e in system.history.sendings if e.accepted and e.message.id not in begun]
    account = _account(system)
    if len(missing) > account.lost + account.dropped + account.waiting:
        names = ", ".join(_named(each) for each in missing[:5])
        yield f"{len(missing)} accepted and never handled ({account}): {names}"


def the_counters_are_exact(system: System) -> Iterator[str]:
    """At most once: sent = handled + refused + lost + dropped, over all nodes."""
    if is_durable(system) or not _is_whole(system):
        return
    account = _account(system)
    rest = account.sent - account.handled - account.lost - account.dropped - account.waiting
    if not -account.unknown <= rest <= 0:  # what was open when a node had to be given up
        yield f"sent is {rest} off: {account}"


def the_end_has_a_reason(system: System) -> Iterator[str]:
    """The runtime ends when all agents are done, or the root gives up; and then it does."""
    ended, history = system.deployment.ended, system.history
    all_done = not system.running_agents()
    if ended is None:
        if system.outlives_its_agents:
            yield "all agents are done, and the runtime goes on"
        return
    if ended.code == 0:
        if not all_done:
            yield f"the runtime ended with 0 while {system.running_agents()} were not done"
        return
    most, window = _intensity(system)
    causes = [each.at for each in history.causes if each.what in _COUNTED]
    causes += [each.at for each in history.deaths]
    worst = max((sum(t - window < c <= t for c in causes) for t in causes), default=0)
    # One that was declared dead has counted before it heard so itself, if it ever has.
    cut_off = len(system.weather.cuts) * len(system.cast.workers)
    if worst + cut_off <= most:
        failure = None if ended.node is None else ended.node.failure
        yield f"the root gave up after {worst} failures in {window:g} s of {most}: {failure!r}"


def intensity_is_kept(system: System) -> Iterator[str]:
    """A flat tree without ends of processes gives up exactly beyond its intensity."""
    root = system.topology.supervision
    if system.history.deaths or kinds(system) & _NOT_COUNTED:
        return
    if len(list(root.supervisors())) > 1 or system.deployment.ended is not None:
        return
    most, window = _intensity(system)
    unheard = _stopped_on_purpose(system) if kinds(system) & _DELAYING else set()
    causes = [e.at for e in system.history.causes if e.what == "handle" and e.agent not in unheard]
    if root.block.strategy != "ONE_FOR_ONE":  # who crashes as its group is being stopped is down
        ends = [o.ended_at for o in system.history.objects if o.ended_at is not None]
        causes = [t for t in causes if not any(t - _LATE < end < t for end in ends)]
    close = any(abs(b - a - window) < 0.5 for a in causes for b in causes)
    worst = max((sum(t - window < c <= t for c in causes) for t in causes), default=0)
    if worst > most and not close:
        yield f"{worst} failures in {window:g} s of {most}, and the root has not given up"


def _stopped_on_purpose(system: System) -> set[str]:
    """Return the agents that were restarted, and had not crashed as far as was known."""
    history, followed, seen = system.history, list[AgentObject](), set[str]()
    for each in reversed(history.objects):
        if each.agent in seen and each.ended_at is not None:
            followed.append(each)
        seen.add(each.agent)
    return {
        each.agent
        for each in followed
        if not any(
            cause.agent == each.agent and abs(cause.at - (each.ended_at or 0.0)) <= _LATE
            for cause in history.causes
        )
    }


def stops_end(system: System) -> Iterator[str]:
    """A stop in order ends within its bound."""
    blocks = [each.block for each in system.topology.supervision.agents()]
    longest = max((block.shutdown_timeout or 30.0 for block in blocks), default=30.0)
    for each in system.deployment.incarnations:
        if each.stop_began is None or not each.told_to_stop:
            continue
        ended = system.history.now if each.stop_ended is None else each.stop_ended
        if each.stop_ended is None and each.killed:
            continue
        took = ended - each.stop_began
        if took > longest + _STOP_BOUND + system.stalled(each.process, each.stop_began, ended):
            yield f"{each.process.label} took {took:.1f} s to stop"


def nothing_is_left(system: System) -> Iterator[str]:
    """A node that has stopped leaves no task, and nothing that is to be called later."""
    for each in system.deployment.incarnations:
        if each.left:
            yield f"{each.process.label}: {', '.join(each.left[:5])}"


Check = Callable[[System], Iterator[str]]

CHECKS: Final[tuple[Check, ...]] = (
    order,
    at_most_once,
    nothing_accepted_is_lost,
    asks_end_in_time,
    answers_come_from_handling,
    object_checks.one_object_at_once,
    object_checks.no_more_in_hand_than_allowed,
    object_checks.one_object_lives,
    object_checks.done_stays_done,
    object_checks.nothing_runs_after_on_stop,
    object_checks.a_retry_keeps_its_place,
    tick_checks.one_tick_is_queued,
    tick_checks.the_grid_is_kept,
    no_message_goes_without_a_word,
    the_counters_are_exact,
    the_end_has_a_reason,
    intensity_is_kept,
    stops_end,
    nothing_is_left,
)


def check(system: System, invariants: Sequence[Invariant] = ()) -> None:
    """Let the system complain of every rule that is broken, those of its test included."""
    for rule, text in broken(system, (*CHECKS, *invariants)):
        system.complain(rule, text)


# --- parts ------------------------------------------------------------------------------------


def is_durable(system: System) -> bool:
    """Return whether the system's transport is at-least-once."""
    return bool(getattr(system.topology.transport.options, "at_least_once", False))


def kinds(system: System) -> set[str]:
    """Return the kinds of faults that there were."""
    return {fault.kind for plan in system.plans for fault in plan}


def _named(sending: Sending) -> str:
    message = sending.message
    return f"{message.sender}->{message.recipient} {message.id[-8:]} at {sending.began_at:.3f}"


def _is_whole(system: System) -> bool:
    """Return whether no process has taken its counters with it."""
    return not system.history.deaths


class _Account(NamedTuple):
    sent: int
    handled: int
    lost: int
    unknown: int
    dropped: int
    waiting: int


def _account(system: System) -> _Account:
    """Return what all nodes have counted, of messages."""
    sent = lost = unknown = dropped = waiting = 0
    for each in system.deployment.incarnations:
        if each.node is None:
            continue
        bus = each.node.components.bus
        sent += bus.sent
        counts = bus.dead_letters.counts.items()
        dropped += sum(n for reason, n in counts if not any(w in reason for w in _NOT_MESSAGES))
        if bus.accounting is not None:
            lost += sum(bus.accounting.lost.values())
            unknown += bus.accounting.unknown
        if not isinstance(each.node, Client) and each.started:
            waiting += sum(agent.mailbox_depth for agent in each.node.stats().agents)
    begun = {each.message.id for each in system.history.handlings if not each.tick}
    handled = len(begun) + system.history.probes_handled
    return _Account(sent, handled, lost, unknown, dropped, waiting)


def _intensity(system: System) -> tuple[int, float]:
    root = system.topology.supervision.block
    return root.max_restarts, root.restart_window
