"""Guards: what agents' own code takes from the machine is the world's, or is refused.

Core asks `civitas._platform`; authors write `time.time()`, `random.random()` or `uuid.uuid4()`.
While a simulated process has its turn these are the world's, and what would wait in real time (a
thread, a process, a socket, standard input) is refused. Anything else in this process, such as
pytest, sees no difference.

Classes are changed where they are; functions are replaced in every module that has them under some
name, so that `from time import sleep` is no way around the world.
"""

from __future__ import annotations

import builtins
import datetime
import functools
import multiprocessing.process
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from civitas.testing.simulation import world as worlds
from civitas.testing.simulation.dates import stand_ins
from civitas.testing.simulation.errors import is_of_a_library, refuse
from civitas.testing.simulation.world import World

_NANOSECONDS: Final = 1e9

_LOCALTIME: Final = time.localtime
_GMTIME: Final = time.gmtime

_GIVEN: Final[dict[Callable[..., Any], Callable[..., object]]] = {
    time.time: World.wall,
    time.time_ns: lambda world: int(world.wall() * _NANOSECONDS),
    time.monotonic: World.monotonic,
    time.monotonic_ns: lambda world: int(world.monotonic() * _NANOSECONDS),
    time.perf_counter: World.monotonic,
    time.perf_counter_ns: lambda world: int(world.monotonic() * _NANOSECONDS),
    time.localtime: lambda world, at=None: _LOCALTIME(world.wall() if at is None else at),
    time.gmtime: lambda world, at=None: _GMTIME(world.wall() if at is None else at),
    time.sleep: World.sleep,
    os.urandom: World.random_bytes,
}
"""Functions, and what each one is in a simulated process."""

_THREAD: Final = "start a task, or call `asyncio.to_thread`, which takes virtual time here"
_PROCESS: Final = "put it behind an object that a test can replace"
_SOCKET: Final = "agents reach each other by name; put the rest behind an object of your own"
_STDIN: Final = "give the agent what it is to read as a message, or in its `config`"

_REFUSED_FUNCTIONS: Final[dict[Callable[..., Any], tuple[str, str]]] = {
    os.fork: ("a process", _PROCESS),
    os.system: ("a process", _PROCESS),
    os.posix_spawn: ("a process", _PROCESS),
    select.select: ("a wait for sockets", _SOCKET),
    socket.getaddrinfo: ("to look up a host's name", _SOCKET),
    socket.gethostbyname: ("to look up a host's name", _SOCKET),
    builtins.input: ("to read standard input", _STDIN),
}
"""Functions that wait in real time: what they stand for, and what to do instead."""

_REFUSED_METHODS: Final[tuple[tuple[type, str, str, str], ...]] = (
    (threading.Thread, "start", "a thread", _THREAD),
    (threading.Thread, "join", "a wait for a thread", _THREAD),
    (threading.Condition, "wait", "a wait for a thread", _THREAD),  # events and queues use it
    (multiprocessing.process.BaseProcess, "start", "a process", _PROCESS),
    (subprocess.Popen, "__init__", "a process", _PROCESS),
    *(
        (socket.socket, name, "a socket", _SOCKET)
        for name in ("connect", "connect_ex", "bind", "accept", "recv", "recv_into", "sendto")
    ),
)


@contextmanager
def guarded(world: World) -> Iterator[None]:
    """Within the block, the code of simulated processes finds no way around the world."""
    global _thread
    numbers, _thread = random.getstate(), threading.get_ident()
    random.seed(f"agents {world.seed}")
    with ExitStack() as stack:
        for place in (*_methods(), *_names(), _Place(sys, "stdin", sys.stdin, _Input(sys.stdin))):
            stack.enter_context(_replaced(place))
        try:
            yield
        finally:
            random.setstate(numbers)


_thread = 0


def simulated() -> World | None:
    """Return the world, if one of its processes has its turn in this thread."""
    world = worlds.current
    if world is None or world.loop is None or threading.get_ident() != _thread:
        return None
    return world


# --- what stands in ---------------------------------------------------------------------------


def _either(original: Callable[..., object], instead: Callable[..., object]) -> Any:
    """Return what calls `instead` with the world in a simulated process, and else the original."""

    @functools.wraps(original)
    def choose(*arguments: Any, **settings: Any) -> object:
        world = simulated()
        if world is None:
            return original(*arguments, **settings)
        return instead(world, *arguments, **settings)

    return choose


def _refusing(original: Callable[..., object], what: str, instead: str) -> Any:
    return _either(original, lambda _world, *_, **__: refuse(what, instead))


def _seed(world: World, generator: random.Random, a: Any = None, *rest: Any) -> None:
    """Seed a generator; one that would take its seed from the machine takes the world's."""
    _SEED(generator, world.random_bytes(32) if a is None else a, *rest)


_SEED: Final = random.Random.seed


class _Input:
    """Standard input, which no simulated process may read."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        if simulated() is not None:
            refuse("to read standard input", _STDIN)
        return getattr(self._original, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")


_FUNCTIONS: Final[dict[int, tuple[Any, Any]]] = {
    **{id(each): (each, _either(each, instead)) for each, instead in _GIVEN.items()},
    **{id(each): (each, _refusing(each, *texts)) for each, texts in _REFUSED_FUNCTIONS.items()},
}
"""Functions by their ids, each with its stand-in.

They are made once: a module that is imported in a simulation may keep a stand-in for ever.
"""


def _now() -> float:
    return time.time()  # the stand-in, while there is one


_DATES: Final[dict[int, tuple[Any, Any]]] = {
    id(real): (real, each) for real, each in stand_ins(_now).items()
}


# --- where ------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where something is that is to be replaced."""

    owner: Any
    name: str
    original: Any
    stand_in: Any


def _methods() -> Iterator[_Place]:
    yield _Place(random.Random, "seed", _SEED, _either(_SEED, _seed))
    for owner, name, what, instead in _REFUSED_METHODS:
        original = getattr(owner, name)
        yield _Place(owner, name, original, _refusing(original, what, instead))


def _names() -> list[_Place]:
    """Return where a module has one of the functions, or an author's one a class of dates."""
    global _found  # noqa: PLW0603 - to look through all modules takes a while
    if _found[0] != len(sys.modules):
        _found = len(sys.modules), list(_look_through_modules())
    return [each for each in _found[1] if vars(each.owner).get(each.name) is each.original]


_found: tuple[int, list[_Place]] = (0, [])


def _look_through_modules() -> Iterator[_Place]:
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if module is sys.modules[__name__] or not isinstance(names, dict):
            continue
        file = names.get("__file__")
        has_dates = names is vars(datetime) or (file and not is_of_a_library(str(file)))
        stand_ins = {**_FUNCTIONS, **_DATES} if has_dates else _FUNCTIONS
        for name, value in list(names.items()):
            if id(value) in stand_ins:
                yield _Place(module, name, *stand_ins[id(value)])


@contextmanager
def _replaced(place: _Place) -> Iterator[None]:
    inherited = place.name not in vars(place.owner)
    setattr(place.owner, place.name, place.stand_in)
    try:
        yield
    finally:
        if inherited:
            delattr(place.owner, place.name)
        else:
            setattr(place.owner, place.name, place.original)
