"""Checks: each yields a text for what it finds broken in a system; its name is the rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Final, NamedTuple

from civitas._typed.refusals import INVALID, UNHANDLED
from civitas.client import Client
from civitas.messages import PRIMARY
from civitas.testing.simulation.history import AgentObject, Handling, Sending
from civitas.testing.simulation.invariants import Invariant, broken, handled_again, kept
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.system import System
from civitas.testing.simulation.world import START

_COUNTED: Final = {"handle", "on_start"}
"""Crashes that count towards a restart intensity."""

_NOT_COUNTED: Final = {"stop", "done", "done_at_start", "start_failure", "slow_stop"}
"""Faults in which an agent may crash while it is stopped, or is done: nobody counts that."""

_DELAYING: Final = {"link", "server", "partition", "loss", "spikes", "pause", "slow"}
"""Faults by which a crash is heard late: perhaps when the agent is to be stopped anyway."""

_LATE: Final = 0.1
"""Seconds that the end of an ask may take beyond its timeout."""

_UNHEARD: Final = 0.05
"""Seconds before the end of its process in which nobody may hear what an agent says."""

_LEAVING: Final = 1.0
"""Seconds before its end in which a primary that leaves decides about nobody any more."""

_NOT_MESSAGES: Final = (
    *("reply", "while it was handled", "system frame", "replayed", "former node"),
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
        stalled = _stalled(system, each.process, each.began_at, ended)
        if ended - each.began_at - each.timeout - stalled > _LATE:
            how = each.outcome or "not ended"
            yield f"{_named(each)}: {ended - each.began_at:.3f} s of {each.timeout:g} s ({how})"


def answers_come_from_handling(system: System) -> Iterator[str]:
    """What was answered was handled."""
    begun = system.history.begun()
    for each in system.history.sendings:
        if each.outcome == "answered" and each.message.id not in begun:
            yield f"{_named(each)} was answered, and never handled"


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
        if all_done and not system.stopped_by_test:
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
        if took > longest + _STOP_BOUND + _stalled(system, each.process, each.stop_began, ended):
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
    one_object_at_once,
    no_more_in_hand_than_allowed,
    one_object_lives,
    done_stays_done,
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


def _overlap(one: Handling, other: Handling) -> bool:
    """Return whether one was not over when the other began, and its process lived."""
    died_at = one.process.died_at
    lived = died_at is None or died_at - START > other.began_at
    return lived and (one.ended is None or one.ended > other.began)


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
    handled = len({h.message.id for h in system.history.handlings}) + system.history.probes_handled
    return _Account(sent, handled, lost, unknown, dropped, waiting)


def _intensity(system: System) -> tuple[int, float]:
    root = system.topology.supervision.block
    return root.max_restarts, root.restart_window


def _stalled(system: System, process: SimulatedProcess, began: float, ended: float) -> float:
    """Return for how long a process may have stood still between two times."""
    return sum(
        until - since
        for who, since, until in (*system.weather.stalls, *system.history.stalls)
        if who is process and since < ended and until > began
    )
