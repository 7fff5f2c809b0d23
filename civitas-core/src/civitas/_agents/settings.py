"""Settings: what the numbers of agents, supervisors and heartbeats may be, checked by hand.

A topology checks its own with a model; what is written in code comes here. Subclasses may assign
an agent's settings themselves, so these are read and checked when its node is made, and after
`on_start`; what is assigned later changes nothing before the next start.
"""

from __future__ import annotations

from enum import Enum
from math import isinf, isnan
from numbers import Integral, Real
from typing import NamedTuple, TypeVar

from civitas._agents.backoff import BackoffKind
from civitas._agents.binding import is_complete
from civitas._bus.arguments import kind_of
from civitas.errors import ConfigurationError
from civitas.messages import MOST_CONCURRENCY, name_problem
from civitas.process import AgentProcess

E = TypeVar("E", bound=Enum)


def checked_whole(value: int, least: int, what: str) -> int:
    """Return a whole number of at least `least`; `what` names it in the error.

    Raises:
        ConfigurationError: it is none.
    """
    if type(value) is int and value >= least:  # nearly always, and abstract classes are slow
        return value
    given: object = value
    if isinstance(given, bool) or not isinstance(given, Integral) or value < least:
        raise ConfigurationError(
            f"{what} is a whole number of at least {least}, not {kind_of(given)}"
        )
    return value


def checked_seconds(value: float, what: str, *, above_zero: bool = True, hint: str = "") -> float:
    """Return a number of seconds, which may be infinite; `what` names it in the error.

    Raises:
        ConfigurationError: it is none.
    """
    if type(value) is float and value > 0.0:
        return value
    given: object = value
    good = not isinstance(given, bool) and isinstance(given, Real) and not isnan(value)
    if not good or value < 0 or (above_zero and value == 0):
        least = "above 0" if above_zero else "of at least 0"
        raise ConfigurationError(
            f"{what} is a number of seconds {least}, not {kind_of(given)}"
            f"{hint if given is None else ''}"
        )
    return value


def checked_choice(kind: type[E], value: str | E, what: str) -> E:
    """Return a member of an Enum, given as itself or by its name in any case.

    Raises:
        ConfigurationError: it is none.
    """
    if isinstance(value, kind):
        return value
    try:
        return kind(str(value).upper())
    except ValueError:
        allowed = ", ".join(str(member.value) for member in kind)
        raise ConfigurationError(f"{what} is {value!r}; it is one of {allowed}") from None


class Settings(NamedTuple):
    """The settings of one agent object, as they were when they were checked."""

    max_retries: int
    shutdown_timeout: float
    handle_timeout: float | None
    concurrency: int
    retry_delay: float
    retry_backoff: BackoffKind


def settings_of(agent: AgentProcess) -> Settings:
    """Check and return what an agent's class made of the arguments of AgentProcess.

    Raises:
        ConfigurationError: one is wrong, or the class does not call the constructor.
    """
    if not is_complete(agent):
        raise ConfigurationError(
            f"the constructor of {type(agent).__qualname__} does not call super().__init__(name)"
        )
    problem = name_problem(agent.name)
    if problem is not None:
        raise ConfigurationError(f"{kind_of(agent.name)} can't be an agent's name: {problem}")
    of = f"of agent {agent.name!r}"
    checked_whole(agent.mailbox_size, 1, f"mailbox_size {of}")
    checked_whole(agent.max_retries, 0, f"max_retries {of}")
    unlimited = "; math.inf is no limit"
    checked_seconds(
        agent.shutdown_timeout, f"shutdown_timeout {of}", above_zero=False, hint=unlimited
    )
    if agent.handle_timeout is not None:
        checked_seconds(agent.handle_timeout, f"handle_timeout {of}")
    checked_whole(agent.concurrency, 1, f"concurrency {of}")
    if agent.concurrency > MOST_CONCURRENCY:
        raise ConfigurationError(
            f"concurrency {of} is a whole number of at most {MOST_CONCURRENCY}, not "
            f"{kind_of(agent.concurrency)}"
        )
    checked_seconds(agent.retry_delay, f"retry_delay {of}", above_zero=False)
    if isinf(agent.retry_delay):
        raise ConfigurationError(f"retry_delay {of} is a finite number of seconds, not infinity")
    return Settings(
        agent.max_retries,
        agent.shutdown_timeout,
        agent.handle_timeout,
        agent.concurrency,
        agent.retry_delay,
        checked_choice(BackoffKind, agent.retry_backoff, f"retry_backoff {of}"),
    )


def check_agent(agent: object, place: str) -> None:
    """Check an agent that a node is to host; `place` says where it was given.

    Raises:
        ConfigurationError: it is no agent, or one whose settings are wrong.
    """
    if isinstance(agent, type) and issubclass(agent, AgentProcess):
        made = f"{agent.__name__}('a_name')"
        raise ConfigurationError(f"{place} is {kind_of(agent)}, not an object of it: write {made}")
    if not isinstance(agent, AgentProcess):
        raise ConfigurationError(f"{place} is no agent: it is {kind_of(agent)}")
    try:
        settings_of(agent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None
