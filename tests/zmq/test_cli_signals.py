"""A signal ends `civitas-zmq proxy`, whatever its wait is at when it comes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from civitas_zmq import cli
from civitas_zmq.proxy import ProxySettings
from support.zmq import PATIENCE, options_for

WITHIN = {cli.__file__, threading.__file__}
"""Where the wait is."""


@pytest.fixture
def dispositions() -> Iterator[None]:
    """Give the signals back, and end what no signal ends."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = {each: signal.signal(each, signal.SIG_DFL) for each in numbers}

    def give_up(*_: object) -> None:
        raise TimeoutError("the signal has not ended it")

    signal.signal(signal.SIGALRM, give_up)
    timer = signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    yield
    signal.setitimer(signal.ITIMER_REAL, *timer)
    for number, each in before.items():
        signal.signal(number, each)


@pytest.mark.parametrize("line", range(1, 9))
@pytest.mark.usefixtures("dispositions")
def test_a_signal_that_comes_at_any_line_of_the_wait_ends_the_proxy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: int
) -> None:
    """Python calls the handler between two instructions of the thread that waits."""
    is_ready, lines = False, 0

    def written(*_: Any) -> None:
        nonlocal is_ready
        is_ready = True

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in WITHIN:
            return None
        if event == "line" and is_ready:
            lines += 1
            if lines == line:
                signal.raise_signal(signal.SIGTERM)
        return trace

    monkeypatch.setattr(cli, "write", written)
    monkeypatch.setattr(cli, "_CHECK_INTERVAL", 0.001)  # the wait begins again and again
    options = options_for()
    settings = ProxySettings(pub_addr=options.pub_addr, sub_addr=options.sub_addr)
    tracing = sys.gettrace()
    sys.settrace(trace)
    try:
        assert cli._run(settings) == 0  # noqa: SLF001 - what the command does
    finally:
        sys.settrace(tracing)
    assert lines >= line
