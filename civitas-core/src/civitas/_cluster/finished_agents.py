"""FinishedAgents: the agents that are done, as a node says at its end, and others hear. No I/O.

An agent that is done is started no more, also in a node that comes later: the primary sees to it,
once it knows. What a node announces reaches it sooner or later as long as the node belongs to the
system. One that was cut off may have been declared dead meanwhile, and one that leaves announces
nothing again. So a node repeats at its end which of its agents are done: to the primary, as it
would in an answer to a ping, and with its goodbye. Of one that has gone, fenced or departed, this
is taken, and nothing else.

    of what is said at the end     | the primary
    -------------------------------+------------------------------------------------------------------
    the last change, or the answer | knows what is done when the goodbye comes
    the goodbye alone              | learns both from it
    all but the goodbye            | declares the node dead once it is silent; what is done stays so
    nothing                        | declares it dead; its agents count as crashed, and are started
                                   | by the next node that hosts them
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from civitas._cluster.events import Event, Finished
from civitas._cluster.member_table import MemberTable
from civitas._cluster.protocol import (
    AgentStates,
    ControlMessage,
    Left,
    NodeInfo,
    Pong,
    control_address,
)
from civitas.process import ProcessStatus

_DONE: Final = ProcessStatus.STOPPED.value


class FinishedAgents:
    """Says and hears it for one node, whose agents' states `agents` returns."""

    def __init__(
        self,
        members: MemberTable,
        agents: Callable[[], AgentStates],
        send: Callable[[str, ControlMessage], None],
        report: Callable[[Event], None],
    ) -> None:
        self._members = members
        self._agents = agents
        self._send = send
        self._report = report

    def goodbye(self, info: NodeInfo, reason: str) -> Left:
        """Return what this node says to everyone as it leaves."""
        return Left(info.node, info.generation, reason, fenced=False, done=tuple(self._done))

    def say(self) -> None:
        """Say to the primary which agents of this node are done.

        Also to one that is missing: it may be silent because it has declared this node dead.
        """
        done = self._done
        known = [*(peer.info for peer in self._members.peers.values())]
        known += self._members.missing.values()
        for info in known if done else ():
            if info.role == "primary":
                self._send(control_address(info.node), Pong(0, done, 0.0))

    def hear_late(self, node: str, key: bytes, message: ControlMessage) -> None:
        """Take of what a node says, if it has gone, which of its agents are done."""
        done: tuple[str, ...] = ()
        if isinstance(message, Pong):
            done = tuple(name for name, (status, _) in message.agents.items() if status == _DONE)
        elif isinstance(message, Left) and message.node == node:
            done = message.done
        if done and self._members.has_gone(key):
            self._report(Finished(node, done))

    @property
    def _done(self) -> AgentStates:
        return {name: state for name, state in self._agents().items() if state[0] == _DONE}
