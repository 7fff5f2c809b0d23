"""The rows: asks, streams and sends between processes, on core NATS and on JetStream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchmarks import ours
from benchmarks.child import Child
from benchmarks.harness import Effort, Pairing, Row, Work
from benchmarks.payloads import SMALL
from benchmarks.processes.rows import LARGEST, by_size
from benchmarks.servers import nats_server

SENDS: Final = 256
AT_ONCE: Final = 256
DURABLE_STREAM: Final = 2_048

CORE: Final = "raw nats-py"
DURABLE: Final = "raw nats-py on JetStream"

ASK_TARGETS: Final = {"100 B": 1.05, "1 MiB": 1.5}
STREAM_TARGETS: Final = {"100 B": 1.2}


def _options(url: str, prefix: str, **more: Any) -> dict[str, Any]:
    """Return the options of ours."""
    options = {
        "servers": url,
        "subject_prefix": f"ours.{prefix}",
        "max_message_bytes": LARGEST // 2,
    }
    return {f"nats_{name}": value for name, value in {**options, **more}.items()}


def rows(effort: Effort) -> Iterator[Row]:
    """Measure on one server, with a stream and subjects of each side's own."""
    with nats_server() as url:
        options = _options(url, "core")
        with (
            ours.primary("nats", options) as primary,
            ours.worker("nats", options),
            Child("nats.raw_core", "server", url),
            Child("nats.raw_core", "client", url) as client,
        ):
            primary("answered", agents=["far", "sink"])
            yield from by_size(
                effort, "core NATS", {CORE: client}, primary, ASK_TARGETS, STREAM_TARGETS
            )
        yield from _durable(effort, url)


def _durable(effort: Effort, url: str) -> Iterator[Row]:
    options = _options(url, "durable", jetstream=True, stream_name="OURS")
    stream = {"count": effort.count(DURABLE_STREAM), "at_once": AT_ONCE}
    with (
        ours.primary("nats", options) as primary,
        ours.worker("nats", options),
        Child("nats.raw_durable", "server", url),
        Child("nats.raw_durable", "client", url) as client,
    ):
        with ours.worker("nats", options, process="passing", agents={"away": "Echo"}):
            primary("answered", agents=["away", "sink"])
        yield from Pairing(
            {DURABLE: lambda: client("stream", **stream)},
            lambda: primary("stream", size=SMALL, **stream),
            [Work("each", "durable stream over JetStream, 100 B", 0.85)],
            key="JetStream stream",
            at=SMALL,
            note="256 sends at a time; each is stored, handled and acknowledged",
        ).rows(effort)
        # To one that is away: a reader at work takes more of the time than the send does.
        sends = effort.count(SENDS)
        yield from Pairing(
            {DURABLE: lambda: client("send", count=sends)},
            lambda: primary("send", agent="away", count=sends),
            [Work("p50", "durable send over JetStream, 100 B (p50)", 0.9)],
            note="to an agent whose process is away",
        ).rows(effort)
