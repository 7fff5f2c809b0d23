"""What tests start hears signals, also when the suite was started with these signals ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.signals import default_signals_for_children

DEADLINE = 60.0
IGNORING = ["sh", "-c", "trap '' INT QUIT HUP; exec \"$@\"", "sh"]
"""As a script's background job under `nohup`."""

numbers = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])


def hears(number: signal.Signals, folder: Path) -> bool:
    """Send a signal to a program; return whether it ended from it."""
    with subprocess.Popen(["sleep", "60"], cwd=folder) as program:
        program.send_signal(number)
        try:
            return program.wait(DEADLINE / 3) == -number
        except subprocess.TimeoutExpired:
            program.kill()
            return False


@numbers
def test_a_program_that_a_test_starts_hears(number: signal.Signals, tmp_path: Path) -> None:
    assert hears(number, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_it_does_so_when_the_suite_was_started_with_signals_ignored(workers: str) -> None:
    chosen = f"{__file__}::{test_a_program_that_a_test_starts_hears.__name__}"
    options = ["-q", "-p", "no:cacheprovider", "-n", workers]
    done = subprocess.run(
        [*IGNORING, sys.executable, "-m", "pytest", *options, chosen],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@numbers
def test_the_process_that_starts_it_goes_on_ignoring(
    number: signal.Signals, tmp_path: Path
) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with default_signals_for_children():
            os.kill(os.getpid(), number)
            assert hears(number, tmp_path)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@numbers
def test_a_signal_that_is_not_ignored_keeps_its_handler(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with default_signals_for_children():
        assert signal.getsignal(number) is before
