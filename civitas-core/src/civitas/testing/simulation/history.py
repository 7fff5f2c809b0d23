"""History: what was sent, accepted, handled and answered, by whom and when, and what went wrong.

It sees agents from outside: the sends and asks of every node, and what each object of an agent
does. `facts` has all of it in order, for people; the rest is for checks. Facts are numbered, so
that "before" means before, also within one instant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from civitas.errors import ConfigurationError
from civitas.messages import Message
from civitas.plugins.similar import closest
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.world import START, World

ACCEPTED = "accepted"
ANSWERED = "answered"
DONE = "done"


class Fact(NamedTuple):
    """Something that has happened.

    Attributes:
        at: when, in seconds since the beginning, by the clock of its process.
        process: where; a process with the number of its start, such as `worker.2`.
        what: what it is, in a word or two.
        details: more of it; an object of an agent is named like `desk#2`, the second one.
        message: of which message it is, by its id; empty for none.
    """

    at: float
    process: str
    what: str
    details: tuple[Any, ...]
    message: str = ""

    def __str__(self) -> str:
        words = " ".join(map(str, self.details))
        return f"{self.at:9.3f}  {self.process:13} {self.what:11} {words}".rstrip()


@dataclass(eq=False, slots=True)
class Sending:
    """A send or an ask. `began` and `ended` are numbers of facts; None while it has not ended.

    Attributes:
        outcome: `accepted`, `answered`, or the class of the error.
        timeout: of an ask, in seconds; None for a send, and where there is no limit.
    """

    message: Message
    process: SimulatedProcess
    is_ask: bool
    timeout: float | None
    began: int
    began_at: float
    ended: int | None = None
    ended_at: float = 0.0
    outcome: str = ""

    @property
    def accepted(self) -> bool:
        """Whether it has been promised that the message is taken."""
        return self.outcome in {ACCEPTED, ANSWERED}


@dataclass(eq=False, slots=True)
class Handling:
    """A message in the hand of one object of an agent; `outcome` is `done` or an error's class."""

    agent: str
    message: Message
    process: SimulatedProcess
    object: int
    attempt: int
    began: int
    began_at: float
    tick: bool = False
    """Whether it comes from a timer of that object."""
    ended: int | None = None
    ended_at: float = 0.0
    outcome: str = ""


@dataclass(eq=False, slots=True)
class RecordedTimer:
    """A timer of one object of an agent, by the clock of its process.

    Attributes:
        period: seconds between its ticks; None for a single one.
        first: seconds from `began_at` until its first tick.
        ticks: the messages that it has queued, each with when, and the number of that fact.
    """

    made_by: AgentObject
    period: float | None
    first: float
    began_at: float
    ended_at: float | None = None
    ticks: list[tuple[Message, float, int]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class AgentObject:
    """One object of an agent: from its `on_start` to the end of its `on_stop`."""

    agent: str
    process: SimulatedProcess
    number: int
    began_at: float
    outcome: str = ""
    """What became of its `on_start`."""
    ended_at: float | None = None
    said_done: bool = False
    concurrency: int = 1
    """Messages that it may have in hand at once."""
    on_stop: int | None = None
    """The number of the fact that its `on_stop` was called."""
    retries: Counter[str] = field(default_factory=Counter)
    """How often it was to handle a message again, by the ids of messages."""


class Cause(NamedTuple):
    """A reason for a supervisor to restart something."""

    at: float
    agent: str
    what: str


@dataclass(eq=False, repr=False)
class History:
    """Everything that a run has seen."""

    world: World
    facts: list[Fact] = field(default_factory=list)
    sendings: list[Sending] = field(default_factory=list)
    handlings: list[Handling] = field(default_factory=list)
    objects: list[AgentObject] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    """Crashes of agents, those that were meant included; not the ends of processes."""
    deaths: list[Cause] = field(default_factory=list)
    """Ends of processes that were not in order."""
    stalls: list[tuple[SimulatedProcess, float, float]] = field(default_factory=list)
    """The processes that a handler has made stand still, each with from when, and until when."""
    timers: list[RecordedTimer] = field(default_factory=list)
    """The timers of all agents."""
    late_steps: list[str] = field(default_factory=list)
    """Steps of background tasks whose agent objects had ended."""
    probes_handled: int = 0
    """The simulation's own asks that agents have handled."""
    finished: dict[str, float] = field(default_factory=dict)
    """Agents that have said that they are done, and when."""

    agents: Sequence[str] = ()
    """The agents of the topology."""
    _ticks: dict[str, Message] = field(default_factory=dict)

    # --- what users ask of it -----------------------------------------------------------------
    # None of it is of use for an agent that there is not: a test would pass for a wrong name.

    def accepted(self, agent: str | None = None) -> frozenset[str]:
        """Return the ids of messages to an agent (None: to any) that were accepted.

        `send` has returned for these, and these were answered. As in all of these methods:

        Raises:
            ConfigurationError: the topology has no such agent.
        """
        return self._ids(each.message for each in self.sendings if each.accepted)(agent)

    def handled(self, agent: str | None = None) -> frozenset[str]:
        """Return the ids of messages that an agent has handled to the end, without an error."""
        done = (each.message for each in self.handlings if each.outcome == DONE)
        return self._ids(done)(agent)

    def begun(self, agent: str | None = None) -> frozenset[str]:
        """Return the ids of messages that an agent has begun to handle."""
        return self._ids(each.message for each in self.handlings)(agent)

    def ticks(self, agent: str | None = None) -> frozenset[str]:
        """Return the ids of messages that timers of an agent have queued.

        Nobody has sent these. They are among those that were begun and handled.
        """
        return self._ids(iter(self._ticks.values()))(agent)

    def answered(self, agent: str | None = None) -> frozenset[str]:
        """Return the ids of asks that an agent has answered, as who asked has heard."""
        answered = (each.message for each in self.sendings if each.outcome == ANSWERED)
        return self._ids(answered)(agent)

    def count(self, agent: str) -> int:
        """Return how many times an agent has begun to handle a message."""
        self.expect(agent)
        return sum(each.agent == agent for each in self.handlings)

    def expect(self, *agents: str) -> None:
        """See that the topology has these agents.

        Raises:
            ConfigurationError: it lacks one.
        """
        for agent in agents:
            if agent not in self.agents:
                similar = closest(agent, self.agents)
                hint = f"; did you mean {similar!r}?" if similar else ""
                raise ConfigurationError(f"the topology has no agent {agent!r}{hint}")

    def _ids(self, messages: Iterator[Message]) -> Callable[[str | None], frozenset[str]]:
        def of(agent: str | None) -> frozenset[str]:
            if agent is not None:
                self.expect(agent)
            return frozenset(m.id for m in messages if agent is None or m.recipient == agent)

        return of

    # --- what is noted ------------------------------------------------------------------------

    def note(
        self,
        what: str,
        *details: Any,
        process: SimulatedProcess | None = None,
        message: Message | None = None,
    ) -> int:
        """Add a fact; return its number. After the end there are none."""
        if self.world.closed:
            return len(self.facts)
        where = process or self.world.running
        label = "" if where is None else where.label
        about = "" if message is None else message.id
        fact = Fact(round(self.world.monotonic() - START, 6), label, what, details, about)
        self.facts.append(fact)
        return len(self.facts) - 1

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.world.now - START

    def sending(self, message: Message, timeout: float | None, *, is_ask: bool) -> Sending:
        """Note that a message is about to be sent."""
        process = self._process()
        number = self.note("ask" if is_ask else "send", _named(message), message=message)
        sending = Sending(message, process, is_ask, timeout, number, self._at())
        self.sendings.append(sending)
        return sending

    def sent(self, sending: Sending, outcome: str) -> None:
        """Note what became of it."""
        sending.outcome, sending.ended_at = outcome, self._at()
        message = sending.message
        if sending.accepted:
            sending.ended = self.note(outcome, _named(message), message=message)
        else:
            sending.ended = self.note("failed", _named(message), outcome, message=message)

    def handling(self, agent: str, message: Message, number: int) -> Handling:
        """Note that an object has begun with a message."""
        again = (f"attempt {message.attempt + 1}",) if message.attempt else ()
        fact = self.note("handle", f"{agent}#{number}", _named(message), *again, message=message)
        process, attempt = self._process(), message.attempt
        tick = message.id in self._ticks
        handling = Handling(agent, message, process, number, attempt, fact, self._at(), tick)
        self.handlings.append(handling)
        return handling

    def handled_to(self, handling: Handling, outcome: str) -> None:
        """Note how it has ended with it."""
        handling.outcome, handling.ended_at = outcome, self._at()
        what, message = f"{handling.agent}#{handling.object}", handling.message
        if outcome == DONE:
            handling.ended = self.note("done", what, _named(message), message=message)
        else:
            handling.ended = self.note("raised", what, _named(message), outcome, message=message)

    def starting(self, agent: str) -> AgentObject:
        """Note that an object begins its `on_start`."""
        number = sum(each.agent == agent for each in self.objects) + 1
        made = AgentObject(agent, self._process(), number, self._at())
        self.objects.append(made)
        self.note("on_start", f"{agent}#{made.number}")
        return made

    def stopping(self, made: AgentObject) -> None:
        """Note that the `on_stop` of an object is called."""
        made.on_stop = self.note("on_stop", f"{made.agent}#{made.number}")

    def timer(self, made: AgentObject, period: float | None, first: float) -> RecordedTimer:
        """Note that an object has made a timer."""
        timer = RecordedTimer(made, period, first, self._at())
        self.timers.append(timer)
        return timer

    def ticked(self, timer: RecordedTimer, message: Message) -> None:
        """Note that a tick is queued."""
        made = timer.made_by
        about = f"{made.agent}#{made.number}", message.id[-8:]
        number = self.note("tick", *about, message=message)
        timer.ticks.append((message, self._at(), number))
        self._ticks[message.id] = message

    def timer_ended(self, timer: RecordedTimer) -> None:
        """Note that a timer will not tick any more."""
        if timer.ended_at is None:
            timer.ended_at = self._at()

    def stepped(self, made: AgentObject, task: str) -> None:
        """Note that a background task of an object runs."""
        ended = made.on_stop is not None or any(
            each.agent == made.agent and each.process is made.process and each.number > made.number
            for each in self.objects[made.number :]
        )
        if ended and not self.world.closed:
            self.late_steps.append(f"{task} of {made.agent}#{made.number} at {self._at():.3f}")

    def background_raised(self, made: AgentObject, task: str, error: BaseException) -> None:
        """Note what a background task has raised."""
        self.note("raised", f"{made.agent}#{made.number}", task, type(error).__name__)
        self.crashed(made.agent, "background")

    def crashed(self, agent: str, what: str) -> None:
        """Note that an agent gives its supervisor a reason."""
        self.causes.append(Cause(self._at(), agent, what))

    def stalled(self, seconds: float) -> None:
        """Note that this process stands still for so long."""
        self.stalls.append((self._process(), self._at(), self._at() + seconds))

    def died(self, process: str, how: str) -> None:
        """Note that a process has ended, and not in order."""
        self.deaths.append(Cause(self._at(), process, how))

    def said_done(self, agent: str) -> None:
        """Note that an agent says that it is done."""
        self.finished.setdefault(agent, self._at())
        self.note("says done", agent)

    def not_done(self, agent: str) -> None:
        """Note that an agent has crashed: what it said in the same message does not count."""
        if self.finished.get(agent, -1.0) >= self._at() - 1e-9:
            del self.finished[agent]

    def _at(self) -> float:
        return self.world.monotonic() - START

    def _process(self) -> SimulatedProcess:
        return self.world.running or self.world.driver


def _named(message: Message) -> str:
    return f"{message.sender}->{message.recipient} {message.id[-8:]}"


def history_of(world: World) -> History:
    """Return the history of a world."""
    history = world.parts.get(History)
    if history is None:
        history = world.parts[History] = History(world)
    assert isinstance(history, History)
    return history
