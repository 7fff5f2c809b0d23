"""Notices: tells a service manager of all processes of `up`, by what each of them tells here.

Each process has inherited the end of one socket, and tells there what it would tell systemd, with
its name before it. Of that follows what `up` says: it is ready when each process is, or is done; it
is well while each that is ready has said so lately, and while its own event loop turns.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from civitas.cli.notices import Inherited
from civitas.errors import printable

if TYPE_CHECKING:
    from civitas._health.notify import Notifier
    from civitas.cli.process_group.group import ProcessGroup

TICK: Final = 0.25
"""Seconds between two looks at the processes, at most."""

_LARGEST: Final = 4096
"""Bytes of what a process tells at once, at most."""


@dataclass(slots=True)
class _Told:
    """What a process has told; `pid` is that of the child which has."""

    pid: int | None = None
    is_ready: bool = False
    status: str = "starting"
    alive_at: float = float("-inf")


class Notices:
    """Reads what the processes of a group tell, and tells a service manager of all."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._reading, self._inherited = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reading.setblocking(False)
        self._told: dict[str, _Told] = {}
        watchdog = notifier.watchdog
        self._patience = None if watchdog is None else watchdog / 2
        self._tick = TICK if watchdog is None else min(TICK, watchdog / 8)
        self.end = Inherited(self._inherited.fileno(), self._patience)
        """What the processes inherit."""

    def __enter__(self) -> Notices:
        return self

    def __exit__(self, *_: object) -> None:
        self._notifier.stopping()
        self._notifier.close()
        self._reading.close()
        self._inherited.close()

    async def tell(self, group: ProcessGroup) -> None:
        """Tell of a group, until this is cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._reading, self._read)
        try:
            while True:
                self.look(group, time.monotonic())
                await asyncio.sleep(self._tick)
        finally:
            loop.remove_reader(self._reading)

    def look(self, group: ProcessGroup, now: float) -> None:
        """Tell what has changed; `now` is the time of `time.monotonic`."""
        running = group.running
        for name, pid in running.items():
            told = self._told.setdefault(name, _Told(pid))
            if told.pid != pid:  # it was started again
                self._told[name] = _Told(pid)
        ready = [self._told[name] for name in running if self._told[name].is_ready]
        names = group.unfinished
        if group.is_stopping:
            self._notifier.stopping()
        elif len(ready) == len(names):
            self._notifier.ready()
        self._notifier.status(self._status(running, names, len(ready)))
        patience = self._patience
        if patience is None or all(now - each.alive_at <= patience for each in ready):
            self._notifier.alive(now)

    def _status(self, running: dict[str, int], names: list[str], ready: int) -> str:
        states = (
            f"{name}: {self._told[name].status if name in running else 'not running'}"
            for name in names
        )
        return "; ".join((f"{ready} of {len(names)} processes run", *states))

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self.take(self._reading.recv(_LARGEST), time.monotonic())

    def take(self, message: bytes, now: float) -> None:
        """Take in what a process has told; what is no message of theirs is passed over."""
        pairs = (line.partition("=") for line in message.decode(errors="replace").split("\n"))
        lines = {key: value for key, _, value in pairs}
        told = self._told.get(lines.get("PROCESS", ""))
        if told is None:
            return
        told.is_ready = told.is_ready or lines.get("READY") == "1"
        told.status = printable(lines.get("STATUS", told.status))
        if "WATCHDOG" in lines:
            told.alive_at = now
