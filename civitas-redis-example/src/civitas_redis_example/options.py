"""What a topology may say about this transport. Nothing here needs redis-py."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic import model_validator as checked_together

from civitas.plugins import Capabilities

DEFAULT_PORT: Final = 6379
_FORM: Final = "redis://host:port, or rediss://host:port for an encrypted connection"
_CONFIG: Final = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _check_url(url: str) -> str:
    """Return the URL of a server. No error shows it: a password may stand in it."""
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
    except ValueError:
        is_server = False
    if not is_server or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            f"url is {_FORM}, and ends there: pub/sub knows no databases, and all else has an"
            " option of its own; in a password, write / ? # as %2F %3F %23"
        )
    return url


def _none_for_empty(value: object) -> object:
    """Let `${VARIABLE:-}` stand for what this process does not have."""
    return None if value == "" else value


def _expand_home(file: Path | None) -> Path | None:
    """Read `~` as the user's folder."""
    try:
        return None if file is None else file.expanduser()
    except RuntimeError:
        raise ValueError(f"{file} begins with '~', and there is no such user") from None


Url = Annotated[str, AfterValidator(_check_url)]
Text = Annotated[str | None, BeforeValidator(_none_for_empty)]
Secret = Annotated[SecretStr | None, BeforeValidator(_none_for_empty)]
File = Annotated[Path | None, BeforeValidator(_none_for_empty), AfterValidator(_expand_home)]


class TLSOptions(BaseModel):
    """Files for encrypted connections; each is PEM."""

    model_config = _CONFIG

    ca: File = Field(
        default=None,
        description="Certificates of the authorities that are trusted; the system's by default.",
    )
    cert: File = Field(
        default=None, description="Certificate of this process, where the server asks for one."
    )
    key: File = Field(default=None, description="Private key of that certificate.")


class RedisOptions(BaseModel):
    """The keys of the `transport:` block for `type: redis`."""

    model_config = _CONFIG

    url: Url = Field(
        default=f"redis://localhost:{DEFAULT_PORT}", description=f"The server: {_FORM}."
    )
    username: Text = Field(default=None, description="User name, where the server has users.")
    password: Secret = Field(default=None, description="Password of the user, or of the server.")
    tls: TLSOptions | None = Field(
        default=None, description="Files for encrypted connections, with a rediss:// URL."
    )
    prefix: str = Field(
        default="civitas:",
        pattern=r"^[\w.:/-]{1,100}$",
        description="First part of each channel: agent `a` is the channel civitas:a. It keeps"
        " systems on one server apart.",
    )
    connect_timeout: float = Field(
        default=5.0, gt=0, le=600, description="Seconds that a start waits for the server."
    )
    probe_interval: float = Field(
        default=1.0, ge=0.05, le=60, description="Seconds between two probes of a connection."
    )
    probe_timeout: float = Field(
        default=3.0,
        ge=0.1,
        le=600,
        description="Seconds after which a server that has not passed on a probe counts as lost.",
    )
    max_message_bytes: int = Field(
        default=1 << 20,
        ge=1024,
        le=512 << 20,
        description="Largest frame in bytes; a larger one is refused. The server cuts a client"
        " that has more than its client-output-buffer-limit for pubsub still to read.",
    )

    @checked_together(mode="after")
    def _fit_together(self) -> RedisOptions:
        parts = urlsplit(self.url)
        if self.tls is not None and parts.scheme != "rediss":
            raise ValueError("tls says nothing with a redis:// URL: write rediss://")
        if self.tls is not None and (self.tls.cert is None) != (self.tls.key is None):
            raise ValueError("cert and key of tls belong together: give both, or neither")
        if "@" in parts.netloc and (self.username or self.password):
            raise ValueError("there is a login in url, and one besides: give one of them")
        if self.username and not self.password:
            raise ValueError("username needs a password")
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show the URL without its login."""
        for name, value in super().__repr_args__():
            yield name, self.place if name == "url" else value

    @property
    def place(self) -> str:
        """The server for messages: the URL without its login."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def address(self) -> tuple[str, int]:
        """The server's host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or DEFAULT_PORT

    @property
    def login(self) -> tuple[str | None, str | None]:
        """User name and password, from wherever they are given."""
        if self.password is not None:
            return self.username, self.password.get_secret_value()
        parts = urlsplit(self.url)
        return unquote(parts.username or "") or None, unquote(parts.password or "") or None


def capabilities_of(options: RedisOptions) -> Capabilities:
    """Return what the transport claims with these options."""
    return Capabilities(
        cross_process=True,
        cross_machine=True,
        survives_broker_restart=True,
        max_message_bytes=options.max_message_bytes,
    )
