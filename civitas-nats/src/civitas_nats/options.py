"""Options: the keys of the `transport:` block, with their defaults. nats-py is not imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
)
from pydantic import model_validator as checked_together

from civitas.plugins import Capabilities
from civitas_nats.subjects import check_inbox, check_prefix, check_stream, overlap
from civitas_nats.urls import check_url, has_login, mask_logins

DEFAULT_SERVER: Final = "nats://localhost:4222"
LONGEST_TIME: Final = 604_800.0
"""Largest value of a time, in seconds: a week."""

HEADER_ROOM: Final = 4096
"""Bytes of a server's `max_payload` that are reserved for the headers of a message."""


def _none_for_empty(value: object) -> object:
    """Read `${VARIABLE:-}` as an option that is not given."""
    return None if value == "" else value


def _listed(value: object) -> object:
    """Read one URL, or several with commas between them, as a list."""
    return [each.strip() for each in value.split(",")] if isinstance(value, str) else value


def _expand_home(file: Path | None) -> Path | None:
    """Read `~` as the user's folder."""
    try:
        return None if file is None else file.expanduser()
    except RuntimeError:
        raise ValueError(f"{file} begins with '~', and there is no such user") from None


Server = Annotated[str, AfterValidator(check_url)]
Servers = Annotated[
    tuple[Server, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
Secret = Annotated[SecretStr | None, BeforeValidator(_none_for_empty)]
Text = Annotated[str | None, BeforeValidator(_none_for_empty)]
File = Annotated[Path | None, BeforeValidator(_none_for_empty), AfterValidator(_expand_home)]
Prefix = Annotated[str, AfterValidator(check_prefix)]
Inbox = Annotated[str, AfterValidator(check_inbox)]
StreamName = Annotated[str, AfterValidator(check_stream)]

_CONFIG: Final = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TLSOptions(BaseModel):
    """Files for encrypted connections; each is PEM."""

    model_config = _CONFIG

    ca: File = Field(
        default=None,
        description="Certificates of the authorities that are trusted; the system's by default.",
    )
    cert: File = Field(
        default=None, description="Certificate of this process, where servers ask for one."
    )
    key: File = Field(
        default=None, description="Private key of that certificate, without a passphrase."
    )

    @checked_together(mode="after")
    def _fit_together(self) -> TLSOptions:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: give both, or neither")
        return self


class NATSOptions(BaseModel):
    """The keys of the `transport:` block for `type: nats`."""

    model_config = _CONFIG

    servers: Servers = Field(
        default=(DEFAULT_SERVER,),
        description="URL of a server, or a list of them: `nats://host:port` or `tls://host:port`."
        " One is chosen at random, and another one when it is lost.",
    )
    jetstream: bool = Field(
        default=False,
        description="Whether messages to agents are stored in a stream until they are processed.",
    )
    stream_name: StreamName = Field(
        default="AGENCY",
        description="Name of that stream; dead letters are in the one with `_DEAD` at its end.",
    )
    tls: TLSOptions | None = Field(default=None, description="Files for encrypted connections.")
    credentials: File = Field(
        default=None, description="Credentials file (.creds) with a JWT and a seed."
    )
    nkey_seed: Secret = Field(default=None, description="Seed of an NKey user: `SU...`")
    token: Secret = Field(default=None, description="Token, where servers ask for one.")
    user: Text = Field(default=None, description="User name, with password.")
    password: Secret = Field(default=None, description="Password of the user.")
    connect_timeout: float = Field(
        default=5.0, gt=0, le=600, description="Seconds that a start waits for a server."
    )
    ping_interval: float = Field(
        default=2.0,
        ge=0.05,
        le=600,
        description="Seconds between two pings of a connection. A server that is silent for two of"
        " them counts as lost.",
    )
    send_timeout: float = Field(
        default=15.0,
        gt=0,
        le=100,
        description="Seconds that a publish may take: on a connection that stands still, and with"
        " jetstream until the stream has acknowledged it. A cluster that has lost a leader elects"
        " another within 10.",
    )
    max_message_bytes: int = Field(
        default=1_000_000,
        ge=1024,
        description="Largest frame in bytes; a larger one is `MessageTooLargeError`. The servers'"
        f" `max_payload` must be {HEADER_ROOM} bytes larger.",
    )
    max_pending_messages: int = Field(
        default=16 * 1024,
        ge=1,
        description="Frames of one address that wait in this process for their handler; more are"
        " dropped and counted.",
    )
    subject_prefix: Prefix = Field(
        default="civitas.agent",
        description="First part of each subject: agent `a` is the subject `civitas.agent.a`.",
    )
    inbox_prefix: Inbox = Field(
        default="_INBOX",
        description="First part of this process's inboxes. Give each login its own, so that"
        " its permissions can name it, and none reads what the servers answer another.",
    )
    linger: float = Field(
        default=1.0, ge=0, le=60, description="Seconds within which a stop sends what was accepted."
    )
    ack_wait: float = Field(
        default=30.0,
        ge=0.1,
        le=LONGEST_TIME,
        description="Seconds of silence after which a server takes a process for dead, and delivers"
        " its message again. A handler may take longer: its process says that it is at work."
        " A process that takes over does not wait for it.",
    )
    max_deliver: int = Field(
        default=5,
        ge=1,
        description="Times that a message is given to its agent before it becomes a dead letter.",
    )
    max_ack_pending: int = Field(
        default=256,
        ge=1,
        le=65_536,
        description="Messages of one agent that its process holds at a time. They are handled in"
        " order, one after the other.",
    )
    retry_delay: float = Field(
        default=5.0,
        ge=0,
        le=LONGEST_TIME,
        description="Seconds before a message that failed is delivered again. Later messages wait.",
    )
    create_stream: bool = Field(
        default=True,
        description="Whether streams that are missing are created; otherwise that is an error.",
    )
    replicas: int | None = Field(
        default=None,
        ge=1,
        le=5,
        description="Servers of a cluster that keep the streams. When it is left out, a new stream"
        " has 1, and an existing one is taken as it is.",
    )
    max_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Size of the stream in bytes, rounded down to a multiple of 1024. When it is"
        " full, senders get an error. When it is left out, a new stream has no limit of its own.",
    )
    dead_letter_subject: Prefix = Field(
        default="civitas.dead",
        description="First part of the subjects of dead letters; the agent's name follows.",
    )

    @checked_together(mode="after")
    def _fit_together(self) -> NATSOptions:
        ways = {
            "credentials": self.credentials,
            "nkey_seed": self.nkey_seed,
            "token": self.token,
            "user": self.user,
        }
        given = [name for name, value in ways.items() if value is not None]
        if any(map(has_login, self.servers)):
            given.append("a login in the URL of servers")
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are ways to log in: give one of them")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together: give both, or neither")
        for name in ("subject_prefix", "dead_letter_subject"):
            if overlap(self.inbox_prefix, getattr(self, name)):
                raise ValueError(
                    f"inbox_prefix {self.inbox_prefix} and {name} {getattr(self, name)}: one begins"
                    " with the other, and permissions could not tell them apart"
                )
        if self.dead_letter_subject == self.subject_prefix:
            raise ValueError(
                f"dead_letter_subject and subject_prefix are both {self.subject_prefix}: dead"
                " letters would be given to the agents again"
            )
        if self.dead_letter_subject.startswith(f"{self.subject_prefix}._"):
            raise ValueError(
                f"dead_letter_subject {self.dead_letter_subject} is among the subjects of replies"
                " and system messages, which are never stored"
            )
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show the servers without users, passwords and tokens."""
        for name, value in super().__repr_args__():
            yield name, mask_logins(value) if name == "servers" else value

    @property
    def dead_letter_stream(self) -> str:
        """Name of the stream that keeps dead letters."""
        return f"{self.stream_name}_DEAD"


def capabilities_of(options: NATSOptions) -> Capabilities:
    """Return what the transport claims with these options."""
    return Capabilities(
        cross_process=True,
        cross_machine=True,
        at_least_once=options.jetstream,
        survives_broker_restart=True,
        max_message_bytes=options.max_message_bytes,
    )
