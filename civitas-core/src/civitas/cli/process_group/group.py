"""Starts, restarts and ends the processes of `civitas up`, by the rules that it begins with.

The table of these rules is in the docstring of the package.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from civitas._agents.backoff import BackoffKind, backoff_delay
from civitas.cli.exit_codes import BAD_INPUT, CANNOT_START, FAILURE
from civitas.cli.process_group.child import Child
from civitas.cli.process_group.console import Console, Stream


class ExitAction(Enum):
    """What follows when a process has ended by itself."""

    CONTINUE = auto()
    """The others go on without it."""
    RESTART = auto()
    """It is started again."""
    END_ALL = auto()
    """The others are ended, and its exit code is that of all."""


def exit_action(code: int, *, is_primary: bool, is_done: bool = True) -> ExitAction:
    """Return what follows an exit code; minus a signal's number stands for that signal.

    Exit code 0 of a process that is not `is_done` is that of code which had no business to exit.
    """
    if is_primary:
        return ExitAction.RESTART if code < 0 else ExitAction.END_ALL
    if code == 0 and is_done:
        return ExitAction.CONTINUE
    return ExitAction.END_ALL if code == BAD_INPUT else ExitAction.RESTART


def ended_in_order(code: int) -> bool:
    """Return whether a process that got SIGTERM ended as it should.

    A process that has hardly begun has no handler for the signal yet, and dies of it.
    """
    return code in (0, -signal.SIGTERM)


def describe(code: int, *, is_done: bool = True) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        unsaid = " in the middle of its work" * (code == 0 and not is_done)
        return f"ended with exit code {code}{unsaid}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no names
        return f"was killed by signal {-code}"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a process is started again; all in seconds."""

    base: float = 0.5
    """Before the first restart, less up to half of it at random; doubled with each further one."""
    maximum: float = 30.0
    reset_after: float = 30.0
    """A process that ran for so long begins with the first delay again."""

    def delay(self, restarts: int, jitter: float) -> float:
        """Return the seconds before this restart, counted from 1; jitter is from 0 to 1."""
        return backoff_delay(BackoffKind.EXPONENTIAL, self.base, self.maximum, restarts, jitter)


@dataclass(eq=False, slots=True)
class Member:
    """A process that the group keeps running. When the primary ends by itself, all end."""

    name: str
    """Unique in the group; stands in front of its lines."""
    command: Sequence[str]
    is_primary: bool = False
    code: int | None = field(default=None, init=False)
    """How the last child ended."""
    is_done: bool = field(default=False, init=False)
    """Whether that was the end of its work."""

    @property
    def end(self) -> str:
        """How the last child ended, in words; empty while none has."""
        return "" if self.code is None else describe(self.code, is_done=self.is_done)


@dataclass(eq=False, kw_only=True, slots=True)
class ProcessGroup:
    """Runs its members until the primary ends by itself, or until `stop`."""

    members: Sequence[Member] = field(kw_only=False)
    """What to run; started in this order."""
    console: Console = field(kw_only=False)
    grace: float = 35.0
    """Seconds that a process may take to end after SIGTERM."""
    backoff: Backoff = Backoff()
    pass_fds: Sequence[int] = ()
    """File descriptors that all processes inherit."""
    environment: Mapping[str, str] = field(default_factory=os.environ.copy)
    """That of all processes."""
    jitter: Callable[[], float] = random.random
    """Gives the random numbers from 0 to 1 for the backoff."""
    said_done: Callable[[int], bool] = lambda _: True
    """Returns whether a process that ended with exit code 0 has said before that it is done."""
    _children: dict[Member, Child] = field(default_factory=dict, init=False)
    """What runs now."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _status: int | None = field(default=None, init=False)

    async def run(self) -> int:
        """Run all members and return the exit code; no process is left when this returns.

        The code is that of the member that ended all. After `stop` it is 0, or 1 if a process
        did not end in order. It must run in the main thread, as it listens to SIGCHLD.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._poll)
        try:
            async with asyncio.TaskGroup() as tasks:
                for member in self.members:
                    tasks.create_task(self._keep_running(member))
                await self._stopping.wait()
                in_order = await self._end_all()
        finally:
            for child in self._children.values():
                child.close()
            loop.remove_signal_handler(signal.SIGCHLD)
        if self._status is None:
            self._status = 0 if in_order else FAILURE
        if not in_order or (self._status != 0 and len(self.members) > 1):
            self.say(", ".join(f"{each.name} {each.end}" for each in self.members if each.end))
        return self._status

    def stop(self, status: int | None = None) -> None:
        """Begin to end all processes: the primary first, so that it drains while workers answer.

        `status` is the exit code; by default it depends on whether all end in order.
        """
        if not self._stopping.is_set():
            self._status = status
            self._stopping.set()

    def kill(self) -> None:
        """Kill all processes at once. Safe in a signal handler."""
        for child in self._children.values():
            child.kill()

    @property
    def running(self) -> dict[str, int]:
        """The process ids of what runs now, by name."""
        return {member.name: child.pid for member, child in self._children.items()}

    @property
    def unfinished(self) -> list[str]:
        """The names of those that run, or are to run: all but the workers that are done."""
        return [each.name for each in self.members if not each.is_done or each in self._children]

    @property
    def is_stopping(self) -> bool:
        """Whether all are ended."""
        return self._stopping.is_set()

    def say(self, text: str) -> None:
        """Show a line that comes from none of the processes."""
        with suppress(OSError):  # nobody reads it any more
            self.console.say(text)

    def _poll(self) -> None:
        for child in self._children.values():
            child.poll()

    async def _keep_running(self, member: Member) -> None:
        """Run a member's process, and again for as long as the exit policy restarts it."""
        loop = asyncio.get_running_loop()
        restarts = 0  # in a row, since a child ran for long
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run_once(member)
            if self._stopping.is_set():
                return
            action = exit_action(code, is_primary=member.is_primary, is_done=member.is_done)
            if action is ExitAction.CONTINUE:
                self.say(f"{member.name} is done")
                return
            if action is ExitAction.END_ALL:
                why = " (bad input), which starting again does not mend" * (code == BAD_INPUT)
                others = "; ending the others" * bool(self._children)
                if others or not member.is_done:
                    self.say(f"{member.name} {member.end}{why}{others}")
                self.stop(code if member.is_done else code or FAILURE)
                return
            restarts = 1 if loop.time() - began >= self.backoff.reset_after else restarts + 1
            delay = self.backoff.delay(restarts, self.jitter())
            self.say(
                f"{member.name} {member.end}; starting again in {delay:.1f} s (restart {restarts})"
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    async def _run_once(self, member: Member) -> int:
        """Start a member's process, and return how it ended; the member knows, too."""

        def show(stream: Stream, lines: list[bytes]) -> None:
            try:
                self.console.show(member.name, stream, lines)
            except OSError as error:  # nobody reads it any more
                why = f"{stream.value} can't be written to any more ({error.strerror}); ending all"
                if not self._stopping.is_set():
                    self.say(why)
                self.stop(FAILURE)

        try:
            child = self._children[member] = Child(
                member.command, show, self.environment, self.pass_fds
            )
        except OSError as error:
            self.say(f"{member.name} can't be started: {error}")
            member.code, member.is_done = CANNOT_START, False
            return CANNOT_START
        code = member.code = await child.ended
        member.is_done = code == 0 and self.said_done(child.pid)
        del self._children[member]
        return code

    async def _end_all(self) -> bool:
        """End the primary, then the workers together; return whether all ended in order.

        Each gets SIGTERM, and is killed when it has not ended after the grace.
        """
        running = [(each, self._children[each]) for each in self.members if each in self._children]
        for is_primary in (True, False):
            ending = [each for each in running if each[0].is_primary is is_primary]
            if not ending:
                continue
            for _, child in ending:
                child.terminate()
            ends = [child.ended for _, child in ending]
            await asyncio.wait(ends, timeout=self.grace)
            for member, child in ending:
                if not child.ended.done():
                    self.say(f"{member.name} has not ended within {self.grace:g} s: killed")
                    child.kill()
            await asyncio.wait(ends)
        return all(ended_in_order(child.ended.result()) for _, child in running)
