"""Notifier: what systemd is told of a service, by the protocol of `sd_notify(3)`.

Each message is a datagram of lines `KEY=value` to the socket that NOTIFY_SOCKET names. Where the
variable is not set, there is nobody to tell.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

from civitas.errors import logger_of, printable

logger = logger_of("civitas.health")

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
_WATCHDOG_TIME: Final = "WATCHDOG_USEC"
_WATCHDOG_PROCESS: Final = "WATCHDOG_PID"

_LONGEST_STATUS: Final = 300
"""Bytes of a status at most: it is a line of `systemctl status`."""


class Notifier:
    """Tells a service manager of one process.

    Args:
        channel: a datagram socket that is connected to it. It is closed by `close`.
        watchdog: seconds within which the manager must hear each time that the process is well;
            None where it does not ask for that.
        prefix: a line that goes before all others, where several processes share a socket.
    """

    def __init__(
        self, channel: socket.socket, watchdog: float | None = None, prefix: str = ""
    ) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._prefix = f"{prefix}\n" if prefix else ""
        self.watchdog = watchdog
        self._is_ready = False
        self._is_stopping = False
        self._status = ""
        self._alive_at = float("-inf")
        self._has_failed = False

    def ready(self) -> None:
        """Tell, once, that the service has started."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def stopping(self) -> None:
        """Tell, once, that the service begins to stop."""
        if not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Tell how the service is, in a line, unless that is what was told last."""
        text = printable(text, _LONGEST_STATUS)
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self, now: float) -> None:
        """Tell that the process is well, twice within the time of the watchdog."""
        if self.watchdog is not None and now - self._alive_at >= self.watchdog / 2:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket."""
        self._channel.close()

    def _send(self, lines: str) -> None:
        try:
            self._channel.send(f"{self._prefix}{lines}".encode())
        except OSError as error:  # the manager restarts, or its queue is full: the service goes on
            if not self._has_failed:
                logger.warning("%s can't be told to the service manager: %s", lines, error)
            self._has_failed = True
        else:
            self._has_failed = False


def notifier_of(variables: MutableMapping[str, str]) -> Notifier | None:
    """Return what the environment asks for; None where nobody is to be told, or can be.

    The variables are removed: what this process starts is not the service. What is wrong with them
    is logged: a shell that a service has left behind may have them still.
    """
    address = variables.pop(SOCKET_VARIABLE, "")
    time = variables.pop(_WATCHDOG_TIME, "")
    process = variables.pop(_WATCHDOG_PROCESS, "")
    if not address:
        return None
    if address[0] not in "@/":
        logger.warning(
            "%s is %r, and is to be an absolute path, or a name behind an @: nobody is told how "
            "this service is",
            SOCKET_VARIABLE,
            address,
        )
        return None
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:  # an @ stands for the zero byte of the abstract namespace
        channel.connect(f"\0{address[1:]}" if address[0] == "@" else address)
    except OSError as error:
        channel.close()
        logger.warning(
            "%s is %r, and nobody is told how this service is: %s", SOCKET_VARIABLE, address, error
        )
        return None
    return Notifier(channel, _watchdog(time) if process in {"", str(os.getpid())} else None)


def _watchdog(microseconds: str) -> float | None:
    """Return the seconds that a variable gives; None where there is no watchdog."""
    if not microseconds:
        return None
    if not (microseconds.isascii() and microseconds.isdigit() and len(microseconds) < 20):
        logger.warning("%s is %r, and is no number of microseconds", _WATCHDOG_TIME, microseconds)
        return None
    return int(microseconds) / 1e6 or None
