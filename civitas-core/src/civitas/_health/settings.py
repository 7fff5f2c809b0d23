"""Settings: where a process answers probes, and how long it may stand still."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from civitas.errors import ConfigurationError, Location

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_LISTEN: Final = "127.0.0.1:8080"

STALLED_AFTER: Final = 60.0
STUCK_AFTER: Final = 60.0
"""Seconds; the callers of an agent that has handled nothing for so long have given up twice."""

_LARGEST_PORT: Final = 65_535
_FORM: Final = re.compile(r"(?:(?P<host>\[[^\[\]\s]+\]|[^:\[\]\s/]+):)?(?P<port>[0-9]{1,5})")


class Listen(NamedTuple):
    """An address to listen at; port 0 lets the system choose a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def after(self, number: int) -> Listen:
        """Return the address that is so many ports further; any free port stays one.

        Raises:
            ConfigurationError: there is no such port.
        """
        if self.port == 0:
            return self
        port = self.port + number
        if port > _LARGEST_PORT:
            raise ConfigurationError(
                f"health: process {number + 1} would listen at port {port}, and the last one is "
                f"{_LARGEST_PORT}; begin with a lower one, or give 0 for free ones"
            )
        return self._replace(port=port)


def read_listen(text: str | int) -> Listen:
    """Read `HOST:PORT`, `[IPv6]:PORT` or a port alone, which is one of this machine only.

    Raises:
        ConfigurationError: it is none of these.
    """
    found = _FORM.fullmatch(str(text))
    if found is None or int(found["port"]) > _LARGEST_PORT:
        raise ConfigurationError(
            "an address to listen at is HOST:PORT, [IPv6]:PORT or PORT, such as 127.0.0.1:8080; "
            f"0.0.0.0:8080 is open to the network, port 0 is any free one, the last port is "
            f"{_LARGEST_PORT}"
        )
    return Listen((found["host"] or DEFAULT_HOST).strip("[]"), int(found["port"]))


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How a process is asked how it is.

    Attributes:
        listen: where it answers; None where it does not.
        metrics: whether `/metrics` is answered.
        stalled_after: seconds without a turn of the event loop after which it is not live.
        stuck_after: seconds without a turn, or of a queue in which nothing moves, after which it is
            not ready.
        where: where in a topology the address stands.
    """

    listen: Listen | None = None
    metrics: bool = True
    stalled_after: float = STALLED_AFTER
    stuck_after: float = STUCK_AFTER
    where: Location | None = None

    def at(self, listen: Listen) -> HealthSettings:
        """Return the same settings with another address."""
        return replace(self, listen=listen)
