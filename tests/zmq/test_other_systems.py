"""On a system that lacks what Linux has, a proxy does all but limit the bytes that wait."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from civitas_zmq.forwarder import clock_of
from support.commands import DEADLINE
from support.waiting import eventually

SUITE = Path(__file__).parent.parent

CLOCKS = "import time; del time.pthread_getcpuclockid"
COUNTERS = "import socket; del socket.TCP_INFO"
CREDENTIALS = "import socket; del socket.SO_PEERCRED"
ALL = f"{CLOCKS}; {COUNTERS}; {CREDENTIALS}"
OTHERS = "import sys, zmq, psutil, pydantic.main, zoneinfo; sys.platform = 'freebsd14'"
"""There the same names may stand for something else."""


@pytest.mark.parametrize(
    ("lacking", "scheme"),
    [
        (CLOCKS, "tcp"),
        (COUNTERS, "tcp"),
        (CREDENTIALS, "ipc"),
        *((lacking, scheme) for lacking in (ALL, OTHERS) for scheme in ("tcp", "ipc")),
    ],
)
def test_a_proxy_forwards_and_closes_who_is_hostile(tmp_path, lacking, scheme):
    folder = [str(tmp_path)] if scheme == "ipc" else []
    done = subprocess.run(
        [sys.executable, "-c", f"{lacking}; from support.elsewhere import main; main()", *folder],
        env=dict(os.environ, PYTHONPATH=str(SUITE)),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_thread_that_has_ended_does_no_work() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    assert thread.ident is not None
    worked = clock_of(thread.ident)
    thread.join()
    eventually(worked, lambda seconds: seconds == 0.0)  # the system takes note a little later
