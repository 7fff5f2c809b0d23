"""Messages that nodes say to each other, forged so as to do the most harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from civitas._cluster.protocol import AgentStates, NodeInfo

VERBS = ("start", "stop", "finish", "supervise")


def every(kinds: Mapping[str, Any], info: NodeInfo, about: NodeInfo) -> Iterator[Any]:
    """Make a message of each kind: said by one node, about another, which has an agent."""
    by_name = {"node": about.node, "generation": about.generation, "agent": about.process}
    by_type = {bool: True, bytes: b"forged", int: 9, float: 9.0, str: "forged", NodeInfo: info}
    by_type |= {AgentStates: {about.process: ("CRASHED", 99)}, tuple[str, ...]: (about.node,)}
    by_type |= {Mapping[str, Any]: {}, float | None: None}
    for kind in kinds.values():
        hints = get_type_hints(kind)
        values = {n: by_name[n] if n in by_name else by_type[hint] for n, hint in hints.items()}
        for verb in VERBS if "verb" in hints else ("",):
            yield kind(**(values | {"verb": verb} if verb else values))
