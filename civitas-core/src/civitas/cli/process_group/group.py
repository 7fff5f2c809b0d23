"""Several processes that live and end together: restarts, and a stop in order."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from civitas.cli.fleet.child import Child
from civitas.cli.fleet.console import Console, Stream
from civitas.cli.fleet.fate import BAD_INPUT, Backoff, Fate, describe, ended_in_order, fate_of

EXIT_FAILURE: Final = 1
EXIT_CANNOT_START: Final = 126
"""Stands for the exit code of a program that could not be started, as in a shell."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process that the fleet keeps running.

    Attributes:
        name: unique in the fleet; stands in front of its lines.
        command: the program and its arguments.
        is_primary: whether all end when it ends by itself.
    """

    name: str
    command: Sequence[str]
    is_primary: bool = False


@dataclass(slots=True)
class _Post:
    """The place of a member, which outlives its processes."""

    member: Member
    child: Child | None = None
    code: int | None = None
    """How its last process ended."""
    restarts: int = 0
    """In a row, none of which went well for long."""


class Fleet:
    """Runs its members until the primary ends by itself, or until it is told to stop.

    Args:
        members: what to run; started in this order.
        console: where their output is shown.
        grace: seconds that a process may take to end when it was told to.
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
        self._posts = [_Post(member) for member in members]
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
        did not end in order.

        It must run in the main thread, as it listens to SIGCHLD.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        try:
            async with asyncio.TaskGroup() as tasks:
                for post in self._posts:
                    tasks.create_task(self._keep(post))
                await self._stopping.wait()
                in_order = await self._end()
        finally:
            for post in self._posts:
                if post.child is not None:
                    post.child.close()
            loop.remove_signal_handler(signal.SIGCHLD)
        if self._status is None:
            self._status = 0 if in_order else EXIT_FAILURE
        if not in_order or (self._status != 0 and len(self._posts) > 1):
            ends = [
                f"{each.member.name} {describe(each.code)}"
                for each in self._posts
                if each.code is not None
            ]
            self.say(", ".join(ends))
        return self._status

    def stop(self, status: int | None = None) -> None:
        """Begin to end all processes: the primary first, so that it drains while workers answer.

        Args:
            status: the exit code; by default it tells whether all ended in order.
        """
        if not self._stopping.is_set():
            self._status = status
            self._stopping.set()

    def kill(self) -> None:
        """Kill all processes at once. Safe in a signal handler."""
        for post in self._posts:
            if post.child is not None:
                post.child.kill()

    def say(self, text: str) -> None:
        """Show a line that comes from none of the processes."""
        with suppress(OSError):  # there is nobody left to tell
            self._console.say(text)

    def _reap(self) -> None:
        for post in self._posts:
            if post.child is not None:
                post.child.poll()

    async def _keep(self, post: _Post) -> None:
        """Start a member's process, again and again if need be."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            post.code = await self._live(post)
            if self._stopping.is_set():
                return
            fate = fate_of(post.code, is_primary=post.member.is_primary)
            if fate is not Fate.RESTART:
                self._accept(post.member, post.code, fate)
                return
            if loop.time() - began >= self._backoff.reset_after:
                post.restarts = 0
            post.restarts += 1
            delay = self._backoff.delay(post.restarts, self._jitter())
            self.say(
                f"{post.member.name} {describe(post.code)}; "
                f"starting again in {delay:.1f} s (restart {post.restarts})"
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    async def _live(self, post: _Post) -> int:
        """Start a member's process once, and return how it ended."""
        member = post.member

        def show(stream: Stream, lines: list[bytes]) -> None:
            try:
                self._console.show(member.name, stream, lines)
            except OSError as error:
                self._lose(stream, error)

        try:
            child = Child(member.command, show, self._pass_fds)
        except OSError as error:
            self.say(f"{member.name} can't be started: {error}")
            return EXIT_CANNOT_START
        post.child = child
        code = await child.ended
        post.child = None
        return code

    def _accept(self, member: Member, code: int, fate: Fate) -> None:
        """Go on without a member, or end the others for it."""
        if fate is Fate.DONE:
            self.say(f"{member.name} is done")
            return
        reason = describe(code)
        if code == BAD_INPUT:
            reason += " (bad input), which starting again does not mend"
        others = any(post.child is not None for post in self._posts)
        if others or code != 0:
            self.say(f"{member.name} {reason}" + "; ending the others" * others)
        self.stop(code)

    def _lose(self, stream: Stream, error: OSError) -> None:
        if not self._stopping.is_set():
            self.say(f"{stream.value} can't be written to any more ({error.strerror}); ending all")
        self.stop(EXIT_FAILURE)

    async def _end(self) -> bool:
        """End all that runs, the primary first; return whether all ended in order."""
        running = [(post.member, post.child) for post in self._posts if post.child is not None]
        for is_primary in (True, False):
            await self._end_some(
                {m.name: child for m, child in running if m.is_primary == is_primary}
            )
        return all(ended_in_order(child.ended.result()) for _, child in running)

    async def _end_some(self, children: dict[str, Child]) -> None:
        """Tell processes to end, wait, and kill those that don't."""
        if not children:
            return
        for child in children.values():
            child.terminate()
        await asyncio.wait([child.ended for child in children.values()], timeout=self._grace)
        for name, child in children.items():
            if not child.ended.done():
                self.say(f"{name} has not ended within {self._grace:g} s: killed")
                child.kill()
        await asyncio.wait([child.ended for child in children.values()])
