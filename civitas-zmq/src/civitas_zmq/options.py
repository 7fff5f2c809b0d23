"""The options of this transport in a topology. Nothing here imports pyzmq."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic import model_validator as checked_together

from civitas.plugins import Capabilities
from civitas_zmq import addresses
from civitas_zmq.keys import check_key

DEFAULT_PUB_ADDR: Final = "tcp://127.0.0.1:5559"
DEFAULT_SUB_ADDR: Final = "tcp://127.0.0.1:5560"
MEBIBYTE: Final = 1 << 20


def _check_secret(secret: SecretStr) -> SecretStr:
    check_key(secret.get_secret_value())
    return secret


def _none_for_empty(value: object) -> object:
    """Let `${VARIABLE:-}` stand for a key that this process does not have."""
    return None if value == "" else value


Address = Annotated[str, AfterValidator(addresses.check)]
Key = Annotated[str, AfterValidator(check_key)]
OwnedKey = Annotated[Key | None, BeforeValidator(_none_for_empty)]
OwnedSecret = Annotated[
    Annotated[SecretStr, AfterValidator(_check_secret)] | None, BeforeValidator(_none_for_empty)
]
"""A key that only its owner has: all other processes leave it out, or leave it empty."""


class CurveOptions(BaseModel):
    """Keys for CurveZMQ: encrypted connections between parties that know each other's keys.

    `civitas-zmq keygen` makes a pair. Every key is 40 characters of Z85 (ZeroMQ RFC 32).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    server_public_key: Key = Field(description="Public key of the proxy.")
    server_secret_key: OwnedSecret = Field(
        default=None,
        description="Secret key of the proxy: only the process that runs it needs this key.",
    )
    public_key: OwnedKey = Field(default=None, description="Public key of this process.")
    secret_key: OwnedSecret = Field(default=None, description="Secret key of this process.")


class ZMQOptions(BaseModel):
    """The keys of the `transport:` block for `type: zmq`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pub_addr: Address = Field(
        default=DEFAULT_PUB_ADDR,
        description="Where processes send to: the proxy's XSUB side, `tcp://host:port` or"
        " `ipc://path`.",
    )
    sub_addr: Address = Field(
        default=DEFAULT_SUB_ADDR,
        description="Where processes receive from: the proxy's XPUB side.",
    )
    start_proxy: bool = Field(
        default=True,
        description="Whether the primary process runs the proxy; no other process ever does.",
    )
    curve: CurveOptions | None = Field(
        default=None, description="Keys for encrypted connections between those who have them."
    )
    allowed_clients: tuple[Key, ...] = Field(
        default=(),
        description="Public keys of the processes that the proxy lets in, with curve; the process"
        " that runs it is one of them. Everyone else is refused.",
    )
    send_hwm: int = Field(
        default=50_000,
        ge=1,
        description="Frames that wait in this process for the proxy, and in the proxy for each"
        " process. Beyond it a publish waits, and the proxy drops.",
    )
    receive_hwm: int = Field(
        default=50_000, ge=1, description="Frames that wait in this process to be read."
    )
    heartbeat_interval: float = Field(
        default=0.5,
        ge=0.01,
        le=60,
        description="Seconds between two pings of a connection to the proxy.",
    )
    heartbeat_timeout: float = Field(
        default=1.5,
        ge=0.02,
        le=600,
        description="Seconds without an answer after which a connection counts as lost; longer than"
        " the interval.",
    )
    connect_timeout: float | None = Field(
        default=None,
        gt=0,
        description="Seconds that a start waits for the proxy; by default as long as it takes.",
    )
    send_timeout: float = Field(
        default=5.0,
        gt=0,
        description="Seconds that a publish waits for room at the high-water mark.",
    )
    max_message_bytes: int = Field(
        default=64 * MEBIBYTE,
        ge=1024,
        description="Largest frame in bytes; a larger one is `MessageTooLargeError`.",
    )
    max_subscription_bytes: int = Field(
        default=16 * MEBIBYTE,
        ge=64 << 10,
        description="Bytes that the subscriptions of one process may have in the proxy, 64 for each"
        " address included; beyond it its connection is closed.",
    )
    max_total_subscription_bytes: int = Field(
        default=128 * MEBIBYTE,
        ge=64 << 10,
        description="The same for all processes together; beyond it the connection that came last"
        " is closed.",
    )
    max_queue_bytes: int = Field(
        default=1024 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Bytes that may wait in the proxy for one process that takes them too slowly;"
        " beyond it its connection is closed.",
    )
    linger: float = Field(
        default=1.0, ge=0, le=60, description="Seconds within which a stop sends what was accepted."
    )

    @checked_together(mode="after")
    def _fit_together(self) -> ZMQOptions:
        if self.pub_addr == self.sub_addr:
            raise ValueError(f"pub_addr and sub_addr are both {self.pub_addr}: they must differ")
        if self.allowed_clients and self.curve is None:
            raise ValueError("allowed_clients says nothing without curve: give the keys there")
        if self.max_total_subscription_bytes < self.max_subscription_bytes:
            raise ValueError(
                f"max_total_subscription_bytes ({self.max_total_subscription_bytes}) must be at"
                f" least max_subscription_bytes ({self.max_subscription_bytes})"
            )
        if self.heartbeat_timeout <= self.heartbeat_interval:
            raise ValueError(
                f"heartbeat_timeout ({self.heartbeat_timeout:g}) must be longer than"
                f" heartbeat_interval ({self.heartbeat_interval:g})"
            )
        return self


def capabilities_of(options: ZMQOptions) -> Capabilities:
    """Return what the transport claims with these options."""
    return Capabilities(
        cross_process=True,
        survives_broker_restart=True,
        max_message_bytes=options.max_message_bytes,
    )
