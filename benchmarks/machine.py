"""The machine: what a run was measured on, and which versions it measured."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.harness import MissingError
from benchmarks.servers import program

_LIBRARIES: Final = ("msgpack", "pyzmq", "nats-py", "redis", "pluggy", "pydantic", "typer")
_SERVERS: Final = {"nats-server": "--version", "redis-server": "--version"}
_HERE: Final = Path(__file__).parent


def machine() -> dict[str, Any]:
    """Describe this machine and what is installed, as values for JSON."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": dict(_libraries()),
    }


def described_version() -> str:
    """Return how git describes what is measured; empty where there is no git."""
    command = ["git", "-C", str(_HERE), "describe", "--tags", "--always", "--dirty"]
    return _said(command)


@contextmanager
def pinned_if(wanted: bool) -> Iterator[bool]:
    """Keep this process, and all that it starts, on one processor within the block, if wanted.

    Yields whether that was done: not every system can.
    """
    if not wanted or not hasattr(os, "sched_setaffinity"):
        yield False
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})  # the first one serves most interrupts
    try:
        yield True
    finally:
        os.sched_setaffinity(0, allowed)


def _libraries() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            yield name, version(name)
    with suppress(ImportError):
        import zmq

        yield "libzmq", zmq.zmq_version()
    for name, option in _SERVERS.items():
        with suppress(MissingError):
            words = _said([program(name), option]).replace("v=", "").split()
            yield name, next((each.lstrip("v") for each in words if each[-1:].isdigit()), "")


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        return _said(["sysctl", "-n", "machdep.cpu.brand_string"])
    return platform.processor()


def _said(command: list[str]) -> str:
    """Return what a command has printed; nothing where it fails."""
    with suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
