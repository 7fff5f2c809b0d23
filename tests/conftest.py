"""What every test of the suite gets: proof that it left nothing behind."""

from __future__ import annotations

import asyncio
import compileall
import gc
import itertools
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio

from support.forked_commands import of_this_process
from support.local_bus.testbed import LocalBus, installed
from support.signals import default_signals_for_children

# Deadlines would measure the machine, and examples by chance would differ from run to run.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.register_profile("fast", deadline=None, derandomize=True, max_examples=20)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=5_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


WORKSPACE = Path(__file__).parents[1]

DESCRIPTORS = "/proc/self/fd"

CHILD_WATCHER = "asyncio-waitpid"
"""Beginning of the names of threads in which asyncio waits for a process.

Such a thread tells its loop that the process has ended, and then ends itself.
"""

ENDS_WITHIN = 10.0
"""Seconds within which it does, on a machine that is busy with other tests."""

THAWED_EVERY = 100
"""Tests after which all objects are looked through for garbage, not only those of one test."""

_numbers = itertools.count()

BROKERS = frozenset({"server", "jetstream", "cluster", "shared_nats", "shared_jetstream"})
"""Fixtures that start a server of others."""

BROKERED = ("nats", "jetstream", "redis")
"""Beginnings of the places of agents that have such a server."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the packages of this workspace, which the processes of tests import by the hundred.

    Where `PYTHONDONTWRITEBYTECODE` is set, each of them would compile what it imports, which is
    a third of what a short command takes.
    """
    if not hasattr(session.config, "workerinput"):
        for sources in WORKSPACE.glob("civitas-*/src"):
            compileall.compile_dir(sources, quiet=1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what pytest makes of the modules of tests: reading them anew takes twice as long."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what starts a broker, as its fixtures or its place tell."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if not BROKERS.isdisjoint(fixtures) or str(params.get("place", "")).startswith(BROKERED):
            item.add_marker(pytest.mark.slow)


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir(DESCRIPTORS):
        try:
            found[name] = os.readlink(f"{DESCRIPTORS}/{name}")
        except FileNotFoundError:
            continue  # the one that listed them
    return found


@pytest.fixture(scope="session", autouse=True)
def default_signals() -> Iterator[None]:
    """Let the suite pass under `nohup` and in the background: its children hear every signal."""
    with default_signals_for_children():
        yield


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Put back what a command that a test has run in this process made of the logging."""
    loggers = [logging.getLogger(name) for name in (None, "civitas.control")]
    levels = [each.level for each in loggers]
    handlers, hook = logging.root.handlers[:], threading.excepthook
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.root.handlers[:] = [each for each in logging.root.handlers if each in handlers]
    logging.captureWarnings(capture=False)
    threading.excepthook = hook


def _keep_what_is_there() -> None:
    """Take what there is before a test out of the collection that follows it.

    These are 200,000 objects and more, and looking through them after each test takes 0.1 s. What
    becomes garbage between two tests is found when all are looked through again.
    """
    if next(_numbers) % THAWED_EVERY == 0:
        gc.unfreeze()
        gc.collect()
    gc.freeze()


@pytest_asyncio.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task, a thread or a file descriptor behind."""
    _keep_what_is_there()
    threads = set(threading.enumerate())
    descriptors = _descriptors()
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    left = [task.get_name() for task in tasks if not task.done()]
    assert not left, f"tasks left behind: {left}"
    await asyncio.get_running_loop().shutdown_default_executor()
    gc.collect()
    started = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in started:
        if thread.name.startswith(CHILD_WATCHER):
            thread.join(ENDS_WITHIN)
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"threads left behind: {left}"
    opened = {k: v for k, v in _descriptors().items() if descriptors.get(k) != v}
    assert not opened, f"file descriptors left behind: {opened}"


@pytest.fixture(scope="session")
def forked_programs() -> None:
    """Let tests run commands by `support.forked_commands.printed`."""
    of_this_process()


@pytest.fixture
def local_bus(tmp_path: Path) -> Iterator[LocalBus]:
    """A bus between processes, discovered as a plugin by this process and by its children."""
    with installed(tmp_path) as bus:
        yield bus
