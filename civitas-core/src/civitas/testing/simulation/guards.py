"""Guards: what agents' own code takes from the machine is the world's, or is refused.

Core asks `civitas._platform`; authors write `time.time()`, `random.random()` or `uuid.uuid4()`.
While a simulated process has its turn these are the world's, and what would wait in real time (a
thread, a process, a socket) raises. Anything else in this process, such as pytest, sees no
difference. Out of reach are `datetime.now()`, and functions that were imported by their names.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from civitas.testing.simulation.errors import SimulationError
from civitas.testing.simulation.world import World

_REFUSED: Final[tuple[tuple[Any, str, str], ...]] = (
    (threading.Thread, "start", "a thread"),
    (subprocess.Popen, "__init__", "a process"),
    (socket.socket, "connect", "a socket"),
    (socket.socket, "bind", "a socket"),
    (socket, "getaddrinfo", "the name of a host"),
)
"""Owner, attribute, and what it stands for in the error."""


@contextmanager
def guarded(world: World) -> Iterator[None]:
    """Within the block, the code of simulated processes finds no way around the world."""
    thread = threading.get_ident()

    def simulated() -> bool:
        return world.loop is not None and threading.get_ident() == thread

    given: list[tuple[Any, str, Callable[..., object]]] = [
        (time, "time", world.wall),
        (time, "monotonic", world.monotonic),
        (time, "perf_counter", world.monotonic),
        (time, "sleep", world.sleep),
        (os, "urandom", world.random_bytes),
    ]
    given += [(owner, name, _refuse(what)) for owner, name, what in _REFUSED]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in given]
    numbers = random.getstate()
    random.seed(f"agents {world.seed}")
    for owner, name, replacement in given:
        setattr(owner, name, _either(simulated, replacement, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)
        random.setstate(numbers)


def _either(
    simulated: Callable[[], bool],
    replacement: Callable[..., object],
    original: Callable[..., object],
) -> Callable[..., object]:
    def choose(*arguments: Any, **settings: Any) -> object:
        return (replacement if simulated() else original)(*arguments, **settings)

    return choose


def _refuse(what: str) -> Callable[..., object]:
    def refuse(*_: object, **__: object) -> object:
        raise SimulationError(
            f"{what} waits in real time, and can't be simulated: put it behind an object that a "
            f"test can replace"
        )

    return refuse
