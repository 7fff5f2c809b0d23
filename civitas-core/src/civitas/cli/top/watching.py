"""Watching: the live view: what is shown on the terminal, and when it is shown anew."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from civitas.cli.exit_codes import BY_SIGNAL
from civitas.cli.logs import log_only_to
from civitas.cli.stats.command import expected_of
from civitas.cli.stats.states import states_of
from civitas.cli.top.frames import Look, Memory, frame_of
from civitas.cli.top.looking import looks
from civitas.cli.top.rows import TreeBranch
from civitas.cli.top.screen import Head, choosable, lines_of
from civitas.cli.top.terminal import Terminal
from civitas.cli.top.views import View, pressed
from civitas.topology.resolved import ResolvedAgent, ResolvedSupervisor

if TYPE_CHECKING:
    from civitas.client import Client
    from civitas.topology import Topology

_SAID_FOR: Final = 10.0
"""Seconds for which an error that was logged is shown."""


class Watching:
    """The live view: what is shown, and when it is shown anew."""

    def __init__(self, topology: Topology, interval: float) -> None:
        self._topology = topology
        self._interval = interval
        self._tree = _branch(topology.supervision)
        self._head = Head(topology.file, topology.transport.type_name, interval)
        self._view = View()
        self._words = _LastWords()
        nothing = states_of(expected_of(topology), [], reached=False)
        first = Look(time.monotonic(), time.time(), nothing, problem="looking for the system")
        self._frame, self._memory = frame_of(first, Memory())
        self._latest = self._frame
        self._ended = asyncio.Event()
        self._code = 0
        self._terminal = Terminal(self._press, self._show, self._end)

    async def run(self, make: Callable[[], Client], timeout: float) -> int:
        """Show the system until the user has had enough; return the exit code."""
        log_only_to(self._words)  # stderr may be the same terminal
        looking = asyncio.create_task(self._look(make, timeout))
        ended = asyncio.create_task(self._ended.wait())
        try:
            with self._terminal.taken():
                self._show()
                await asyncio.wait((looking, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            looking.cancel()
            await asyncio.wait((looking,))
        if not looking.cancelled():
            looking.result()
        return self._code

    async def _look(self, make: Callable[[], Client], timeout: float) -> None:
        async with aclosing(looks(make, self._topology, self._interval, timeout)) as seen:
            async for look in seen:
                self._take(look)

    def _take(self, look: Look) -> None:
        said = self._words.lately(look.wall)
        if said and not look.problem:
            look = replace(look, problem=said)
        self._latest, self._memory = frame_of(look, self._memory)
        self._show()

    def _press(self, key: str) -> None:
        shown = choosable(self._frame, self._view, self._tree)
        self._view = pressed(self._view, key, shown)
        if self._view.ended:
            self._ended.set()
        self._show()

    def _show(self) -> None:
        if not self._view.paused:
            self._frame = self._latest
        size = self._terminal.size
        lines = lines_of(self._frame, self._view, self._tree, self._head, *size)
        self._terminal.show(lines)

    def _end(self, number: signal.Signals) -> None:
        if number is not signal.SIGINT:  # which is how one leaves such a view
            self._code = BY_SIGNAL + number
        self._ended.set()


class _LastWords(logging.Handler):
    """Keeps the last error that was logged: it has no place of its own on the screen."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._said = ""
        self._at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        self._said, self._at = record.getMessage(), record.created

    def lately(self, now: float) -> str:
        """Return what was said in the last seconds."""
        return self._said if now - self._at < _SAID_FOR else ""


def _branch(supervisor: ResolvedSupervisor) -> TreeBranch:
    children = (
        child.block.name if isinstance(child, ResolvedAgent) else _branch(child)
        for child in supervisor.children
    )
    return TreeBranch(supervisor.block.name, supervisor.block.strategy, tuple(children))
