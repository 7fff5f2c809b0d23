"""Supervisor: a part of the supervision tree, as its author declares it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from civitas._agents.backoff import BackoffKind
from civitas._agents.settings import checked_choice, checked_seconds, checked_whole
from civitas._bus.arguments import kind_of
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas._supervision.remote import RemoteChild
from civitas._supervision.restart import RestartPolicy, Strategy
from civitas.errors import ConfigurationError
from civitas.messages import name_problem
from civitas.process import AgentProcess

Child: TypeAlias = "AgentProcess | Supervisor | RemoteChild"


class Supervisor:
    """A node of the supervision tree. A `Runtime` runs the tree; see `civitas.runtime`.

    Args:
        name: the supervisor's name.
        children: agents and supervisors, in the order in which they start; None is none, too.
        strategy: ONE_FOR_ONE, ONE_FOR_ALL or REST_FOR_ONE; upper or lower case.
        max_restarts: more crashes than this within `restart_window` escalate to the parent.
        restart_window: seconds.
        backoff: CONSTANT, LINEAR or EXPONENTIAL (with jitter); upper or lower case.
        backoff_base: first delay before a restart, in seconds.
        backoff_max: longest delay, in seconds.

    Raises:
        ConfigurationError: a value is none of these.
    """

    def __init__(
        self,
        name: str,
        children: Iterable[Child] | None = (),
        strategy: str | Strategy = "ONE_FOR_ONE",
        max_restarts: int = 3,
        restart_window: float = 60.0,
        backoff: str | BackoffKind = "CONSTANT",
        backoff_base: float = 1.0,
        backoff_max: float = 60.0,
    ) -> None:
        problem = name_problem(name)
        if problem is not None:
            raise ConfigurationError(f"{name!r} can't be a supervisor's name: {problem}")
        self.name = name
        self.children = _listed(() if children is None else children, name)
        of = f"of supervisor {name!r}"
        self.policy = RestartPolicy(
            checked_choice(Strategy, strategy, f"strategy {of}"),
            checked_whole(max_restarts, 0, f"max_restarts {of}"),
            checked_seconds(restart_window, f"restart_window {of}"),
            checked_choice(BackoffKind, backoff, f"backoff {of}"),
            checked_seconds(backoff_base, f"backoff_base {of}", above_zero=False),
            checked_seconds(backoff_max, f"backoff_max {of}", above_zero=False),
        )

    def add_remote_child(
        self,
        name: str,
        heartbeat_interval: float = 5.0,
        heartbeat_timeout: float = 2.0,
        missed_heartbeats_threshold: int = 3,
        *,
        process: str | None = None,
    ) -> None:
        """Supervise an agent that a worker process hosts, as the last child.

        Args:
            name: the agent's name.
            heartbeat_interval: seconds between two pings of its process.
            heartbeat_timeout: seconds for the answer to one.
            missed_heartbeats_threshold: missed answers in a row after which it counts as crashed.
            process: its worker's process name, for messages.

        Raises:
            ConfigurationError: a value can't be one of these.
        """
        policy = HeartbeatPolicy(heartbeat_interval, heartbeat_timeout, missed_heartbeats_threshold)
        self.children.append(RemoteChild(name, process, policy))

    def remote_children(self) -> list[RemoteChild]:
        """Return the agents of other processes, of this supervisor and of all below."""
        found: list[RemoteChild] = []
        for child in self.children:
            if isinstance(child, Supervisor):
                found.extend(child.remote_children())
            elif isinstance(child, RemoteChild):
                found.append(child)
        return found


def _listed(children: Iterable[Child], supervisor: str) -> list[Child]:
    given: object = children
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise ConfigurationError(
            f"children of supervisor {supervisor!r} is a list of agents and supervisors, not "
            f"{kind_of(given)}"
        )
    return list(children)
