"""AgentRoutes: the routes to the agents of other nodes, as these announce them and leave.

Table of states of a route: `civitas._cluster.leaving`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from civitas._bus.routes import RemoteRoute
from civitas._bus.routing_table import RoutingTable
from civitas._cluster.leaving import ALL
from civitas._cluster.protocol import AgentStates, NodeInfo
from civitas.process import ProcessStatus

_DONE: Final = ProcessStatus.STOPPED.value


class AgentRoutes:
    """Opens and retires the routes of a table; `windowed` ones are numbered."""

    def __init__(self, routes: RoutingTable, *, windowed: bool) -> None:
        self._routes = routes
        self._windowed = windowed
        self._leavers: dict[str, set[str]] = {}
        """Agents, by node, that are said to take no more, and were not announced so; also `ALL`."""

    def update(self, info: NodeInfo) -> None:
        """Open routes to the agents that a node announces, and retire those to agents at an end."""
        routes = self._routes
        left = self._leavers.get(info.node, set())  # they may have said so by another way before
        leaving = info.leaving or ALL in left
        for name, (state, _) in info.agents.items():
            present = routes.get(name)
            if state == _DONE:
                route = routes.to(info.node, name)
                if route is not None:
                    self._retire(route, _takes_no_more(name, info), done=True)
                routes.done(name, _takes_no_more(name, info))
                left.discard(name)
            elif leaving or name in left:
                continue
            elif present is None:
                if routes.registry.has(name):
                    continue  # this node has one of that name: the membership settles who keeps it
                routes.open(name, info.node, info.process, windowed=self._windowed)
            elif present.node != info.node:
                self._retire(present, f"agent {name!r} has moved to {info}", done=True)
                routes.open(name, info.node, info.process, windowed=self._windowed)

    def retire_all(self, info: NodeInfo) -> None:
        """Retire the routes to a node that announces that it leaves."""
        for route in self._routes.remote():
            if route.node == info.node:
                self._retire(route, _takes_no_more(route.name, info), done=False)

    def doubt(
        self, node: str, agent: str, name: str, known: AgentStates | None
    ) -> list[RemoteRoute]:
        """Send no more to an agent of a node, or to `ALL`, that is said to take no more.

        `name` is the node's, for errors; `known` is what it has announced, None if it is not there.
        Returns the routes.
        """
        if known is not None and (agent == ALL or known.get(agent, (_DONE, 0))[0] != _DONE):
            self._leavers.setdefault(node, set()).add(agent)
        route = self._routes.to(node, agent)
        doubted = self._routes.of(node) if agent == ALL else [route] if route else []
        for each in doubted:
            if self._routes.get(each.name) is each:
                why = f"agent {each.name!r} of {name} takes no more messages"
                self._routes.retire(each, why, done=False, may_return=True)
        return doubted

    def doubted(self) -> Iterator[tuple[str, str]]:
        """Return each (node, agent) that is said to take no more, and has not announced it."""
        return ((node, agent) for node, left in self._leavers.items() for agent in left)

    def stays(self, node: str, agent: str) -> bool:
        """Take note that an agent of a node, or `ALL`, takes messages; return if it is news."""
        left = self._leavers.get(node, set())
        if agent not in left:
            return False
        left.remove(agent)
        return True

    def reopen(self, info: NodeInfo) -> None:
        """Open the routes to those agents of a node to which there are none."""
        agents = {name: state for name, state in info.agents.items() if not self._routes.get(name)}
        self.update(replace(info, agents=agents))

    def forget(self, node: str) -> None:
        """Forget what is said of a node that will not come back."""
        self._leavers.pop(node, None)

    def _retire(self, route: RemoteRoute, reason: str, *, done: bool) -> None:
        """Send no more by a route. What was asked of an agent that is done soon fails."""
        self._routes.retire(route, reason, done=done)
        if done:
            self._routes.close_later(route, reason)


def _takes_no_more(agent: str, info: NodeInfo) -> str:
    return f"agent {agent!r} of {info} takes no more messages"
