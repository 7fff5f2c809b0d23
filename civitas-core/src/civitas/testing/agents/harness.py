"""Harness: agents under test, and what a test may do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from math import inf
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, overload

from civitas._agents.backoff import BackoffKind
from civitas._agents.settings import checked_seconds
from civitas._supervision.restart import Strategy
from civitas._typed.shapes import Payload
from civitas.errors import ConfigurationError
from civitas.messages import Message
from civitas.process import AgentProcess
from civitas.runtime import NodeStats
from civitas.supervisor import Supervisor
from civitas.testing.agents.fakes import Fake, FakeAgent, FakeAnswer
from civitas.testing.agents.findings import Crash, DeadLetter, Findings, HarnessError, StopErrors
from civitas.testing.agents.runtime import ObservedRuntime
from civitas.testing.agents.turns import Turns

A = TypeVar("A", bound=AgentProcess)
R = TypeVar("R")

_FOREVER: Final = 3600.0
"""Seconds of the agents' time after which what has no limit of its own has failed."""

_NOT_BEGUN: Final = "this harness has not begun: use it inside its `async with` block"


def harness(
    agent: A,
    *others: AgentProcess,
    fakes: Mapping[str, FakeAnswer] | None = None,
    strategy: str | Strategy = "ONE_FOR_ONE",
    max_restarts: int = 3,
    restart_window: float = 60.0,
    backoff: str | BackoffKind = "CONSTANT",
    backoff_base: float = 1.0,
    backoff_max: float = 60.0,
    patience: float = 1.0,
) -> Harness[A]:
    """Run agents in a test, on virtual time, with fakes for those that they talk to.

    Use it as `async with harness(Crawler("crawler"), fakes={"store": {"id": 1}}) as h:`, in any
    event loop. What the block leaves with fails the test: a crash that was not expected, a task
    that an agent has left behind, an assertion that a fake has raised.

    Args:
        agent: the agent under test.
        others: agents that run beside it.
        fakes: what stands for other agents, by their names: a dict that each asker gets, or a
            function of the message, which may be async.
        strategy: as for `Supervisor`, with all that follows: the agents have one supervisor.
        max_restarts: more crashes than this within `restart_window` end all agents.
        restart_window: seconds.
        backoff: CONSTANT, LINEAR or EXPONENTIAL, which always takes its longest here.
        backoff_base: first delay before a restart, in seconds.
        backoff_max: longest delay, in seconds.
        patience: real seconds that the test itself has to go on when agents wait for it.

    Raises:
        ConfigurationError: an agent, a fake or a number can't be one.
    """
    policy = {
        "strategy": strategy,
        "max_restarts": max_restarts,
        "restart_window": restart_window,
        "backoff": backoff,
        "backoff_base": backoff_base,
        "backoff_max": backoff_max,
    }
    return Harness((agent, *others), fakes or {}, policy, patience)


class Harness(Generic[A]):
    """Agents under test: what `harness` returns. It is used once, in one event loop.

    The clock of the agents stands still, but for what a test awaits here: `advance` moves it so
    far, `idle`, `ask` and `send` as far as the agents need it.
    """

    def __init__(
        self,
        agents: tuple[A, *tuple[AgentProcess, ...]],
        fakes: Mapping[str, FakeAnswer],
        policy: Mapping[str, Any],
        patience: float,
    ) -> None:
        checked_seconds(patience, "patience of the harness", above_zero=False)
        self._findings = Findings()
        self._fakes = {name: Fake(name, each, self._findings) for name, each in fakes.items()}
        real = {getattr(each, "name", None) for each in agents}
        for name in self._fakes:
            if name in real:
                raise ConfigurationError(f"{name!r} is an agent of this harness, and a fake")
        standing_for = [FakeAgent(name, each) for name, each in self._fakes.items()]
        # They are the first to start, and the last to stop: hooks of agents may ask them.
        self._supervisor = Supervisor("harness", [*standing_for, *agents], **policy)
        self._agents = agents
        self._patience = patience
        self._stack = ExitStack()
        self._entered: Turns | None = None
        self._runtime: ObservedRuntime | None = None
        self._began = 0.0

    # --- what a test does -----------------------------------------------------------------------

    async def send(self, recipient: str, payload: Payload, message_type: str = "message") -> None:
        """Send a message to an agent, as `Runtime.send` does; return when it was accepted."""
        node = self._node

        async def sending() -> None:  # all of it in the agents' time
            await node.send(recipient, payload, message_type)

        await self._turns.run(f"send({recipient!r})", sending())

    @overload
    async def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = ...,
        timeout: float | None = ...,
    ) -> Message: ...

    @overload
    async def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = ...,
        timeout: float | None = ...,
        *,
        reply: type[R],
    ) -> R: ...

    async def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = "message",
        timeout: float | None = 30.0,
        *,
        reply: type[R] | None = None,
    ) -> Message | R:
        """Ask an agent, as `Runtime.ask` does; `timeout` is in seconds of the agents' time.

        `reply` is a model of which the answer is to be an object; None for the Message itself.
        """
        node = self._node

        async def asking() -> Message | R:  # all of it in the agents' time
            if reply is None:
                return await node.ask(recipient, payload, message_type, timeout)
            return await node.ask(recipient, payload, message_type, timeout, reply=reply)

        limit = _FOREVER if timeout is None else inf
        return await self._turns.run(f"ask({recipient!r})", asking(), limit)

    async def idle(self, within: float = 60.0) -> None:
        """Return when no agent has a message in hand or in its mailbox, or is to be restarted.

        Tasks and timers that agents have going on beside their messages are not waited for.

        Args:
            within: seconds of the agents' time that it may take.

        Raises:
            HarnessError: an agent has something to do still; it says what, and where.
        """
        checked_seconds(within, "within", above_zero=False)
        node = self._node
        await self._turns.until("idle()", lambda: not node.busy(), within)

    def advance(self, seconds: float) -> asyncio.Future[None]:
        """Let exactly so many seconds of the agents' time pass, and all happen that is due in it.

        Await what it returns: `await h.advance(60)`. With 0, what can happen now does.
        """
        checked_seconds(seconds, "the time to advance", above_zero=False)
        if seconds == inf:
            raise ConfigurationError("the time to advance is a finite number of seconds")
        return self._turns.advance(seconds)

    def fake(self, name: str, answer: FakeAnswer) -> None:
        """Let a fake of this harness answer otherwise from now on.

        Raises:
            ConfigurationError: there is no such fake, or it can't answer so.
        """
        if name not in self._fakes:
            known = ", ".join(map(repr, self._fakes)) or "none"
            raise ConfigurationError(f"there is no fake {name!r} in this harness: it has {known}")
        self._fakes[name].set_answer(answer)

    def expect_crash(
        self,
        error: type[BaseException] = Exception,
        match: str | None = None,
        agent: str | None = None,
    ) -> Crash:
        """Return the first crash of this kind that was not expected yet; it fails no test any more.

        Args:
            error: its class.
            match: a pattern that its text contains.
            agent: whose it is; of any agent when left out.

        Raises:
            HarnessError: there is none; it lists what there is.
        """
        return self._findings.expect(error, match, agent)

    # --- what a test looks at -------------------------------------------------------------------

    @property
    def now(self) -> float:
        """How many seconds of the agents' time have passed since the beginning."""
        return round(self._turns.world.now - self._began, 6)

    @property
    def agent(self) -> A:
        """The current object of the first agent: a restart makes another one."""
        # A restart makes one of the same class.
        return self._node.agent(self._agents[0].name)  # type: ignore[return-value]

    @property
    def agents(self) -> dict[str, AgentProcess]:
        """The current object of each agent, by name, without the fakes."""
        return {each.name: self._node.agent(each.name) for each in self._agents}

    def sent(self, recipient: str, message_type: str | None = None) -> list[Message]:
        """Return what was sent to an agent, or a fake, up to now, the test's own included.

        Args:
            recipient: its name.
            message_type: only messages of this type.
        """
        names = [*self._fakes, *(each.name for each in self._agents)]
        if recipient not in names:
            raise ConfigurationError(
                f"there is no agent {recipient!r} in this harness: it has "
                f"{', '.join(map(repr, names))}"
            )
        return [
            message
            for message in self._node.sent
            if message.recipient == recipient and message_type in {None, message.type}
        ]

    @property
    def crashes(self) -> list[Crash]:
        """All crashes up to now, in order, expected or not."""
        return list(self._findings.crashes)

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """All messages up to now that were not delivered, in order."""
        return list(self._findings.dead_letters)

    def stats(self) -> NodeStats:
        """Return the counters of the runtime, those of each agent included."""
        return self._turns.world.look(self._node.stats)

    # --- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._entered is not None:
            raise HarnessError("this harness was used before: make a new one, of new agents")
        turns = self._entered = Turns(self._findings.mistake, self._in_hand, self._patience)
        self._began = turns.world.now
        with ExitStack() as stack:
            try:
                stack.enter_context(turns.world.begun())
            except RuntimeError as error:
                raise HarnessError(
                    "another harness, or a simulation, is not over: there is one at a time in a "
                    "process; give all agents to one harness(...)"
                ) from error
            try:
                await turns.run("the start", self._start(), _FOREVER)
            except BaseException:
                await self._end(turns)
                raise
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._entered is not None
        with self._stack:
            await self._end(self._entered)
        if error is None:
            found = self._findings.error()
            if found is not None:
                raise found
        else:  # it says why the test has failed, and these may say why that is
            for text, _ in self._findings.problems():
                error.add_note(f"harness: {text}")

    async def _start(self) -> None:
        runtime = self._runtime = ObservedRuntime(self._supervisor)
        world = self._turns.world
        runtime.on_dead_letter(self._findings.lost)

        def crashed(agent: str, error: Exception) -> None:
            self._findings.crashed(agent, error, round(world.now - self._began, 6))

        runtime.on_crash(crashed)
        await runtime.start()

    async def _end(self, turns: Turns) -> None:
        """Stop the agents in order, and whatever is left of them."""
        runtime = self._runtime
        try:
            if runtime is not None:
                self._findings.busy_at_the_end = frozenset(runtime.busy())
                with StopErrors(self._findings):
                    await turns.run("the stop", runtime.stop(), _FOREVER)
        except HarnessError as error:
            self._findings.mistake(str(error))
        finally:
            for text in turns.close():
                self._findings.mistake(f"{text}, was left behind: end it in `on_stop`")

    # --- parts ------------------------------------------------------------------------------------

    @property
    def _turns(self) -> Turns:
        if self._entered is None:
            raise HarnessError(
                "this harness has not begun: use it inside of its `async with` block"
            )
        return self._entered

    @property
    def _node(self) -> ObservedRuntime:
        if self._runtime is None:
            raise HarnessError(_NOT_BEGUN)
        return self._runtime

    def _in_hand(self) -> str:
        runtime = self._runtime
        texts = [] if runtime is None else runtime.in_hand(self._turns.world.wall())
        return "\n".join(f"  {each}" for each in texts or ["no agent has anything to do"])
