"""What `civitas new` writes runs at once: in one process, and in two."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitas._authoring.application import named, render

pytestmark = pytest.mark.slow

Start = Callable[..., Any]


def test_the_new_application_runs_in_one_process(start: Start, tmp_path: Path) -> None:
    write(tmp_path)
    running = start("run")
    running.until("running: 2 agents")
    running.signal(signal.SIGINT)
    assert running.wait() == 0, running.err


def test_the_new_application_runs_in_two_processes_and_answers(
    start: Start, tmp_path: Path
) -> None:
    write(tmp_path)
    # The defaults are for one system at a time, and tests run side by side.
    addresses = ("--set=transport.pub_addr=ipc://pub", "--set=transport.sub_addr=ipc://sub")
    overlay = ("--overlay", "processes.yaml", *addresses)
    running = start("up", *overlay)
    running.until("supervisor | running: 1 agent")
    asked = start("ask", "desk", '{"text": "two words"}', *overlay)
    assert asked.wait() == 0, asked.err
    assert '"words": 2' in "".join(asked.out)
    wrong = start("ask", "desk", "{}", *overlay)
    assert wrong.wait() == 1
    assert "the payload has no text" in "".join(wrong.err)
    running.signal(signal.SIGINT)
    assert running.wait() == 0, running.err


def write(folder: Path) -> None:
    for path, text in render(named("my-shop"), "0.1.0").items():
        place = folder / path
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
