"""The rows: asks and streams between processes, on the pub/sub of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks import ours
from benchmarks.child import Child
from benchmarks.harness import Effort, Row
from benchmarks.processes.rows import LARGEST, by_size
from benchmarks.servers import redis_server

FLOOR: Final = "raw redis-py"


def rows(effort: Effort) -> Iterator[Row]:
    """Measure on one server, with channels of each side's own."""
    with redis_server() as url:
        options = {"redis_url": url, "redis_prefix": "ours:", "redis_max_message_bytes": LARGEST}
        with (
            ours.primary("redis", options) as primary,
            ours.worker("redis", options),
            Child("redis.raw", "server", url),
            Child("redis.raw", "client", url) as client,
        ):
            primary("answered", agents=["far", "sink"])
            yield from by_size(effort, "redis", {FLOOR: client}, primary, {}, {})
