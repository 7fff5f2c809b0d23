"""Code that is run in a process of its own, with limited memory, to see what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from support.commands import DEADLINE

_SUITE = Path(__file__).parent.parent
_MOST = 6 << 30
"""Bytes of address space: what is wrong fails, and takes no other test with it."""

_FRAME = f"""
import json, resource
resource.setrlimit(resource.RLIMIT_AS, ({_MOST}, {_MOST}))
{{setup}}
def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
before = usage()
try:
    {{code}}
    outcome = "done"
except Exception as error:
    outcome = type(error).__name__
after = usage()
print(json.dumps([outcome, after[0] - before[0], after[1] - before[1]]))
"""


class Cost(NamedTuple):
    """What code has cost: seconds of a processor, and bytes beyond what there were before."""

    outcome: str
    """`done`, or the error that it raised."""
    seconds: float
    memory: int


def cost_of(setup: str, code: str) -> Cost:
    """Run `setup`, then one line of code, and say what the latter costs."""
    done = subprocess.run(
        [sys.executable, "-c", _FRAME.format(setup=setup, code=code)],
        env=dict(os.environ, PYTHONPATH=str(_SUITE)),
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Cost(*json.loads(done.stdout))
