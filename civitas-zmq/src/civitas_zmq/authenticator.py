"""Authenticator: decides which keys may connect to a proxy (ZAP, ZeroMQ RFC 27).

CURVE alone authenticates nobody: a server accepts any client that has a key pair, unless a handler
of this protocol in the same context refuses it (seen with libzmq 4.3.5).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection
from typing import Final

import zmq

from civitas.transport import failure_of
from civitas_zmq.keys import decode
from civitas_zmq.log_limit import LogLimit

DOMAIN: Final = b"civitas"

_ENDPOINT: Final = "inproc://zeromq.zap.01"
_VERSION: Final = b"1.0"
_CURVE: Final = b"CURVE"
_NULL: Final = b"NULL"
_MECHANISM_AT: Final = 5
_PARTS: Final = 7


class Authenticator(threading.Thread):
    """Answers each handshake of a context's servers; ends when the context is terminated.

    It binds in its constructor, so a server that is bound later lets no client in without it.

    Args:
        context: the context of the servers.
        allowed: public keys that are let in; `None` lets in everybody, without keys.
        logger: reports refusals, at most once a second for each address.
        failed: called when it can't answer any more, and nobody would be let in.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        allowed: Collection[str] | None,
        logger: logging.Logger,
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name="civitas zmq authenticator", daemon=True)
        self._allowed = None if allowed is None else {decode(key) for key in allowed}
        self._logger = logger
        self._log_limit = LogLimit()
        self._failed = failed
        self._socket = context.socket(zmq.REP)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind(_ENDPOINT)

    def start(self) -> None:
        """Answer from now on.

        Raises:
            RuntimeError: this process can't have another thread.
        """
        try:
            super().start()
        except BaseException:  # else the end of the context would wait for the socket for ever
            self._socket.close(linger=0)
            raise

    def run(self) -> None:
        """Answer until the context is terminated."""
        try:
            with contextlib.suppress(zmq.ContextTerminated):
                while True:
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        except BaseException as error:  # noqa: BLE001 - the thread is ours
            self._failed(failure_of(self.name, error))
        finally:
            self._socket.close(linger=0)

    def _answer(self, request: list[bytes]) -> list[bytes]:
        number = request[1] if len(request) > 1 else b""
        if self._is_allowed(request):
            return [_VERSION, number, b"200", b"OK", b"", b""]
        address = request[3].decode(errors="replace") if len(request) > 3 else "?"
        more = self._log_limit.allows(address)
        if more is not None:
            self._logger.warning(
                "refused a connection from %s: its public key is not in allowed_clients%s",
                address,
                more,
            )
        return [_VERSION, number, b"400", b"not in allowed_clients", b"", b""]

    def _is_allowed(self, request: list[bytes]) -> bool:
        if len(request) <= _MECHANISM_AT or request[0] != _VERSION:
            return False
        if self._allowed is None:
            return request[_MECHANISM_AT] == _NULL
        return (
            len(request) == _PARTS
            and request[_MECHANISM_AT] == _CURVE
            and request[-1] in self._allowed
        )
