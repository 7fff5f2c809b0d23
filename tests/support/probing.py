"""Asks the health address of a process, as a probe or a scraper does."""

from __future__ import annotations

import http.client
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from civitas import AgentProcess, Runtime
from support.agents import Scripted
from support.waiting import eventually

_PATIENCE = 10.0


class Probed(NamedTuple):
    """An answer."""

    status: int
    text: str
    content_type: str


def made(*agents: Scripted, supervision: dict[str, Any] | None = None, **health: Any) -> Runtime:
    """Make a runtime of these agents that answers probes."""
    by_name = {agent.name: agent for agent in agents}

    class Given(AgentProcess):
        def __new__(cls, name: str) -> Any:
            return by_name[name]

    children = [{"agent": {"name": name, "type": "Given"}} for name in by_name]
    return Runtime.from_config_dict(
        {
            "health": {"listen": 0, **health},
            "supervision": {"name": "root", "children": children, **(supervision or {})},
        },
        agent_classes={"Given": Given},
    )


@asynccontextmanager
async def running(*agents: Scripted, **more: Any) -> AsyncIterator[Runtime]:
    async with made(*agents, **more) as runtime:
        yield runtime


def probe(url: str, path: str, method: str = "GET", **headers: str) -> Probed:
    """Ask for a path, and return the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return Probed(answer.status, answer.read().decode(), answer.headers["Content-Type"])
    finally:
        connection.close()


def probed_until(url: str, path: str, *texts: str) -> Probed:
    """Ask until the answer has these texts, and return it."""
    return eventually(
        lambda: probe(url, path),
        lambda answer: all(text in answer.text for text in texts),
        trying=OSError,
    )


def samples(text: str) -> Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]:
    """Parse OpenMetrics; return values by the name of their sample and labels but `process`."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple((key, value) for key, value in sample.labels.items() if key != "process")
            found.setdefault(sample.name, {})[labels] = sample.value
    return found
