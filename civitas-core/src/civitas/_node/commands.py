"""Commands: carries out what the primary wants done to the agents of a node, each command once.

What a command is about is an incarnation of an agent: where that is over, it has nothing left to
do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from civitas._agents.slot import AgentSlot
from civitas._node.answered_calls import AnsweredCalls
from civitas.errors import SpawnError, describe
from civitas.transport.tasks import Failed, start_task

if TYPE_CHECKING:
    from civitas._cluster.protocol import Command, Result


class Commands:
    """The commands of the primary to one node.

    Args:
        slots: the node's agents, by name.
        answer: called with (node id, name of the agent, result) when a command is done, and each
            time it comes again.
        supervise: called with the slot of an agent that no tree names.
        failed: called when one has ended unexpectedly; see `civitas.transport.tasks`.
    """

    def __init__(
        self,
        slots: Mapping[str, AgentSlot],
        answer: Callable[[str, str, Result], None],
        supervise: Callable[[AgentSlot], None],
        failed: Failed,
    ) -> None:
        self._slots = slots
        self._supervise = supervise
        self._failed = failed
        self._calls = AnsweredCalls(self._carry_out, answer, failed)
        self._ended = False

    def receive(self, node: str, command: Command) -> None:
        """Carry out a command of a node; one that has been, is answered again."""
        self._calls.receive(node, command)

    def finish(self, agent: str) -> None:
        """End an agent for good that was done before, in another node: it is not to be started."""
        slot = self._slots.get(agent)
        if slot is not None:
            start_task(slot.finish(), name=f"civitas finish {agent}", failed=self._failed)

    async def end(self) -> None:
        """Carry out no more: an agent that is started now would be left behind."""
        self._ended = True
        await self._calls.end()

    async def _carry_out(self, command: Command) -> Result:
        from civitas._cluster.protocol import RESTART, Result  # loaded by the cluster alone

        slot = self._slots.get(command.agent)
        if self._ended:
            return Result(command.number, "its process is stopping")
        if slot is None:
            return Result(command.number, "there is no agent of that name")
        error = ""
        match command.verb:
            case "start" if slot.may_start_after(command.incarnation):
                try:
                    await slot.start(fresh=True)
                except SpawnError as failure:
                    error = describe(failure.__cause__ or failure).text
            case "stop" if slot.incarnation <= command.incarnation:
                await slot.stop(drain=False)
            case "finish":
                await slot.finish()
            case "supervise":
                self._supervise(slot)
            case _ if command.verb == RESTART:
                return Result(command.number, "only the primary restarts agents: it has the tree")
        status, incarnation = slot.state
        return Result(command.number, error, status, incarnation)
