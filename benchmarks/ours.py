"""Ours: a process with agents on any transport, the primary or a worker.

Its settings are the transport, its options, and by name the classes of its agents, in `CREW`.
`many` are agents besides that answer: `echo_0` and so on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from benchmarks.child import Child, obey
from benchmarks.crew import CREW, Bench, Echo
from civitas import AgentProcess, Runtime, Supervisor, Worker


def primary(transport: str, options: dict[str, Any] | None = None, **more: Any) -> Child:
    """Start a primary with those who ask and send; `near` answers there."""
    agents = {"asker": "Asker", "sender": "Sender", "source": "Source", "near": "Echo"}
    return _child("primary", transport, options, agents=agents, **more)


def worker(
    transport: str,
    options: dict[str, Any] | None = None,
    *,
    process: str = "worker",
    agents: dict[str, str] | None = None,
    many: int = 0,
) -> Child:
    """Start a worker; without other agents it has `far`, which answers, and `sink`."""
    agents = {"far": "Echo", "sink": "Sink"} if agents is None else agents
    return _child("worker", transport, options, process=process, agents=agents, many=many)


def _child(role: str, transport: str, options: dict[str, Any] | None, **more: Any) -> Child:
    settings = {"transport": transport, "options": options or {}, **more}
    return Child("ours", role, json.dumps(settings))


async def _primary(transport: str, options: dict[str, Any], agents: list[AgentProcess]) -> None:
    async with Runtime(Supervisor("root", agents), transport=transport, **options) as runtime:
        await obey(Bench(runtime).commands)


async def _worker(
    transport: str, options: dict[str, Any], agents: list[AgentProcess], process: str
) -> None:
    async with Worker(agents, transport=transport, process=process, **options):
        await obey({})


def main(
    role: str,
    transport: str,
    options: dict[str, Any],
    agents: dict[str, str],
    process: str = "",
    many: int = 0,
) -> None:
    """Be one of the processes until the parent closes the pipe."""
    made: list[AgentProcess] = [CREW[kind](name) for name, kind in agents.items()]
    made += [Echo(f"echo_{number}") for number in range(many)]
    if role == "primary":
        asyncio.run(_primary(transport, options, made))
    else:
        asyncio.run(_worker(transport, options, made, process))


if __name__ == "__main__":
    main(sys.argv[1], **json.loads(sys.argv[2]))
