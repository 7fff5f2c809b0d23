"""The rows: asks, streams and sends between processes, on core NATS and on JetStream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.child import Child
from benchmarks.harness import Row, paired
from benchmarks.nats.server import nats_server

ASKS: Final = 400
STREAM: Final = 10_000
SENDS: Final = 256
AT_ONCE: Final = 256
DURABLE_STREAM: Final = 2_048

SIXTY_PERCENT: Final = 1 / 0.6
"""Times that a message may take, for at least 60 % of the rate."""


@contextmanager
def _both(floor: str, url: str, name: str, **options: Any) -> Iterator[tuple[Child, Child]]:
    """Run all processes; yield the one that sends of the floor, and that of ours."""
    mine, prefix = f"ours.{name}", f"raw.{name}"
    settings = json.dumps(
        {"nats_servers": url, "nats_subject_prefix": mine}
        | {f"nats_{key}": value for key, value in options.items()}
    )
    with (
        Child("nats.ours", "primary", settings) as primary,
        Child("nats.ours", "worker", settings),
    ):
        captured = [
            (prefix + subject.removeprefix(mine), frame) for subject, frame in primary("capture")
        ]
        arguments = (url, json.dumps(captured))
        with (
            Child(floor, "server", *arguments),
            Child(floor, "client", *arguments) as client,
        ):
            yield client, primary


def _core(url: str) -> list[Row]:
    with _both("nats.raw_core", url, "core") as (client, primary):
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
    with _both("nats.raw_durable", url, "durable", jetstream=True, stream_name="OURS") as (
        client,
        primary,
    ):
        return [
            paired(
                "durable stream between two processes, JetStream",
                "us",
                lambda: client("stream", count=DURABLE_STREAM, at_once=AT_ONCE),
                lambda: primary("stream", count=DURABLE_STREAM, at_once=AT_ONCE),
                SIXTY_PERCENT,
            ),
            paired(
                "durable send, JetStream (p50)",
                "us",
                lambda: client("send", count=SENDS),
                lambda: primary("send", count=SENDS),
                1.25,
            ),
        ]


def rows() -> list[Row]:
    """Measure on one server, with a stream and subjects of each side's own."""
    with nats_server() as url:
        return [*_core(url), *_durable(url)]
