"""FinishedAgents: the agents that are done, as a node says at its end, and others hear. No I/O.

An agent that is done is started no more, also in a node that comes later: the primary sees to it,
once it knows. What a node announces reaches it sooner or later as long as the node belongs to the
system. One that was cut off may have been declared dead meanwhile, and one that leaves announces
nothing again. So a node repeats at its end which of its agents are done, as it would in an answer
to a ping; and of one that has gone, fenced or departed, this is taken, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from civitas._cluster.events import Event, Finished
from civitas._cluster.member_table import MemberTable
from civitas._cluster.protocol import AgentStates, ControlMessage, Pong, control_address
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

    def say(self) -> None:
        """Say to the primary which agents of this node are done.

        Also to one that is missing: it may be silent because it has declared this node dead.
        """
        done = {name: state for name, state in self._agents().items() if state[0] == _DONE}
        known = [*(peer.info for peer in self._members.peers.values())]
        known += self._members.missing.values()
        for info in known if done else ():
            if info.role == "primary":
                self._send(control_address(info.node), Pong(0, done, 0.0))

    def hear_late(self, node: str, key: bytes, message: ControlMessage) -> None:
        """Take of what a node says, if it has gone, which of its agents are done."""
        if isinstance(message, Pong) and self._members.has_gone(key):
            done = tuple(name for name, (status, _) in message.agents.items() if status == _DONE)
            self._report(Finished(node, done))
