"""The options of the local bus."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from support.local_bus import wire

LONGEST_PATH = 107
"""Bytes that fit into `sun_path` on Linux, without the zero byte at the end (unix(7))."""


def _fits(path: str) -> str:
    if not path or len(path.encode()) > LONGEST_PATH:
        raise ValueError(f"the path of a unix socket has 1 to {LONGEST_PATH} bytes")
    return path


class LocalBusOptions(BaseModel):
    """The keys of the `transport:` block."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, AfterValidator(_fits)] = Field(description="Path of the unix socket.")
    start_broker: bool = Field(
        default=True,
        description="Whether the primary process starts the broker, if there is none at the path.",
    )
    max_message_bytes: int = Field(
        default=1 << 20, ge=1, le=wire.MAX_FRAME, description="Largest frame, in bytes."
    )
