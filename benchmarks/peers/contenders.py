"""Contenders: who does which work, in which environment, with which programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.child import Child
from benchmarks.peers.environments import OURS

ASKS: Final = 250
ONE_WAY: Final = 1_500
"""More than a mailbox holds, so that senders have to wait for their receivers."""


@dataclass(frozen=True)
class Places:
    """Where what needs a place is: a server of NATS, and free ports for each contender."""

    nats: str
    ports: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Contender:
    """One who does a work.

    Attributes:
        name: as the table has it; that of the environment as well where none is given.
        program: the module of `benchmarks.peers` that does it.
        roles: the program's processes; the first is told what to do.
        environment: where it runs.
        note: how it is connected, unless the program says so itself.
    """

    name: str
    program: str
    roles: tuple[str, ...] = ()
    environment: str = OURS
    note: str = ""

    def start(self, stack: ExitStack, python: Path, places: Places) -> Child:
        """Start its processes, which end with the stack; return the one that is told what to do.

        Raises:
            ChildError: one of them failed.
        """
        children = [
            stack.enter_context(
                Child(f"peers.{self.program}", *self._arguments(role, places), python=python)
            )
            for role in self.roles or ("",)
        ]
        if len(children) > 1:
            children[0]("ready")
        return children[0]

    def _arguments(self, role: str, places: Places) -> list[str]:
        if self.program == "agents":
            return [role, json.dumps({"ours": self.environment == OURS, **self._options(places)})]
        if self.program == "faststream" or role.startswith("nats-"):
            return [role, places.nats]
        if role.startswith("zmq-"):
            return [role, *places.ports[self.name]]
        return [role] if role else []

    def _options(self, places: Places) -> dict[str, Any]:
        """Return the arguments of Runtime and Worker, of ours and of the published civitas."""
        if self.name.endswith("nats"):
            return {"transport": "nats", "nats_servers": places.nats}
        if self.name.endswith("zmq"):
            pub, sub = places.ports[self.name]
            return {"transport": "zmq", "zmq_pub_addr": pub, "zmq_sub_addr": sub}
        return {}


@dataclass(frozen=True)
class Work:
    """What is done, and by whom: the floor first, then ours, then the peers.

    Attributes:
        name: as the table has it.
        command: what the programs are told.
        count: how often, in one turn.
        contenders: who does it.
        targets: by a peer's name, how much of its time ours may take.
    """

    name: str
    command: str
    count: int
    contenders: tuple[Contender, ...]
    targets: Mapping[str, float]


_ALONE: Final = (
    Contender("floor", "floor", ("alone",), note="asyncio queues and msgpack"),
    Contender("ours", "agents", ("alone",)),
    Contender("civitas", "agents", ("alone",), "civitas"),
    Contender("autogen-core", "autogen", (), "autogen-core"),
    Contender("xoscar", "xoscar", ("alone",), "xoscar"),
)
_PROXY: Final = "two processes, by a proxy on tcp in the first"
_APART: Final = (
    Contender("floor: pyzmq", "floor", ("zmq-client", "zmq-server"), note=_PROXY),
    Contender("ours on zmq", "agents", ("primary", "worker"), note=_PROXY),
    Contender("civitas on zmq", "agents", ("primary", "worker"), "civitas", _PROXY),
    Contender("xoscar", "xoscar", ("apart",), "xoscar"),
)
_ON_NATS: Final = (
    Contender("floor: nats-py", "floor", ("nats-client", "nats-server"), note="core NATS, msgpack"),
    Contender("ours on nats", "agents", ("primary", "worker"), note="core NATS"),
    Contender("FastStream", "faststream", ("client", "server"), "faststream"),
)

WORKS: Final = (
    Work("ask, in process", "ask", ASKS, _ALONE, {}),
    Work("one way, in process, none lost", "one_way", ONE_WAY, _ALONE, {}),
    Work("ask, between two processes", "ask", ASKS, _APART, {"xoscar": 0.9}),
    Work("ask, between two processes, on NATS", "ask", ASKS, _ON_NATS, {}),
)
