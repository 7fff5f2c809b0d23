"""What the distribution `civitas` 0.12 of another project has: hints for the errors of those names.

Code and topologies that were written for it use names that are not here. An error about such a name
says where that is so, and what is written instead, if there is anything. Tables of text, no rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PAGE: Final = "see *Coming from civitas 0.12* in the documentation"
_NOWHERE: Final = ""
"""Nothing takes its place."""

_PARTS: Final = "give it to the agents' constructors"
NAMES: Final[Mapping[str, str]] = {
    "DynamicSupervisor": "every agent stands in the tree, or in a Worker's list",
    "GenServer": "an AgentProcess answers asks; its `handle` looks at the type of a message",
    "SlowConsumerError": "a full mailbox is a civitas.errors.MailboxFullError at the sender",
    "substitute_vars": "`${VAR}` works in every text of a topology file",
    **dict.fromkeys(
        (
            *("AgentSuspendedError", "AuditEvent", "AuditSink", "CapabilityNotFoundError"),
            *("CorrectionSignal", "EncryptingStateStore", "EvalAgent", "EvalEvent", "EvalExporter"),
            *("FilesystemMount", "GatewayConfig", "GatewayRequest", "GatewayResponse"),
            *("HTTPGateway", "JsonlFileSink", "NextMiddleware", "NullSink", "OtlpSink"),
            *("RegistryListener", "SandboxConfig", "SecretsProvider", "SecurityConfig"),
            *("SignatureError", "StateStore", "StreamError", "StreamInterrupted", "StreamTimeout"),
            *("SyslogSink", "TopologyAgent"),
        ),
        _NOWHERE,
    ),
}
"""Of `from civitas import ...`."""

OPTIONS: Final[Mapping[str, str]] = {
    "transport_type": "write transport=",
    "model_provider": _PARTS,
    "tool_registry": _PARTS,
    "state_store": _PARTS,
    "tracer": _NOWHERE,
    "metrics": "`stats()` of a node has its counters",
    "exporters": _NOWHERE,
    "audit_sink": _NOWHERE,
    "max_restarts": "the Supervisor has it",
}
"""Arguments of Runtime, Worker and build_component_set."""

KEYS: Final[Mapping[str, str]] = {
    "supervisor": "write `supervision:`",
    "plugins": f"{_PARTS}, in `config:`",
    "mcp": _NOWHERE,
    "security": "write `cluster_key:`, or keys and certificates as options of the transport",
    "audit": _NOWHERE,
    "presidium": _NOWHERE,
    "capabilities": "send to a name, or broadcast to a pattern of names",
    "capability_metadata": _NOWHERE,
    "credentials": "write them below `config:`, as `${VAR}`",
    "public_key": "write `cluster_key:` at the top of the file",
    "module": "write `type: module.Class`",
    "class": "write `type: module.Class`",
}
"""Of a topology, at its top or of an agent."""

TYPES: Final = frozenset(
    {"dynamic_supervisor", "eval_agent", "gen_server", "http_gateway", "topology_server"}
)
"""What a child of a topology may have as `type` beside a class."""


def hint(name: str, table: Mapping[str, str]) -> str:
    """Return what an error says of a name that is in a table; nothing of another."""
    if name not in table:
        return ""
    instead = table[name] or "nothing here takes its place"
    return f"it is of the distribution civitas 0.12; {instead}; {_PAGE}"
