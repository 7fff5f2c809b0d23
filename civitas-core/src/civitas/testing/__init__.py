"""What tests are made of: a harness for agents, the simulation of systems, the conformance kit.

`harness` runs agents in a test, with fakes and on virtual time. `civitas.testing.simulation` runs
whole systems on virtual time, under faults from a seed. The kit is what every transport, serializer
and instrument must pass.

The names below load when they are asked for, because pytest imports this package in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from civitas.testing.agents.fakes import FakeAnswer
    from civitas.testing.agents.findings import Crash, DeadLetter, HarnessError
    from civitas.testing.agents.harness import Harness, harness
    from civitas.testing.instruments import InstrumentConformance
    from civitas.testing.outages import Broker, Freezer, Link
    from civitas.testing.serializers import SerializerConformance
    from civitas.testing.server_process import ServerProcess
    from civitas.testing.tcp_link import TcpLink
    from civitas.testing.transports import TransportConformance

__all__ = [
    "Broker",
    "Crash",
    "DeadLetter",
    "FakeAnswer",
    "Freezer",
    "Harness",
    "HarnessError",
    "InstrumentConformance",
    "Link",
    "SerializerConformance",
    "ServerProcess",
    "TcpLink",
    "TransportConformance",
    "harness",
]

_HOMES: Final = {
    "Broker": "civitas.testing.outages",
    "Crash": "civitas.testing.agents.findings",
    "DeadLetter": "civitas.testing.agents.findings",
    "FakeAnswer": "civitas.testing.agents.fakes",
    "Freezer": "civitas.testing.outages",
    "Harness": "civitas.testing.agents.harness",
    "HarnessError": "civitas.testing.agents.findings",
    "InstrumentConformance": "civitas.testing.instruments",
    "Link": "civitas.testing.outages",
    "SerializerConformance": "civitas.testing.serializers",
    "ServerProcess": "civitas.testing.server_process",
    "TcpLink": "civitas.testing.tcp_link",
    "TransportConformance": "civitas.testing.transports",
    "harness": "civitas.testing.agents.harness",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
