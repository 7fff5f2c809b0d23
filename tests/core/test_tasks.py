"""Tasks: nothing that runs on its own ends unexpectedly in silence."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from civitas.errors import AbortError, TaskFailedError, crash_unless_cancelled
from civitas.plugins import TransportContext
from civitas.transport import cancel_task, failure_of, guard_callback, start_task

SOON = 10.0


class PanicError(BaseException):
    """What a library raises that wants to end the process."""


class Owner:
    """Starts tasks, and keeps what is reported of them."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.reported = asyncio.Event()

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self.reported.set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return start_task(work, name="a reader", failed=self.failed)

    async def only_failure(self) -> TaskFailedError:
        async with asyncio.timeout(SOON):
            await self.reported.wait()
        (failure,) = self.failures
        assert isinstance(failure, TaskFailedError)
        return failure


async def raising(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize("kind", [ValueError, PanicError, SystemExit, KeyboardInterrupt])
async def test_a_task_that_raises_is_reported_with_its_name_and_its_error(
    kind: type[BaseException],
) -> None:
    owner = Owner()
    task = owner.start(raising(kind("a defect")))
    failure = await owner.only_failure()
    assert str(failure) == f"'a reader' has ended unexpectedly: {kind.__name__}: a defect"
    assert failure.task == "a reader"
    cause = failure.__cause__
    assert isinstance(cause.__cause__ if isinstance(cause, AbortError) else cause, kind)
    with pytest.raises(Exception, match="a defect"):  # whoever awaits it gets it as well
        await task


async def test_a_task_that_returns_is_not_reported() -> None:
    owner = Owner()
    assert await owner.start(asyncio.sleep(0, "done")) == "done"
    await asyncio.sleep(0)
    assert owner.failures == []


async def test_a_task_that_is_ended_by_its_owner_is_not_reported() -> None:
    owner = Owner()
    begun, unbegun = owner.start(asyncio.sleep(SOON)), owner.start(asyncio.sleep(SOON))
    await asyncio.sleep(0)
    cancel_task(begun)
    cancel_task(unbegun)
    await asyncio.wait((begun, unbegun))
    await asyncio.sleep(0.1)  # the time of a report
    assert owner.failures == []


@pytest.mark.filterwarnings("error")
async def test_a_task_that_is_ended_before_its_first_turn_leaves_no_warning() -> None:
    owner = Owner()
    task = owner.start(asyncio.sleep(SOON))
    cancel_task(task)
    await asyncio.wait((task,))
    gc.collect()
    assert owner.failures == []


async def test_a_task_that_others_cancel_is_reported() -> None:
    owner = Owner()
    owner.start(asyncio.sleep(SOON)).cancel()
    assert "CancelledError" in str(await owner.only_failure())


async def test_a_task_whose_future_others_cancel_is_reported() -> None:
    owner = Owner()
    awaited = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await awaited

    owner.start(wait())
    await asyncio.sleep(0)
    awaited.cancel()
    assert "CancelledError" in str(await owner.only_failure())


async def test_what_a_task_raises_while_its_owner_ends_it_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(SOON)
        finally:
            raise ValueError("a defect of its end")

    task = owner.start(stubborn())
    await asyncio.sleep(0)
    cancel_task(task)
    await asyncio.wait((task,))
    await asyncio.sleep(0)
    assert "raised while it was ended" in caplog.text
    assert owner.failures == []


def test_the_end_of_an_event_loop_is_no_failure() -> None:
    failures: list[BaseException] = []

    async def main() -> None:
        start_task(asyncio.sleep(SOON), name="a reader", failed=failures.append)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert failures == []


def test_a_signal_still_interrupts_what_a_task_does() -> None:
    code = (
        "import asyncio, os, signal\n"
        "from civitas.transport import start_task\n"
        "async def work():\n"
        "    while True: pass\n"
        "async def main():\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    start_task(work(), name='a task', failed=lambda e: print('reported', flush=True))\n"
        "    print('begun', flush=True)\n"
        "    await asyncio.sleep(9)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=6 * SOON)
    assert process.returncode == -signal.SIGINT
    assert rest == ""
    assert "KeyboardInterrupt" in errors


@pytest.mark.parametrize("kind", [ValueError, PanicError, SystemExit, asyncio.CancelledError])
async def test_a_callback_that_raises_is_reported(kind: type[BaseException]) -> None:
    owner = Owner()

    def broken(*arguments: object) -> None:
        raise kind(arguments)

    call: Callable[..., None] = guard_callback(broken, name="a timer", failed=owner.failed)
    asyncio.get_running_loop().call_later(0, call, 1, 2)
    assert str(await owner.only_failure()).startswith(
        f"'a timer' has ended unexpectedly: {kind.__name__}: (1, 2)"
    )


def test_without_a_node_it_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    TransportContext().failed(failure_of("a thread", ValueError("a defect")))
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "'a thread' has ended unexpectedly: ValueError: a defect" in record.message
    assert record.exc_info


async def awaiting(error: BaseException) -> Exception:
    try:
        await raising(error)
    except BaseException as raised:  # noqa: BLE001 - it is what this is about
        return crash_unless_cancelled(raised)
    raise AssertionError("it raises")


@pytest.mark.parametrize("kind", [ValueError, PanicError, SystemExit, asyncio.CancelledError])
async def test_what_awaited_code_raises_of_its_own_is_a_crash(kind: type[BaseException]) -> None:
    crash = await awaiting(kind("a defect"))
    assert isinstance(crash if kind is ValueError else crash.__cause__, kind)


async def test_a_cancellation_of_the_task_itself_is_none() -> None:
    task = asyncio.create_task(awaiting(ValueError("a defect")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
