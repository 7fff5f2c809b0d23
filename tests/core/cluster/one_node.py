"""One membership for tests: what it says is kept, and its clock stands until it is moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from civitas._cluster.events import (
    Event,
)
from civitas._cluster.liveness import OwnNode
from civitas._cluster.membership import Membership
from civitas._cluster.protocol import (
    EVERYONE,
    Admitted,
    Challenge,
    Changed,
    Contested,
    ControlMessage,
    Hello,
    NodeInfo,
    Ping,
    Pong,
    Refused,
    Welcome,
    control_address,
)
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas.envelope import Origin

EPOCH = 1e9
ME = "22" * 8
WATCH = HeartbeatPolicy(interval=1.0, timeout=0.5, threshold=3)


def info(node: str, agents: str = "", *, generation: int = 5, **options: Any) -> NodeInfo:
    """Make the info of a node that is called by two hex digits."""
    options.setdefault("process", f"process {node}")
    options.setdefault("role", "worker")
    states = dict.fromkeys(agents.split(), ("running", 0))
    return NodeInfo(node * 8, generation, agents=states, **options)


PRIMARY = info("99", process="supervisor", role="primary", settled=True)
WORKER = info("44", "far", settled=True)


class One:
    """A membership whose words are kept, and whose clock stands until it is moved."""

    def __init__(
        self,
        role: str = "worker",
        agents: str = "near",
        *,
        authenticated: bool = False,
        **options: Any,
    ) -> None:
        self.now = 100.0
        self.sent: list[tuple[str, ControlMessage]] = []
        self.events: list[Event] = []
        self.fenced: set[bytes] = set()
        self.done: set[str] = set()
        """Agents of other nodes that are done."""
        self.membership = Membership(
            info("22", agents, role=role, process=options.pop("process", "mine"), **options),
            OwnNode(self.agents, self.stalled, self.counters, self.finished),
            lambda address, message: self.sent.append((address, message)),
            self.events.append,
            self.fenced,
            {"far": WATCH},
            clock=lambda: EPOCH + self.now,
            authenticated=authenticated,
        )

    def agents(self) -> Mapping[str, tuple[str, int]]:
        return {"near": ("running", 2)}

    def stalled(self) -> float:
        return 1.5

    def counters(self) -> Mapping[str, Any]:
        return {"sent": 3}

    def finished(self, info: NodeInfo) -> tuple[str, ...]:
        return tuple(name for name in info.agents if name in self.done)

    def joined(self, *others: NodeInfo) -> One:
        """Let it join, meet others, and settle."""
        self.membership.join(self.now)
        for other in others:
            self.hear(other, Hello(other, EPOCH + self.now))
            self.membership.admit(other.node, self.now)
            self.hear(other, Admitted())
        self.wait(3.5)
        assert self.membership.info.settled
        self.forget()
        return self

    def forget(self) -> None:
        self.sent.clear()
        self.events.clear()

    def hear(self, teller: NodeInfo, message: ControlMessage) -> None:
        """Let it hear something of a node that can prove itself."""
        if isinstance(message, Hello) and not message.proof:
            message = replace(message, proof=self.cookie_for(teller))
        elif isinstance(message, Welcome | Refused | Contested) and not message.proof:
            message = replace(message, proof=self.nonce)
        self.overhear(teller, message)

    def overhear(self, teller: NodeInfo, message: ControlMessage) -> None:
        """Let it hear something just as it is."""
        origin = Origin(bytes.fromhex(teller.node), teller.generation)
        self.membership.receive(origin, message, self.now)

    def hear_pings(self) -> None:
        """Let each node answer that was pinged since the last `forget`."""
        for node, peer in self.membership.peers.items():
            for ping in self.said(Ping, peer.info):
                self.hear(
                    replace(PRIMARY, node=node, generation=peer.info.generation),
                    Pong(ping.sequence, {}, 0.0),
                )

    def cookie_for(self, teller: NodeInfo) -> bytes:
        """Return what it gives a stranger that says hello, by which that one proves itself."""
        said = self._answers(teller, Hello(teller.header, EPOCH + self.now, b"nonce"))
        return next((each.cookie for each in said if isinstance(each, Challenge)), b"")

    @property
    def nonce(self) -> bytes:
        """What it says to everyone, by which an answer proves itself."""
        stranger = info("ee")
        said = self._answers(stranger, Changed(stranger))
        return next((each.nonce for each in said if isinstance(each, Hello)), b"")

    def _answers(self, teller: NodeInfo, message: ControlMessage) -> list[ControlMessage]:
        before, self.sent = self.sent, []
        self.overhear(teller, message)
        said, self.sent = self.sent, before
        return [each for _, each in said]

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += 0.05
            self.membership.tick(self.now)

    def said(self, kind: type, to: NodeInfo | None = None) -> list[Any]:
        address = EVERYONE if to is None else control_address(to.node)
        return [
            message for where, message in self.sent if where == address and type(message) is kind
        ]
