"""The rows: what a cluster's key costs, against the same two processes without one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from benchmarks.child import Child
from benchmarks.harness import Row, paired
from benchmarks.processes.rows import ASKS, STREAM, free_addresses

TARGETS: Final = {"control": 1.05, "all": 1.5}
"""By which frames are signed: what asks and messages may cost more."""


def rows() -> list[Row]:
    """Measure asks and streams without a key, and with one that signs some frames, or all."""
    with ExitStack() as stack:

        def primary(*signed: str) -> Child:
            addresses = free_addresses()
            first = stack.enter_context(Child("processes.ours", "primary", *addresses, *signed))
            stack.enter_context(Child("processes.ours", "worker", *addresses, *signed))
            first("answered", agent="far")
            return first

        plain = primary()
        signed = {frames: primary(frames) for frames in TARGETS}
        return [
            paired(
                f"{work}, signed_frames: {frames}, against no key",
                "us",
                lambda call=call, more=more: plain(call, **more),
                lambda call=call, more=more, child=child: child(call, **more),
                TARGETS[frames],
            )
            for frames, child in signed.items()
            for work, call, more in (
                ("ask between two processes (p50)", "ask", {"agent": "far", "count": ASKS}),
                ("ask within a process (p50)", "ask", {"agent": "near", "count": ASKS}),
                ("stream between two processes", "stream", {"count": STREAM}),
            )
        ]
