"""What systemd is told, at a real socket of the test's own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from civitas._health.notify import Notifier, notifier_of
from support.agents import Scripted
from support.probing import made


class Manager:
    """The end of the service manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(10)

    def heard(self) -> str:
        """Return the next message."""
        return self.socket.recv(4096).decode()

    def until(self, line: str) -> list[str]:
        """Return all messages up to one that begins so."""
        heard = [self.heard()]
        while not heard[-1].startswith(line):
            heard.append(self.heard())
        return heard

    def silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(10)
        return False


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"@civitas-test-{os.getpid()}-{time.monotonic_ns()}"
    made = Manager(str(tmp_path / "notify") if request.param == "path" else name)
    yield made
    made.socket.close()


def variables(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "OTHER": "stays", **more}


def test_without_the_variable_nobody_is_told():
    assert notifier_of({}) is None


def test_what_is_told_comes_and_the_variables_are_gone(manager: Manager):
    given = variables(manager, WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid()))
    notifier = notifier_of(given)
    assert notifier is not None
    assert given == {"OTHER": "stays"}
    assert notifier.watchdog == 3.0
    notifier.ready()
    notifier.ready()
    notifier.status("two\nlines")
    notifier.status("two\nlines")
    notifier.stopping()
    notifier.close()
    assert [manager.heard() for _ in range(3)] == ["READY=1", r"STATUS=two\nlines", "STOPPING=1"]
    assert manager.silent()


def test_the_watchdog_is_told_twice_in_its_time(manager: Manager):
    notifier = notifier_of(variables(manager, WATCHDOG_USEC="2000000"))
    assert notifier is not None
    for now in (0.0, 0.5, 1.0, 1.5, 2.0):
        notifier.alive(now)
    assert [manager.heard() for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert manager.silent()
    notifier.close()


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}]
)
def test_a_watchdog_for_nobody_or_for_another_process_is_none_of_ours(manager: Manager, more):
    notifier = notifier_of(variables(manager, **more))
    assert notifier is not None
    notifier.alive(1.0)
    assert manager.silent()
    notifier.close()


@pytest.mark.parametrize(
    "address", ["vsock:2:1234", "relative", "/no/such/socket", "/" + "x" * 200]
)
def test_an_address_that_can_not_be_used_is_logged_and_ends_nothing(address: str, caplog):
    assert notifier_of({"NOTIFY_SOCKET": address}) is None
    assert "nobody is told how this service is" in caplog.text


def test_a_manager_that_has_gone_ends_nothing_and_is_logged_once(manager: Manager, caplog):
    notifier = notifier_of(variables(manager))
    assert notifier is not None
    manager.socket.close()
    notifier.ready()
    notifier.stopping()
    assert caplog.text.count("can't be told to the service manager") == 1
    notifier.close()


# --- a node ---------------------------------------------------------------------------------------


def pair(watchdog: float | None = None) -> tuple[Notifier, Manager]:
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager = Manager.__new__(Manager)
    manager.socket = ours
    ours.settimeout(10)
    return Notifier(theirs, watchdog), manager


async def test_a_node_is_ready_when_it_has_started_and_says_when_it_stops():
    may_start = asyncio.Event()

    class Slow(Scripted):
        async def on_start(self) -> None:
            await may_start.wait()

    notifier, manager = pair()
    runtime = made(Slow("a"))
    runtime.notifier = notifier
    starting = asyncio.create_task(runtime.start())
    heard = await asyncio.to_thread(manager.heard)
    assert heard == "STATUS=this process is starting (and 1 more)"
    may_start.set()
    await starting
    assert await asyncio.to_thread(manager.until, "STATUS") == ["READY=1", "STATUS=1 agent runs"]
    await runtime.stop()
    heard = await asyncio.to_thread(manager.until, "STOPPING")
    assert heard == ["STOPPING=1"]
    manager.socket.close()


async def test_a_loop_that_stands_still_is_silent_to_the_watchdog():
    entered, release = threading.Event(), threading.Event()

    async def block(agent: Scripted, message: object) -> None:
        entered.set()
        release.wait(30)

    notifier, manager = pair(watchdog=0.4)

    def watch() -> str:
        manager.until("WATCHDOG")
        entered.wait(30)
        manager.socket.settimeout(1.0)
        try:
            while True:  # what was told before the loop stood still
                manager.until("WATCHDOG")
        except TimeoutError:
            release.set()
        manager.socket.settimeout(10)
        return manager.until("WATCHDOG")[-1]

    runtime = made(Scripted("a", block), listen=0)
    runtime.notifier = notifier
    async with runtime:
        watching = asyncio.create_task(asyncio.to_thread(watch))
        await runtime.send("a", {})
        assert await watching == "WATCHDOG=1"
    manager.socket.close()
