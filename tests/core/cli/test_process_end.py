"""The end of a command's process: bounded, with the exit code that it has, and with a word."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

from support.commands import completed

PROGRAM = """
import atexit, multiprocessing, os, sys, threading, time
from civitas.cli import process_end, signals, streams
from civitas.cli.output import write
import civitas.plugins.masking  # as a command that has read a topology
streams.open_streams()
streams.reserve_stdout()
def endless(*_):
    while True:
        time.sleep(1)
"""


def ended(code: str, *, seconds: str = "") -> subprocess.CompletedProcess[str]:
    """Run code, and end its process with 7; by default within the time of a short command."""
    limit = f"process_end.end_within({seconds}, 7)\n" if seconds else ""
    end = f"write('result')\n{limit}process_end.end_process(7)\n"
    return completed(sys.executable, "-c", PROGRAM + textwrap.dedent(code) + end)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "threading.Thread(target=endless, name='poller').start()\n",
            "thread 'poller', at <string>",
        ),
        ("atexit.register(endless)\n", "an exit function, at <string>"),
        (
            "fork = multiprocessing.get_context('fork')\n"
            "fork.Process(target=time.sleep, args=(1,), name='helper').start()\n",
            r"process 'helper' \(\d+\)",
        ),
    ],
    ids=["thread", "exit function", "process"],
)
def test_what_never_ends_is_left_behind_and_named(code: str, said: str) -> None:
    done = ended(code, seconds="0.1")
    assert (done.returncode, done.stdout) == (7, "result\n")
    assert re.search(f"note: left behind, as it had not ended after 0.1 s: {said}", done.stderr)


def test_what_ends_in_time_is_waited_for_and_exit_functions_run_and_print_to_stderr() -> None:
    done = ended(
        """
        from concurrent.futures import ThreadPoolExecutor
        ThreadPoolExecutor().submit(print, "in a pool")
        threading.Timer(0.01, print, ["in a thread"]).start()
        atexit.register(print, "at exit")
        """
    )
    assert (done.returncode, done.stdout) == (7, "result\n")
    assert sorted(done.stderr.splitlines()) == ["at exit", "in a pool", "in a thread"]


def test_daemonic_children_of_what_is_left_behind_are_ended() -> None:
    done = ended(
        """
        threading.Thread(target=endless).start()
        fork = multiprocessing.get_context("fork")
        fork.Process(target=endless, daemon=True).start()
        """,
        seconds="0.1",
    )  # it returns when no process has our pipes any more
    assert done.returncode == 7


def test_a_signal_ends_at_once_what_waits_for_its_threads() -> None:
    done = ended(
        """
        import signal
        def interrupt():
            while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        threading.Thread(target=endless).start()
        atexit.register(print, "at exit")
        """,
        seconds="3600",
    )
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("length", [10, 100_000])
@pytest.mark.parametrize(
    ("target", "said"), [("full", "error: stdout can't be written to: "), ("unread", "")]
)
def test_a_result_that_can_not_be_written_is_a_failure(target: str, said: str, length: int) -> None:
    program = f"""
import os, sys, typer
from civitas.cli import streams
from civitas.cli.entry import run_program
from civitas.cli.output import write
app = typer.Typer()

@app.command()
def main():
    streams.reserve_stdout()
    write("x" * {length})

reading, unread = os.pipe()
os.close(reading)
full = os.open("/dev/full", os.O_WRONLY)
os.dup2({target}, 1)
run_program(app)
"""
    done = completed(sys.executable, "-c", program)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == bool(said)


@pytest.mark.parametrize("reserve", ["streams.reserve_stdout()", "pass"], ids=["result", "run"])
@pytest.mark.parametrize(
    "code",
    [
        "for each in (sys.stdout, sys.stderr): each.close()",
        "for each in (sys.stdout, sys.stderr): each.detach()",
        "sys.stdout = sys.stderr = object()",
        "sys.stdout = sys.stderr = None",
        "atexit.register(print, 'at exit'); sys.stdout.detach()",
    ],
    ids=["closed", "detached", "replaced", "none", "used at exit"],
)
def test_what_others_did_to_the_streams_of_python_changes_no_exit_code(
    code: str, reserve: str
) -> None:
    program = PROGRAM.replace("streams.reserve_stdout()", reserve) + f"{code}\n"
    done = completed(sys.executable, "-c", f"{program}process_end.end_process(7)\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


@pytest.mark.parametrize("target", ["full", "unread", "closed"])
def test_where_nobody_can_be_told_anything_all_goes_on(target: str) -> None:
    program = f"""
{PROGRAM}
from civitas.cli.output import write_error
reading, unread = os.pipe()
os.close(reading)
full = os.open("/dev/full", os.O_WRONLY)
os.close(2) if {target!r} == "closed" else os.dup2({{"full": full}}.get({target!r}, unread), 2)
write_error("said")
signals.write_from_handler("said in a handler")
write("result")
process_end.end_process(7)
"""
    done = completed(sys.executable, "-c", program)
    assert (done.returncode, done.stdout) == (7, "result\n")
