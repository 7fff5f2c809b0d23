"""The rows: what a cluster's key costs, against the same two processes without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from benchmarks import ours
from benchmarks.child import Child
from benchmarks.harness import Effort, Pairing, Row, Work
from benchmarks.processes.rows import ASKS, STREAM, free_addresses, options_at

TARGETS: Final = {"control": 1.05, "all": 1.5}
"""By which frames are signed: what asks and messages may cost more."""


def rows(effort: Effort) -> Iterator[Row]:
    """Measure asks and streams without a key, and with one that signs some frames, or all."""
    asks, messages = effort.count(ASKS), effort.count(STREAM)
    with ExitStack() as stack:

        def primary(**signed: str) -> Child:
            options = options_at(free_addresses(), **signed)
            first = stack.enter_context(ours.primary("zmq", options))
            stack.enter_context(ours.worker("zmq", options))
            first("answered", agents=["far", "sink"])
            return first

        plain = primary()
        for frames, target in TARGETS.items():
            child = primary(signed_frames=frames, cluster_key="the-key-of-a-benchmark")
            for work, call, more, value in (
                ("ask between two processes (p50)", "ask", {"count": asks}, "p50"),
                ("ask within a process (p50)", "ask", {"agents": ["near"], "count": asks}, "p50"),
                ("stream between two processes", "stream", {"count": messages}, "each"),
            ):
                yield from Pairing(
                    {"ours without a key": lambda c=call, m=more: plain(c, **m)},
                    lambda c=call, m=more, child=child: child(c, **m),
                    [Work(value, f"{work}, signed_frames: {frames}", target)],
                ).rows(effort)
