"""The keys of an entry of `instruments:` whose type is `opentelemetry`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Relation(StrEnum):
    """How the span of a message's processing relates to that of its sending."""

    PARENT = "parent"
    LINK = "link"


class Durations(StrEnum):
    """Which executions of handlers are measured."""

    SAMPLED = "sampled"
    ALL = "all"


class OpenTelemetryOptions(BaseModel):
    """What the instrument records."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    relation: Relation = Field(
        default=Relation.PARENT,
        description=(
            "How the `process` span of a message relates to its `send` span. parent: it is its "
            "child, so that a request is one trace. link: it begins a trace, with a link to it."
        ),
    )
    metrics: bool = Field(
        default=True, description="Whether to count and measure, besides the spans."
    )
    durations: Durations = Field(
        default=Durations.SAMPLED,
        description=(
            "Which executions of handlers `messaging.process.duration` has. sampled: those that "
            "have a span. all: every one, which costs some microseconds for each message."
        ),
    )
    flush_timeout: float = Field(
        default=5.0,
        ge=0.0,
        le=9.0,
        description=(
            "Seconds that the end of a process waits until what was recorded is exported; 0 not to "
            "wait."
        ),
    )
