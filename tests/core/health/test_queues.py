"""Which queues do not move, by looks at them now and then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from civitas._node.queues import QueueWatch
from civitas.process import ProcessStatus


class Slot:
    """An agent's place, as it is looked at."""

    name = "a"

    def __init__(self) -> None:
        self.mailbox = SimpleNamespace(pending=1)
        self.counts = SimpleNamespace(handled=7)
        self.status = ProcessStatus.RUNNING


@pytest.fixture
def slot() -> Any:
    return Slot()


@pytest.fixture
def watch(slot: Any) -> QueueWatch:
    made = QueueWatch({"a": slot}, stuck_after=10.0)
    made.look(0.0)
    return made


def test_a_queue_in_which_nothing_moves_is_stuck_after_a_while(watch: QueueWatch, slot: Any):
    assert watch.stuck(slot, 9.9) == 0.0
    assert watch.stuck(slot, 10.0) == 10.0
    watch.look(10.0)
    assert watch.stuck(slot, 11.0) == 11.0


def test_one_message_that_is_handled_is_a_beginning_anew(watch: QueueWatch, slot: Any):
    slot.counts.handled += 1
    assert watch.stuck(slot, 20.0) == 0.0  # also before the next look
    watch.look(20.0)
    assert watch.stuck(slot, 29.0) == 0.0
    assert watch.stuck(slot, 30.0) == 10.0


def test_an_empty_queue_is_not_stuck_and_what_comes_later_has_its_time(
    watch: QueueWatch, slot: Any
):
    slot.mailbox.pending = 0
    assert watch.stuck(slot, 20.0) == 0.0
    watch.look(20.0)
    slot.mailbox.pending = 1
    watch.look(21.0)
    assert (watch.stuck(slot, 30.0), watch.stuck(slot, 31.0)) == (0.0, 10.0)


@pytest.mark.parametrize("status", [ProcessStatus.CRASHED, ProcessStatus.INITIALIZING])
def test_the_time_in_which_an_agent_does_not_run_is_not_counted(
    watch: QueueWatch, slot: Any, status: ProcessStatus
):
    slot.status = status
    watch.look(5.0)
    slot.status = ProcessStatus.RUNNING
    watch.look(100.0)
    assert watch.stuck(slot, 109.0) == 0.0
    assert watch.stuck(slot, 110.0) == 10.0


def test_an_agent_that_was_never_looked_at_is_not_stuck(slot: Any):
    assert QueueWatch({"a": slot}, 0.0).stuck(slot, 100.0) == 0.0
