"""Starts, restarts and ends the processes of `civitas up`, as `exit_policy` decides."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from civitas.cli.exit_codes import BAD_INPUT, CANNOT_START, FAILURE
from civitas.cli.process_group import exit_policy
from civitas.cli.process_group.child import Child
from civitas.cli.process_group.console import Console, Stream
from civitas.cli.process_group.exit_policy import Backoff, ExitAction


@dataclass(eq=False, slots=True)
class Member:
    """A process that the group keeps running. When the primary ends by itself, all end."""

    name: str
    """Unique in the group; stands in front of its lines."""
    command: Sequence[str]
    is_primary: bool = False
    child: Child | None = field(default=None, init=False)
    """What runs now."""
    code: int | None = field(default=None, init=False)
    """How the last child ended."""


class ProcessGroup:
    """Runs its members until the primary ends by itself, or until `stop`.

    Args:
        members: what to run; started in this order.
        console: where their output is shown.
        grace: seconds that a process may take to end after SIGTERM.
        backoff: how long to wait before a process is started again.
        pass_fds: file descriptors that all processes inherit.
        jitter: gives the random numbers from 0 to 1 for the backoff.
    """

    def __init__(
        self,
        members: Iterable[Member],
        console: Console,
        *,
        grace: float = 35.0,
        backoff: Backoff | None = None,
        pass_fds: Sequence[int] = (),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._members = list(members)
        self._console = console
        self._grace = grace
        self._backoff = backoff or Backoff()
        self._pass_fds = pass_fds
        self._jitter = jitter
        self._stopping = asyncio.Event()
        self._status: int | None = None

    async def run(self) -> int:
        """Run all members and return the exit code; no process is left when this returns.

        The code is that of the member that ended all. After `stop` it is 0, or 1 if a process
        did not end in order. It must run in the main thread, as it listens to SIGCHLD.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._poll)
        try:
            async with asyncio.TaskGroup() as tasks:
                for member in self._members:
                    tasks.create_task(self._keep_running(member))
                await self._stopping.wait()
                in_order = await self._end_all()
        finally:
            for _, child in self._running():
                child.close()
            loop.remove_signal_handler(signal.SIGCHLD)
        if self._status is None:
            self._status = 0 if in_order else FAILURE
        if not in_order or (self._status != 0 and len(self._members) > 1):
            ends = [(each.name, each.code) for each in self._members if each.code is not None]
            self.say(", ".join(f"{name} {exit_policy.describe(code)}" for name, code in ends))
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
        for _, child in self._running():
            child.kill()

    def say(self, text: str) -> None:
        """Show a line that comes from none of the processes."""
        with suppress(OSError):  # nobody reads it any more
            self._console.say(text)

    def _running(self) -> list[tuple[Member, Child]]:
        return [(each, each.child) for each in self._members if each.child is not None]

    def _poll(self) -> None:
        for _, child in self._running():
            child.poll()

    async def _keep_running(self, member: Member) -> None:
        """Run a member's process, and again for as long as the exit policy restarts it."""
        loop = asyncio.get_running_loop()
        restarts = 0  # in a row, since a child ran for long
        while not self._stopping.is_set():
            began = loop.time()
            code = member.code = await self._run_once(member)
            if self._stopping.is_set():
                return
            action = exit_policy.exit_action(code, is_primary=member.is_primary)
            if action is ExitAction.CONTINUE:
                self.say(f"{member.name} is done")
                return
            if action is ExitAction.END_ALL:
                self._end_with(member, code)
                return
            restarts = 1 if loop.time() - began >= self._backoff.reset_after else restarts + 1
            delay = self._backoff.delay(restarts, self._jitter())
            self.say(
                f"{member.name} {exit_policy.describe(code)}; "
                f"starting again in {delay:.1f} s (restart {restarts})"
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    async def _run_once(self, member: Member) -> int:
        """Start a member's process, and return how it ended."""

        def show(stream: Stream, lines: list[bytes]) -> None:
            try:
                self._console.show(member.name, stream, lines)
            except OSError as error:  # nobody reads it any more
                why = f"{stream.value} can't be written to any more ({error.strerror}); ending all"
                if not self._stopping.is_set():
                    self.say(why)
                self.stop(FAILURE)

        try:
            member.child = Child(member.command, show, self._pass_fds)
        except OSError as error:
            self.say(f"{member.name} can't be started: {error}")
            return CANNOT_START
        code = await member.child.ended
        member.child = None
        return code

    def _end_with(self, member: Member, code: int) -> None:
        """End all for a member that ended with this code."""
        reason = exit_policy.describe(code)
        if code == BAD_INPUT:
            reason += " (bad input), which starting again does not mend"
        others = bool(self._running())
        if others or code != 0:
            self.say(f"{member.name} {reason}" + "; ending the others" * others)
        self.stop(code)

    async def _end_all(self) -> bool:
        """End the primary, then the workers together; return whether all ended in order.

        Each gets SIGTERM, and is killed when it has not ended after the grace.
        """
        running = self._running()
        for is_primary in (True, False):
            ending = [each for each in running if each[0].is_primary is is_primary]
            if not ending:
                continue
            for _, child in ending:
                child.terminate()
            ends = [child.ended for _, child in ending]
            await asyncio.wait(ends, timeout=self._grace)
            for member, child in ending:
                if not child.ended.done():
                    self.say(f"{member.name} has not ended within {self._grace:g} s: killed")
                    child.kill()
            await asyncio.wait(ends)
        return all(exit_policy.ended_in_order(child.ended.result()) for _, child in running)
