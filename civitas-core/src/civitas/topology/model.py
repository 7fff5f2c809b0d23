"""The typed model of a topology: every key, its type, its bounds and its default.

Validation is strict: a quoted `"100"` is text, and `true` is no number. Models are built when the
first topology is checked (`defer_build`), not when this module is imported.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from civitas._health.settings import DEFAULT_LISTEN, STALLED_AFTER, STUCK_AFTER
from civitas._signing.settings import SignedFrames
from civitas.messages import MOST_CONCURRENCY, PRIMARY

Strategy = Literal["ONE_FOR_ONE", "ONE_FOR_ALL", "REST_FOR_ONE"]
Backoff = Literal["CONSTANT", "LINEAR", "EXPONENTIAL"]


def _or_its_name(schema: dict[str, Any]) -> None:
    """Let the schema of a block say that a text stands for its type."""
    block = {key: schema.pop(key) for key in ("$ref", "allOf") if key in schema}
    schema["anyOf"] = [{"type": "string"}, block]


def _or_a_number(schema: dict[str, Any]) -> None:
    """Let the schema of a text say that a whole number stands for it."""
    schema["anyOf"] = [{"type": schema.pop("type")}, {"type": "integer"}]


AnyCase = BeforeValidator(lambda given: given.upper() if isinstance(given, str) else given)
PortAlone = BeforeValidator(lambda given: str(given) if type(given) is int else given)
TypeOnly = BeforeValidator(lambda given: {"type": given} if isinstance(given, str) else given)
NotPrimary = AfterValidator(lambda name: None if name == PRIMARY else name)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegativeSeconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]
Concurrency = Annotated[int, Field(ge=1, le=MOST_CONCURRENCY)]


class Block(BaseModel):
    """A mapping of the topology with a fixed set of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class PluginBlock(Block):
    """What names a plugin. Keys other than `type` are its options."""

    model_config = ConfigDict(extra="allow")

    type: str


class TransportBlock(PluginBlock):
    """What carries the messages. Keys other than `type` are options of that transport."""

    type: str = Field(
        description="Name of the transport, or `distribution:name` where two distributions "
        "offer the same name."
    )


class SerializerBlock(PluginBlock):
    """What turns messages into bytes. Keys other than `type` are options of that serializer."""

    type: str = Field(
        description="Name of the serializer, or `distribution:name` where two distributions offer "
        "the same name."
    )


class InstrumentBlock(PluginBlock):
    """What watches messages and agents. Keys other than `type` are options of that instrument."""

    type: str = Field(
        description="Name of the instrument, or `distribution:name` where two distributions offer "
        "the same name."
    )


class AgentBlock(Block):
    """One agent. What is left out is as the agent's class has it."""

    name: str = Field(
        description="Name of the agent, unique in the topology: one word of at most 200 bytes, "
        "without white space and without `* > / \\ ~`, not beginning with `_`. Dots stand inside "
        "it only: `workers.eu.1`."
    )
    type: str = Field(
        description="The agent's class: `package.module.Class`; `package.module:Outer.Inner` "
        "reaches a class inside another. Or a factory: a function that returns an agent. Or a "
        "name given in `agent_classes`."
    )
    process: Annotated[str | None, NotPrimary] = Field(
        None,
        description="Name of the worker process that runs the agent, on transports that cross "
        "processes. Left out, or `supervisor`: the primary process.",
    )
    config: dict[str, Any] | None = Field(
        None,
        description="Arguments of the class's constructor, or of the factory: the agent is made "
        "as `Class(name, **config)`.",
    )
    mailbox_size: Size | None = Field(None, description="How many messages may wait.")
    max_retries: Count | None = Field(
        None, description="How often a message is handled again when `on_error` says `RETRY`."
    )
    handle_timeout: Seconds | None = Field(
        None, description="Seconds that `handle` may take for one message."
    )
    retry_delay: NotNegativeSeconds | None = Field(
        None, description="Seconds before a message is first handled again on `RETRY`."
    )
    retry_backoff: Annotated[Backoff, AnyCase] | None = Field(
        None, description="How `retry_delay` grows with each `RETRY` of a message."
    )
    shutdown_timeout: Seconds | None = Field(
        None, description="Seconds for handling what waits in the mailbox when the agent stops."
    )
    concurrency: Concurrency | None = Field(
        None,
        description="How many messages the agent may have in hand at once. They are begun in the "
        "order in which they came, and end in any.",
    )
    heartbeat_interval: Seconds | None = Field(
        None, description="Seconds between two pings of the process that runs the agent."
    )
    heartbeat_timeout: Seconds | None = Field(
        None, description="Seconds after which a ping without an answer counts as missed."
    )
    missed_heartbeats_threshold: Size | None = Field(
        None, description="Missed pings in a row after which the agent counts as crashed."
    )


class ChildBlock(Block):
    """One child of a supervisor: exactly one of the two keys.

    An agent may be written without the key `agent`, too: what has a `type` is one.
    """

    agent: AgentBlock | None = Field(None, description="An agent.")
    supervisor: SupervisorBlock | None = Field(None, description="A supervisor below this one.")


class SupervisorBlock(Block):
    """A supervisor: restarts its children when they crash."""

    name: str = Field(
        description="Name of the supervisor, unique among all agents and supervisors of the "
        "topology."
    )
    strategy: Annotated[Strategy, AnyCase] = Field(
        "ONE_FOR_ONE",
        description="Which children are restarted when one crashes: that one, all of them, or "
        "that one and those after it. Case does not matter.",
    )
    max_restarts: Count = Field(
        3,
        description="Restarts allowed within `restart_window`; one more is the parent's problem.",
    )
    restart_window: Seconds = Field(60.0, description="Seconds over which restarts are counted.")
    backoff: Annotated[Backoff, AnyCase] = Field(
        "CONSTANT",
        description="How the wait before a restart grows with the number of restarts: not at all, "
        "by the first wait each time, or to twice as long. Case does not matter.",
    )
    backoff_base: NotNegativeSeconds = Field(
        1.0, description="Seconds before the first restart; 0 restarts at once."
    )
    backoff_max: NotNegativeSeconds = Field(60.0, description="Seconds that a wait never exceeds.")
    children: list[ChildBlock] = Field(
        default_factory=list,
        description="Agents and supervisors. They start in this order and stop in reverse. "
        "Without any, the supervisor has nothing to do.",
    )


class HealthBlock(Block):
    """Where each process answers probes and scrapers, over HTTP."""

    listen: Annotated[str, PortAlone] = Field(
        DEFAULT_LISTEN,
        description="Address to listen at: `HOST:PORT`, or a port of this machine alone. "
        "`civitas up` gives each further process the next port; port 0 is any free one.",
        json_schema_extra=_or_a_number,
    )
    metrics: bool = Field(True, description="Whether `/metrics` has the counters.")
    stalled_after: Seconds = Field(
        STALLED_AFTER,
        description="Seconds without a turn of the event loop after which a process is not live.",
    )
    stuck_after: Seconds = Field(
        STUCK_AFTER,
        description="Seconds without a turn of the event loop, or with messages waiting for an "
        "agent that handles none, after which a process is not ready.",
    )


class TopologyModel(Block):
    """A topology: the supervision tree, and what carries its messages."""

    # `model_construct`: a default must not make pydantic build a validator for its block alone.

    transport: TransportBlock = Field(
        default_factory=lambda: TransportBlock.model_construct(type="in_process"),
        description="The transport, which carries messages: its `type` and its options.",
    )
    serializer: Annotated[SerializerBlock, TypeOnly] = Field(
        default_factory=lambda: SerializerBlock.model_construct(type="msgpack"),
        description="The serializer, which turns messages into bytes: its name, or a mapping with "
        "its `type` and its options.",
        json_schema_extra=_or_its_name,
    )
    accept_serializers: list[str] = Field(
        default_factory=list,
        description="Names of further serializers whose messages this process reads.",
    )
    instruments: list[Annotated[InstrumentBlock, TypeOnly]] = Field(
        default_factory=list,
        description="The instruments, which watch messages and agents in every process: for each "
        "its name, or a mapping with its `type` and its options.",
    )
    send_timeout: Seconds = Field(
        30.0, description="Seconds that a sender waits for room in a full mailbox."
    )
    cluster_key: SecretStr | list[SecretStr] | None = Field(
        None,
        description="Secret of at least 16 characters that all processes share, and sign frames "
        "with. A list of two while it is changed: the first signs, both verify. Left out: that of "
        "the environment variable `CIVITAS_CLUSTER_KEY`; without one, nothing is signed.",
    )
    signed_frames: SignedFrames = Field(
        "control",
        description="Which frames are signed where there is a `cluster_key`: those with which "
        "processes speak to each other (`control`), or messages of agents as well (`all`).",
    )
    health: HealthBlock | None = Field(
        None, description="Where each process answers probes and scrapers. Left out: nowhere."
    )
    supervision: SupervisorBlock = Field(description="The root supervisor.")


BLOCKS: tuple[tuple[str, type[Block]], ...] = (
    ("", TopologyModel),
    ("transport", TransportBlock),
    ("serializer", SerializerBlock),
    ("instrument", InstrumentBlock),
    ("health", HealthBlock),
    ("supervisor", SupervisorBlock),
    ("child", ChildBlock),
    ("agent", AgentBlock),
)
"""All blocks with the names that documentation and error messages call them by."""
