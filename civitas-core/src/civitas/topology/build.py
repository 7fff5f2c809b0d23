"""Putting the resolved topology together, when nothing is wrong with it."""

from __future__ import annotations

from typing import Final

from civitas.topology.model import AgentBlock, ChildBlock, SupervisorBlock, TopologyModel
from civitas.topology.parts import ACCEPTED, SERIALIZER, TRANSPORT, Plugins
from civitas.topology.resolved import (
    ResolvedAgent,
    ResolvedSerializer,
    ResolvedSupervisor,
    ResolvedTransport,
    Topology,
)
from civitas.topology.yaml_nodes import MappingNode, Path, dotted, locate

PRIMARY: Final = "supervisor"
"""The name of the primary process, as `process:` and `--process` give it."""


class Builder:
    """Builds the result from the model, the tree with its lines, the classes and the plugins."""

    def __init__(
        self,
        file: str,
        root: MappingNode,
        model: TopologyModel,
        classes: dict[str, type],
        plugins: Plugins,
    ) -> None:
        self._file = file
        self._root = root
        self._model = model
        self._classes = classes
        self._plugins = plugins

    def topology(self, notes: tuple[str, ...]) -> Topology:
        """Return the resolved topology."""
        model = self._model
        return Topology(
            file=self._file,
            model=model,
            transport=ResolvedTransport(
                model.transport.type,
                self._plugins.transport,
                self._plugins.options,
                locate(self._root, TRANSPORT),
            ),
            serializer=ResolvedSerializer(
                model.serializer.type, self._plugins.serializer, locate(self._root, SERIALIZER)
            ),
            accept_serializers=tuple(
                ResolvedSerializer(
                    name,
                    self._plugins.accepted.get(index),
                    locate(self._root, (*ACCEPTED, index)),
                )
                for index, name in enumerate(model.accept_serializers)
            ),
            send_timeout=model.send_timeout,
            supervision=self._supervisor(model.supervision, ("supervision",)),
            notes=notes,
        )

    def _supervisor(self, block: SupervisorBlock, path: Path) -> ResolvedSupervisor:
        return ResolvedSupervisor(
            name=block.name,
            strategy=block.strategy,
            max_restarts=block.max_restarts,
            restart_window=block.restart_window,
            backoff=block.backoff,
            backoff_base=block.backoff_base,
            backoff_max=block.backoff_max,
            children=tuple(
                self._child(child, (*path, "children", index))
                for index, child in enumerate(block.children)
            ),
            where=locate(self._root, path),
        )

    def _child(self, child: ChildBlock, path: Path) -> ResolvedSupervisor | ResolvedAgent:
        if child.supervisor is not None:
            return self._supervisor(child.supervisor, (*path, "supervisor"))
        if child.agent is not None:
            return self._agent(child.agent, (*path, "agent"))
        raise AssertionError(f"{path} is neither: the rules have seen to that")

    def _agent(self, block: AgentBlock, path: Path) -> ResolvedAgent:
        return ResolvedAgent(
            name=block.name,
            cls=self._classes[block.type],
            type_name=block.type,
            config=dict(block.config or {}),
            process=None if block.process == PRIMARY else block.process,
            mailbox_size=block.mailbox_size,
            max_retries=block.max_retries,
            handle_timeout=block.handle_timeout,
            shutdown_timeout=block.shutdown_timeout,
            heartbeat_interval=block.heartbeat_interval,
            heartbeat_timeout=block.heartbeat_timeout,
            missed_heartbeats_threshold=block.missed_heartbeats_threshold,
            path=dotted(path),
            where=locate(self._root, path),
        )
