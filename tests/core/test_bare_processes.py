"""A bare class over Redis, as the least that anybody would write, between two real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from civitas import Runtime, Supervisor
from civitas.errors import AgentError
from support import bare_redis
from support.bare_redis import Scribe, components
from support.redis.server import RedisServer

SOON = 60.0


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with RedisServer(tmp_path / "server") as server:
        yield server.url


@pytest.fixture
def worker(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process with a Worker on such a transport, and its agent `far`."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", bare_redis.__name__, url],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(bare_redis.__file__).parents[1])},
    )
    with process:
        yield process
        process.kill()


@pytest.mark.slow
async def test_it_carries_all_that_two_processes_have_to_say(url, worker) -> None:
    root = Supervisor("root", [Scribe("near")], backoff_base=0.0)
    root.add_remote_child("far")
    async with Runtime(supervisor=root, components=components(url)) as runtime:
        for asked, other in (("near", "far"), ("far", "near")):
            answer = await runtime.ask(asked, {"ask": other}, timeout=SOON)
            assert answer.payload["name"] == other
        for number in range(500):
            await runtime.send("far", {"number": number})
        answer = await runtime.ask("far", {}, timeout=SOON)
        assert answer.payload["numbers"] == list(range(500))
        with pytest.raises(AgentError, match="ValueError: crash"):
            await runtime.ask("far", {"crash": True}, timeout=SOON)
        answer = await runtime.ask("far", {}, timeout=SOON)
        assert answer.payload["numbers"] == [], "its supervisor has restarted it"
        assert runtime.stats().lost == {}
        worker.send_signal(signal.SIGTERM)
        _, logged = worker.communicate(timeout=SOON)
    assert worker.returncode == 0
    assert "does not say whether it reaches other processes" in logged
    assert logged.count("Traceback") == 1, "of the crash that was asked for, and no other"
