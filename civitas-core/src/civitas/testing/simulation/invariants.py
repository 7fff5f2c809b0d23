"""Invariants: what a test asks of its system, beyond the `checks` that every system is put to.

An invariant is a function of a `System`. It yields a text for each thing that it finds broken, or
raises (an `assert` will do); its name is that of the rule. It is called when the run is over: the
faults have ended, and the system has been stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from typing import TypeAlias

from civitas import envelope
from civitas.components import make_named_serializer
from civitas.errors import describe
from civitas.messages import Message
from civitas.testing.simulation.history import DONE, Handling
from civitas.testing.simulation.plugin import server_of
from civitas.testing.simulation.system import System
from civitas.transport import Kept

Invariant: TypeAlias = Callable[[System], Iterable[str] | None]
"""Yields what it finds broken, or raises."""

Key: TypeAlias = Callable[[Message], Hashable]
"""Says which messages are the same; it may return anything that can be compared."""


_Find: TypeAlias = Callable[[System, Container[str]], Iterator[str]]


def at_most_once(*agents: str, key: Key | None = None) -> Invariant:
    """Return the invariant that an agent begins with no message twice.

    A retry that the agent has asked for itself (`ErrorAction.RETRY`) is no second time.

    Args:
        agents: names of agents; all of the topology when left out.
        key: which messages are the same, such as `lambda message: message.payload["order"]`;
            those of one id when left out. Messages with a key of `None` are left out, and ticks
            of timers have none.
    """
    return _About("at most once", agents, lambda system, names: handled_again(system, names, key))


def nothing_lost(*agents: str, key: Key | None = None) -> Invariant:
    """Return the invariant that an agent handles to the end what was accepted for it.

    Accepted is what `send` has returned for, and what was answered. On an at-least-once transport
    what still waits, or has become a dead letter, is not lost.

    Args:
        agents: names of agents; all of the topology when left out.
        key: which messages are the same: one of them has to be handled. As for `at_most_once`.
    """
    return _About("nothing lost", agents, lambda system, names: _lost(system, names, key or _id))


def broken(system: System, invariants: Sequence[Invariant]) -> Iterator[tuple[str, str]]:
    """Return what the invariants of a test find: the name of the rule, and what it says."""
    for each in invariants:
        rule = getattr(each, "__name__", type(each).__name__).replace("_", " ")
        try:
            for text in each(system) or ():
                yield rule, text
        except Exception as error:  # noqa: BLE001 - a test may raise anything
            yield rule, str(describe(error))


def kept(system: System) -> list[Message]:
    """Return the messages that an at-least-once transport still has, dead letters included."""
    server = server_of(system.world)
    used = system.topology.serializer
    assert used.plugin is not None
    read = make_named_serializer(used.plugin, used.options).deserialize
    frames = [each.frame for which in Kept for each in server.messages(which)]
    return [read(envelope.open(envelope.unsigned(frame)).body) for frame in frames]


def handled_again(system: System, agents: Container[str], key: Key | None = None) -> Iterator[str]:
    """Find what agents have begun with more than once, but for retries of their own."""
    times: Counter[tuple[str, Hashable]] = Counter()
    shown: dict[tuple[str, Hashable], str] = {}
    last: dict[tuple[str, int, str], Handling] = {}
    for each in system.history.handlings:
        if each.agent not in agents or (each.tick and key is not None):
            continue
        what = (key or _id)(each.message)
        if what is None:
            continue
        before = last.get((each.agent, each.object, each.message.id))
        last[each.agent, each.object, each.message.id] = each
        if before is not None and before.outcome != DONE:
            continue  # the same object tries once more: it has asked for that itself
        times[each.agent, what] += 1
        shown[each.agent, what] = f"{each.message.sender}->{each.agent} {_shown(what)}"
    for (agent, what), count in times.items():
        if count > 1:
            yield f"{agent} has begun {count} times with {shown[agent, what]}"


def _lost(system: System, agents: Container[str], key: Key) -> Iterator[str]:
    handled = {
        (each.agent, key(each.message))
        for each in system.history.handlings
        if each.outcome == DONE and each.agent in agents and not each.tick
    }
    handled |= {(each.recipient, key(each)) for each in kept(system)}
    begun = system.history.begun()
    for each in system.history.sendings:
        message = each.message
        if not each.accepted or message.recipient not in agents:
            continue
        what = key(message)
        if what is not None and (message.recipient, what) not in handled:
            end = "begun, and not handled to the end" if message.id in begun else "never handled"
            shown = f"{message.sender}->{message.recipient} {_shown(what)}"
            yield f"{shown}, accepted at {each.ended_at:.3f}, was {end}"


def _id(message: Message) -> str:
    return message.id


def _shown(what: Hashable) -> str:
    return str(what)[-8:]


class _About:
    """An invariant about some agents, or about all of a system."""

    def __init__(self, name: str, agents: Sequence[str], find: _Find) -> None:
        self.__name__ = f"{name} ({', '.join(agents)})" if agents else name
        self._agents = agents
        self._find = find

    def __call__(self, system: System) -> Iterator[str]:
        system.history.expect(*self._agents)
        return self._find(system, self._agents or system.cast.agents)
