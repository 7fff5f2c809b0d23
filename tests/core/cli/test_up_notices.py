"""What `up` tells a service manager, of what its processes tell: it speaks for all of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from civitas._health.notify import Notifier
from civitas.cli.process_group.notices import Notices


class Group:
    """A group of which a test says what runs."""

    def __init__(self) -> None:
        self.running = {"supervisor": 1, "kitchen": 2}
        self.unfinished = ["supervisor", "kitchen"]
        self.is_stopping = False


class Manager:
    """The other end of the notifier."""

    def __init__(self, watchdog: float | None) -> None:
        theirs, self._ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        self.notifier = Notifier(theirs, watchdog)

    def heard(self) -> list[str]:
        """Return all that was told since the last call."""
        found: list[str] = []
        try:
            while True:
                found.append(self._ours.recv(4096).decode())
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._ours.close()


@contextmanager
def told(watchdog: float | None = None) -> Iterator[tuple[Notices, Group, Manager]]:
    manager, group = Manager(watchdog), Group()
    try:
        with Notices(manager.notifier) as notices:
            notices.look(group, 0.0)
            manager.heard()
            yield notices, group, manager
    finally:
        manager.close()


def test_it_is_ready_when_each_process_is():
    with told() as (notices, group, manager):
        notices.take(b"PROCESS=supervisor\nREADY=1", 0.0)
        notices.take(b"PROCESS=supervisor\nSTATUS=2 agents run", 0.0)
        notices.look(group, 1.0)
        assert manager.heard() == [
            "STATUS=1 of 2 processes run; supervisor: 2 agents run; kitchen: starting"
        ]
        notices.take(b"PROCESS=kitchen\nREADY=1\nSTATUS=1 agent runs", 1.0)
        notices.look(group, 1.0)
        assert manager.heard() == [
            "READY=1",
            "STATUS=2 of 2 processes run; supervisor: 2 agents run; kitchen: 1 agent runs",
        ]


def test_a_worker_that_is_done_is_not_waited_for():
    with told() as (notices, group, manager):
        notices.take(b"PROCESS=supervisor\nREADY=1", 0.0)
        del group.running["kitchen"]
        group.unfinished.remove("kitchen")
        notices.look(group, 1.0)
        assert "READY=1" in manager.heard()


def test_a_process_that_is_started_again_has_to_say_all_anew():
    with told() as (notices, group, manager):
        notices.take(b"PROCESS=kitchen\nREADY=1", 0.0)
        group.running = {"supervisor": 1}
        notices.look(group, 1.0)
        assert "kitchen: not running" in manager.heard()[0]
        group.running = {"supervisor": 1, "kitchen": 3}
        notices.take(b"PROCESS=supervisor\nREADY=1", 0.0)
        notices.look(group, 2.0)
        assert "READY=1" not in manager.heard()


def test_the_watchdog_hears_while_each_process_that_is_ready_does():
    with told(watchdog=4.0) as (notices, group, manager):
        for name in (b"supervisor", b"kitchen"):
            notices.take(b"PROCESS=%s\nREADY=1\nWATCHDOG=1" % name, 10.0)
        notices.look(group, 11.0)
        assert "WATCHDOG=1" in manager.heard()
        notices.take(b"PROCESS=supervisor\nWATCHDOG=1", 13.0)
        notices.look(group, 13.0)  # the kitchen was last heard 3 s ago
        assert "WATCHDOG=1" not in manager.heard()
        group.running = {"supervisor": 1, "kitchen": 9}  # killed, and started again
        notices.look(group, 13.0)
        assert "WATCHDOG=1" in manager.heard()


def test_it_stops_when_the_group_does_and_says_so_at_the_latest_at_its_end():
    with told() as (notices, group, manager):
        group.is_stopping = True
        notices.look(group, 1.0)
        assert manager.heard()[0] == "STOPPING=1"
    manager = Manager(None)
    with Notices(manager.notifier):
        pass
    assert manager.heard() == ["STOPPING=1"]
    manager.close()


@pytest.mark.parametrize("message", [b"", b"\xff\n=", b"READY=1", b"PROCESS=nobody\nREADY=1"])
def test_what_no_process_of_the_group_tells_is_passed_over(message: bytes):
    with told() as (notices, group, manager):
        notices.take(message, 0.0)
        notices.look(group, 0.5)
        assert manager.heard() == []
