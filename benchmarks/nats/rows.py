"""The rows: asks, streams and sends between processes, on core NATS and on JetStream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.child import Child
from benchmarks.harness import Row, paired
from benchmarks.nats.server import nats_server

OURS: Final = "ours."
RAW: Final = "raw."
ASKS: Final = 400
STREAM: Final = 10_000
SENDS: Final = 256
AT_ONCE: Final = 256
DURABLE_STREAM: Final = 2_048

SIXTY_PERCENT: Final = 1 / 0.6
"""Times that a message may take, for at least 60 % of the rate."""


def _settings(url: str, prefix: str, **more: Any) -> str:
    """Return the options of ours."""
    options = {"servers": url, "subject_prefix": f"{OURS}{prefix}", **more}
    return json.dumps({f"nats_{name}": value for name, value in options.items()})


@contextmanager
def _both(floor: str, url: str, settings: str) -> Iterator[tuple[Child, Child]]:
    """Run all processes; yield the one that sends of the floor, and that of ours.

    Args:
        floor: the module of the floor.
        url: where the server is.
        settings: the options of ours.
    """
    with (
        Child("nats.ours", "primary", settings) as primary,
        Child("nats.ours", "worker", settings),
    ):
        kinds = json.dumps(
            [(RAW + subject.removeprefix(OURS), frame) for subject, frame in primary("capture")]
        )
        with Child(floor, "server", url, kinds), Child(floor, "client", url, kinds) as client:
            yield client, primary


def _core(url: str) -> list[Row]:
    with _both("nats.raw_core", url, _settings(url, "core")) as (client, primary):
        return [
            paired(
                "ask between two processes, core NATS (p50)",
                "us",
                lambda: client("ask", count=ASKS),
                lambda: primary("ask", agent="far", count=ASKS),
                1.25,
            ),
            paired(
                "stream between two processes, core NATS",
                "us",
                lambda: client("stream", count=STREAM),
                lambda: primary("stream", count=STREAM),
                SIXTY_PERCENT,
            ),
        ]


def _durable(url: str) -> list[Row]:
    settings = _settings(url, "durable", jetstream=True, stream_name="OURS")
    with _both("nats.raw_durable", url, settings) as (client, primary):
        with Child("nats.ours", "passing", settings):
            primary("answered", agent="away")
        return [
            paired(
                "durable stream between two processes, JetStream",
                "us",
                lambda: client("stream", count=DURABLE_STREAM, at_once=AT_ONCE),
                lambda: primary("stream", count=DURABLE_STREAM, at_once=AT_ONCE),
                SIXTY_PERCENT,
            ),
            # To one that is away: a reader at work takes more of the time than the send does.
            paired(
                "durable send, JetStream (p50)",
                "us",
                lambda: client("send", count=SENDS),
                lambda: primary("send", agent="away", count=SENDS),
                1.25,
            ),
        ]


def rows() -> list[Row]:
    """Measure on one server, with a stream and subjects of each side's own."""
    with nats_server() as url:
        return [*_core(url), *_durable(url)]
