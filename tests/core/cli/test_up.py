"""A process group: small programs that run and end together, as `civitas up` has them."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from civitas.cli.process_group.child import Child
from civitas.cli.process_group.console import Console, Stream
from civitas.cli.process_group.group import (
    Backoff,
    ExitAction,
    Member,
    ProcessGroup,
    describe,
    ended_in_order,
    exit_action,
)
from support.processes import MARK, Watched, marked, outliving

DEADLINE = 60.0
AT_ONCE = Backoff(base=0.0)
RUNS = "import signal; print('here'); signal.pause()"
"""Runs until SIGTERM, and dies of it."""
ORDERLY = """
import os, signal, sys
def end(*_):
    print("told")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("here", os.getpid())
while True:
    signal.pause()
"""


class Screen(io.RawIOBase):
    """Keeps what is written, and says when it came."""

    def __init__(self) -> None:
        self.data = b""
        self._news = asyncio.Event()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self.data += chunk
        self._news.set()
        return len(chunk)

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()

    async def until(self, pattern: str) -> re.Match[bytes]:
        async with asyncio.timeout(DEADLINE):
            while True:
                if found := re.search(pattern.encode(), self.data):
                    return found
                self._news.clear()
                await self._news.wait()


class Show:
    """A group that runs, and the screens that it writes to."""

    def __init__(self, members: list[Member], **options: object) -> None:
        self.out, self.err = Screen(), Screen()
        console = Console([each.name for each in members], self.out, self.err)
        self.group = ProcessGroup(members, console, **{"backoff": AT_ONCE, **options})
        self.task = asyncio.create_task(self.group.run())

    async def status(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.task


@asynccontextmanager
async def running(*members: Member, **options: object) -> AsyncIterator[Show]:
    show = Show(list(members), **options)
    try:
        yield show
    finally:
        show.task.cancel()
        await asyncio.wait([show.task])


def program(code: str) -> list[str]:
    """A command that runs the code, quick to start."""
    return [sys.executable, "-S", "-P", "-c", textwrap.dedent(code)]


def primary(code: str) -> Member:
    return Member("supervisor", program(code), is_primary=True)


def worker(code: str, name: str = "worker") -> Member:
    return Member(name, program(code))


@pytest.fixture(autouse=True)
def no_orphans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    assert not outliving(str(tmp_path), DEADLINE)


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "of_worker", "of_primary"),
    [
        (0, ExitAction.CONTINUE, ExitAction.END_ALL),
        (1, ExitAction.RESTART, ExitAction.END_ALL),
        (2, ExitAction.END_ALL, ExitAction.END_ALL),
        (3, ExitAction.RESTART, ExitAction.END_ALL),
        (143, ExitAction.RESTART, ExitAction.END_ALL),
        (-signal.SIGKILL, ExitAction.RESTART, ExitAction.RESTART),
        (-signal.SIGTERM, ExitAction.RESTART, ExitAction.RESTART),
    ],
)
def test_what_follows_an_end(code: int, of_worker: ExitAction, of_primary: ExitAction) -> None:
    assert exit_action(code, is_primary=False) is of_worker
    assert exit_action(code, is_primary=True) is of_primary


def test_ends_in_words() -> None:
    assert describe(3) == "ended with exit code 3"
    assert describe(-9) == "was killed by SIGKILL"
    assert describe(-(signal.SIGRTMIN + 1)) == f"was killed by signal {signal.SIGRTMIN + 1}"


def test_a_process_may_die_of_the_sigterm_that_ends_it() -> None:
    assert [code for code in (0, 1, 2, -15, -9) if ended_in_order(code)] == [0, -15]


def test_the_wait_doubles_up_to_its_maximum_less_half_at_random() -> None:
    backoff = Backoff()
    assert [backoff.delay(n, 1.0) for n in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert backoff.delay(3, 0.0) == 1.0


# --- output --------------------------------------------------------------------------------------


async def test_each_stream_goes_to_its_own_and_shows_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    code = "import signal, sys; print('one'); print('two', file=sys.stderr); signal.pause()"
    async with running(primary(code)) as show:
        await show.out.until("supervisor \\| one\n")
        await show.err.until("supervisor \\| two\n")
        show.group.stop()
        assert await show.status() == 0


async def test_a_last_line_without_an_end_is_shown() -> None:
    async with running(primary("print('no end', end='')")) as show:
        assert await show.status() == 0
        assert show.out.lines == ["supervisor | no end"]


async def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    async with running(primary(r"import os; os.write(1, b'\xff\x00\xfe\r\n')")) as show:
        await show.status()
        assert show.out.data == rb"supervisor | \xff\x00\xfe" + b"\n"


async def test_lines_of_a_megabyte_stay_whole_and_apart() -> None:
    code = "for _ in range(3): print('{0}' * 1_000_000, end='-\\n')"
    async with running(
        worker(code.format("a"), "a"), worker(code.format("b"), "b"), primary(RUNS)
    ) as show:
        await show.err.until("a is done")
        await show.err.until("b is done")
        lines = show.out.lines
    whole = {f"{name:<10} | {name * 1_000_000}-" for name in "ab"}
    assert sorted(line for line in lines if "here" not in line) == sorted([*whole] * 3)


async def test_all_that_a_process_wrote_is_shown_before_it_is_said_to_have_ended() -> None:
    shown: list[tuple[Stream, bytes]] = []
    code = "import sys; print('x' * 60_000); print('y', file=sys.stderr, end='')"
    child = Child(
        program(code), lambda stream, lines: shown.extend((stream, x) for x in lines), os.environ
    )
    with Watched(child.pid) as process:
        assert process.has_ended(DEADLINE)  # and the event loop had no time to read anything
    child.poll()
    assert child.ended.result() == 0
    assert shown == [(Stream.OUT, b"x" * 60_000), (Stream.ERR, b"y")]


async def test_output_that_nobody_reads_any_more_ends_all() -> None:
    class Gone(Screen):
        def write(self, data: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    err = Screen()
    group = ProcessGroup(
        [primary(RUNS), worker(RUNS)], Console(["supervisor", "worker"], Gone(), err)
    )
    async with asyncio.timeout(DEADLINE):
        assert await group.run() == 1
    assert "stdout can't be written to any more (Broken pipe); ending all" in err.lines[0]


# --- ends and restarts ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 77])
async def test_all_end_with_the_code_of_a_primary_that_ends_by_itself(
    code: int, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ends = f"open({str(gate)!r}).read(); raise SystemExit({code})"
    async with running(primary(ends), worker(ORDERLY, "a"), worker(ORDERLY, "b")) as show:
        await show.out.until("a .* here")
        await show.out.until("b .* here")
        gate.write_text("")
        assert await show.status() == code
        assert sum("told" in line for line in show.out.lines) == 2
        assert f"supervisor ended with exit code {code}" in "\n".join(show.err.lines)


async def test_a_crash_loop_is_reported_with_its_waits() -> None:
    backoff = Backoff(base=0.01, maximum=0.02)
    crashes = worker("raise SystemExit(1)")
    async with running(crashes, primary(RUNS), backoff=backoff, jitter=lambda: 1.0) as show:
        await show.err.until("restart 4")
        assert [line for line in show.err.lines if line.startswith("up")][:4] == [
            f"up         | worker ended with exit code 1; starting again in {wait:.1f} s "
            f"(restart {number})"
            for number, wait in ((1, 0.01), (2, 0.02), (3, 0.02), (4, 0.02))
        ]


async def test_a_worker_that_a_signal_killed_is_started_again() -> None:
    async with running(worker(ORDERLY), primary(RUNS)) as show:
        found = await show.out.until("worker .* here (\\d+)")
        os.kill(int(found[1]), signal.SIGKILL)
        await show.err.until("worker was killed by SIGKILL; starting again in 0.0 s .restart 1.")
        await show.out.until("(?s)here \\d+.*worker .* here \\d+")
        show.group.stop()
        assert await show.status() == 0


async def test_a_primary_that_a_signal_killed_is_started_again_beside_its_workers() -> None:
    async with running(primary(ORDERLY), worker(ORDERLY)) as show:
        found = await show.out.until("supervisor .* here (\\d+)")
        await show.out.until("worker .* here")
        os.kill(int(found[1]), signal.SIGSEGV)
        await show.out.until("(?s)supervisor .*supervisor .* here")
        assert "supervisor was killed by SIGSEGV; starting again" in "\n".join(show.err.lines)
        show.group.stop()
        assert await show.status() == 0
        assert sum("worker" in line and "here" in line for line in show.out.lines) == 1


async def test_the_waits_begin_anew_for_a_process_that_ran_well() -> None:
    backoff = Backoff(base=0.0, reset_after=0.0)
    async with running(worker("raise SystemExit(1)"), primary(RUNS), backoff=backoff) as show:
        await show.err.until("(?s)(restart 1.*){3}")
        assert "restart 2" not in show.err.data.decode()


async def test_a_worker_that_is_done_is_not_started_again() -> None:
    async with running(worker("pass"), primary(RUNS)) as show:
        await show.err.until("worker is done")
        show.group.stop()
        assert await show.status() == 0
        assert "starting again" not in show.err.data.decode()


async def test_bad_input_ends_all_with_its_code_and_a_reason() -> None:
    async with running(worker("raise SystemExit(2)", "bad"), worker(RUNS), primary(RUNS)) as show:
        assert await show.status() == 2
        reason, ends = show.err.lines
        assert "bad ended with exit code 2 (bad input)" in reason
        assert "bad ended with exit code 2, worker was killed by SIGTERM" in ends


async def test_a_program_that_can_not_be_started_is_reported() -> None:
    async with running(Member("supervisor", ["/no/such/program"], is_primary=True)) as show:
        assert await show.status() == 126
        assert "supervisor can't be started" in show.err.lines[0]
        assert "/no/such/program" in show.err.lines[0]


async def test_what_a_process_leaves_behind_is_ended(tmp_path: Path) -> None:
    code = """
        import signal, subprocess, sys
        left = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
        print("left", left.pid)
        signal.pause()
    """
    async with running(worker(code), primary(RUNS), backoff=Backoff(base=1000.0)) as show:
        found = await show.out.until("left (\\d+)")
        with Watched(int(found[1])) as left:
            pid = next(p for p in marked(str(tmp_path)) if os.getpgid(int(found[1])) == p)
            os.kill(pid, signal.SIGKILL)
            assert await asyncio.to_thread(left.has_ended, DEADLINE)


# --- stop ----------------------------------------------------------------------------------------


async def test_the_primary_ends_first_while_workers_still_answer(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    drains = f"""
        import signal, sys
        def end(*_):
            print("draining")
            open({str(gate)!r}).read()
            print("drained")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("here")
        signal.pause()
    """
    answers = "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('pong'))\n" + ORDERLY
    async with running(primary(drains), worker(answers)) as show:
        await show.out.until("supervisor .* here")
        pid = int((await show.out.until("worker .* here (\\d+)"))[1])
        show.group.stop()
        await show.out.until("draining")
        for pings in (1, 2):  # a SIGTERM sent before the first would be handled by the second
            os.kill(pid, signal.SIGUSR1)
            await show.out.until(f"(?s)(pong.*){{{pings}}}")
        gate.write_text("")
        assert await show.status() == 0
        ends = [line.split("| ")[1] for line in show.out.lines[2:]]
        assert ends == ["draining", "pong", "pong", "drained", "told"]
        assert show.err.lines == []


@pytest.mark.slow
async def test_a_process_that_ignores_its_end_is_killed_and_it_is_said() -> None:
    deaf = """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("here")
        while True:
            signal.pause()
    """
    async with running(primary(ORDERLY), worker(deaf), worker(RUNS, "b"), grace=0.3) as show:
        for name in ("supervisor", "worker", "b"):
            await show.out.until(f"{name} .* here")
        show.group.stop()
        assert await show.status() == 1
        assert show.err.lines == [
            "up         | worker has not ended within 0.3 s: killed",
            "up         | supervisor ended with exit code 0, worker was killed by SIGKILL, "
            "b was killed by SIGTERM",
        ]


async def test_a_stop_does_not_wait_for_a_restart() -> None:
    backoff = Backoff(base=1000.0, maximum=1000.0)
    async with running(worker("raise SystemExit(1)"), primary(RUNS), backoff=backoff) as show:
        await show.err.until("starting again")
        show.group.stop()
        assert await show.status() == 0


async def test_a_stop_before_the_first_start_starts_nothing() -> None:
    async with running(primary(RUNS)) as show:
        show.group.stop()
        assert await show.status() == 0
        assert show.out.lines == []


async def test_a_cancelled_group_leaves_nothing(tmp_path: Path) -> None:
    async with running(primary(ORDERLY), worker(ORDERLY)) as show:
        await show.out.until("supervisor .* here")
        await show.out.until("worker .* here")
    assert not marked(str(tmp_path))


async def test_processes_are_out_of_reach_of_the_terminal_s_signals() -> None:
    async with running(primary(ORDERLY)) as show:
        pid = int((await show.out.until("here (\\d+)"))[1])
        assert os.getsid(pid) == pid != os.getsid(0)
