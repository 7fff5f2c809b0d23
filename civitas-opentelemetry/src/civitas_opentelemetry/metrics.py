"""Metrics: how many messages, how long they are handled, and what has gone wrong.

To add one to a counter of OpenTelemetry's SDK takes as long as to send a message. So what happens
with each message is counted here, in a dict, and read when the metrics are collected. Counters are
observable then, and one object for all nodes of a process and meter: a meter has each name once.
There is no such way for a histogram, so that of durations has, unless an option says otherwise,
only executions that are sampled. Whether a trace is sampled does not depend on how long it takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from threading import Lock
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from civitas_opentelemetry.attributes import (
    AGENT,
    DESTINATION,
    ERROR_TYPE,
    OPERATION_NAME,
    PROCESS,
    REASON,
    SEND,
    SYSTEM,
    error_type,
    shown,
)

_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds: the bounds of the buckets that the conventions name."""

_MOST: Final = 1_000
"""Roles that are told apart: names that are sent to may be anybody's."""

_OTHERS: Final = "_OTHER"
"""What stands for a role beyond these."""


_Key: TypeAlias = tuple[str, str | None]
"""A role, and the class of an error if there was one."""

_Counts: TypeAlias = dict[_Key, int]
"""No Counter: to add one in it takes half as long again."""


class Metrics:
    """The metrics of all nodes that share a meter."""

    def __init__(self, meter: Meter) -> None:
        self._sent: _Counts = {}
        self._processed: _Counts = {}
        meter.create_observable_counter(
            "messaging.client.sent.messages",
            [partial(_observe, SEND, self._sent)],
            unit="{message}",
            description="Messages that agents, and callers of nodes, have begun to send",
        )
        meter.create_observable_counter(
            "messaging.client.consumed.messages",
            [partial(_observe, PROCESS, self._processed)],
            unit="{message}",
            description="Executions of handlers",
        )
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="How long handlers took",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        self._dead = meter.create_counter(
            "civitas.dead_letters",
            unit="{message}",
            description="Messages that were not delivered",
        )
        self._crashes = meter.create_counter(
            "civitas.agent.crashes", unit="{crash}", description="Crashes of agents"
        )
        self._restarts = meter.create_counter(
            "civitas.agent.restarts", unit="{restart}", description="Restarts of agents"
        )

    def sent(self, role: str) -> None:
        """Count a message that is sent."""
        _count(self._sent, (role, None))

    def processed(self, role: str, error: str | None) -> None:
        """Count an execution of a handler; `error` is the class of what it has raised."""
        _count(self._processed, (role, error))

    def lasted(self, role: str, seconds: float, error: str | None) -> None:
        """Record how long an execution of a handler took."""
        self._duration.record(seconds, _of(PROCESS, (role, error)))

    def dead_letter(self, reason: str) -> None:
        """Count a message that is not delivered."""
        self._dead.add(1, {SYSTEM: "civitas", REASON: shown(reason)})

    def crashed(self, agent: str, error: BaseException) -> None:
        """Count a crash."""
        self._crashes.add(1, {AGENT: shown(agent), ERROR_TYPE: error_type(error)})

    def restarted(self, agent: str) -> None:
        """Count a restart."""
        self._restarts.add(1, {AGENT: shown(agent)})


_shared: Final[WeakKeyDictionary[MeterProvider, Metrics]] = WeakKeyDictionary()
_lock: Final = Lock()


def metrics_of(provider: MeterProvider, scope: str, version: str) -> Metrics:
    """Return the metrics of a provider: one object, however many nodes the process has."""
    with _lock:
        found = _shared.get(provider)
        if found is None:
            found = _shared[provider] = Metrics(provider.get_meter(scope, version))
        return found


def _count(counts: _Counts, key: _Key) -> None:
    try:
        counts[key] += 1
    except KeyError:
        known = key if len(counts) < _MOST else (_OTHERS, None)
        counts.setdefault(known, 0)  # a node in another thread may count the same meanwhile
        counts[known] += 1


def _observe(operation: str, counts: _Counts, _: CallbackOptions) -> Iterable[Observation]:
    """Tell the counts of an operation; in the thread of whatever collects."""
    return [Observation(count, _of(operation, key)) for key, count in counts.copy().items()]


def _of(operation: str, key: _Key) -> dict[str, str]:
    role, error = key
    found = {SYSTEM: "civitas", OPERATION_NAME: operation, DESTINATION: shown(role)}
    return found if error is None else found | {ERROR_TYPE: error}
