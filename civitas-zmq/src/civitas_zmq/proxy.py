"""Proxy: forwards frames between all processes that connect to it, in a thread of its own.

What was measured here was measured with libzmq 4.3.5.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import zmq

from civitas.errors import ConfigurationError
from civitas.plugins import TransportContext
from civitas.transport import failure_of
from civitas_zmq import binding
from civitas_zmq.addresses import is_ipv6, is_on_this_machine
from civitas_zmq.authenticator import DOMAIN, Authenticator
from civitas_zmq.keys import check_pair, public_key_of
from civitas_zmq.options import (
    DEFAULT_PUB_ADDR,
    DEFAULT_SUB_ADDR,
    MEBIBYTE,
    ZMQOptions,
)
from civitas_zmq.sockets import SIZE_MARGIN, UNLIMITED, set_heartbeat

_NAME: Final = "civitas zmq proxy"
_LOG_FAILURE: Final = TransportContext().failed

SUBSCRIBE_TO_ALL: Final = b"\x01"

_BACKLOG: Final = 1024
"""Connections that may wait to be accepted. libzmq's default is 100, and hundreds of processes may
start at once."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The addresses, keys and limits of a proxy.

    Attributes:
        pub_addr: where processes send to.
        sub_addr: where they receive from.
        server_secret_key: the proxy's own key; without it connections are open to all.
        allowed_clients: public keys that are let in.
        send_hwm: frames that wait for one process; beyond it frames for that process are dropped.
        receive_hwm: frames of one process that wait to be forwarded; beyond it that process waits.
        heartbeat_interval: seconds between two pings of a connection.
        heartbeat_timeout: seconds without an answer after which it counts as lost.
        max_message_bytes: largest frame.
        linger: seconds within which a stop sends what waits.
    """

    pub_addr: str = DEFAULT_PUB_ADDR
    sub_addr: str = DEFAULT_SUB_ADDR
    server_secret_key: str | None = field(default=None, repr=False)
    allowed_clients: frozenset[str] = frozenset()
    send_hwm: int = 50_000
    receive_hwm: int = 50_000
    heartbeat_interval: float = 0.5
    heartbeat_timeout: float = 1.5
    max_message_bytes: int = 64 * MEBIBYTE
    linger: float = 1.0

    @classmethod
    def from_options(cls, options: ZMQOptions) -> ProxySettings:
        """Return the settings of the proxy that a transport with these options runs.

        Raises:
            ConfigurationError: there is `curve` without the proxy's secret key, or a wrong one.
        """
        secret, allowed = None, frozenset[str]()
        if options.curve is not None:
            if options.curve.server_secret_key is None:
                raise ConfigurationError(
                    "transport.curve.server_secret_key is missing: this process runs the proxy and"
                    " needs its key; or set start_proxy: false and run `civitas-zmq proxy`"
                )
            secret = options.curve.server_secret_key.get_secret_value()
            check_pair(options.curve.server_public_key, secret, "server_")
            own = options.curve.public_key
            allowed = frozenset(options.allowed_clients) | ({own} if own else set())
        return cls(
            pub_addr=options.pub_addr,
            sub_addr=options.sub_addr,
            server_secret_key=secret,
            allowed_clients=allowed,
            send_hwm=options.send_hwm,
            receive_hwm=options.receive_hwm,
            heartbeat_interval=options.heartbeat_interval,
            heartbeat_timeout=options.heartbeat_timeout,
            max_message_bytes=options.max_message_bytes,
            linger=options.linger,
        )


class Proxy:
    """Forwards frames from XSUB to XPUB, and subscriptions the other way.

    `zmq.proxy` does the work, and holds Python's lock for none of it. It ends when its context is
    terminated, so neither a control socket nor `zmq.proxy_steerable` is needed.

    High-water marks bound what waits for each process: a process that stands still loses the frames
    beyond its mark. XPUB_NODROP would keep them, but then one stopped process blocks all others,
    and the proxy can't be stopped.

    Args:
        settings: addresses, keys and limits.
        logger: reports refused processes, and addresses that anybody can reach.
        failed: called, in a thread of the proxy's, when nothing is forwarded any more; logs it
            when left out.
    """

    def __init__(
        self,
        settings: ProxySettings,
        logger: logging.Logger,
        failed: Callable[[BaseException], None] = _LOG_FAILURE,
    ) -> None:
        self._settings = settings
        self._logger = logger
        self._failed = failed
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._threads: list[threading.Thread] = []
        self._files: list[binding.SocketFile] = []

    def start(self) -> None:
        """Bind both addresses and forward from now on.

        Raises:
            TransportError: an address is taken, or can't be bound.
        """
        context = self._context = zmq.Context()
        sockets: list[zmq.Socket[bytes]] = []
        try:
            if self._settings.server_secret_key is not None:
                authenticator = Authenticator(
                    context, self._settings.allowed_clients, self._logger, self._failed
                )
                self._threads.append(authenticator)
                authenticator.start()
            sockets += [self._socket(context, zmq.XSUB), self._socket(context, zmq.XPUB)]
            self._bind(*sockets)
        except BaseException:
            for socket in sockets:
                socket.close(linger=0)
            self.stop()
            raise
        self._warn_if_open()
        forwarding = threading.Thread(target=self._forward, args=sockets, name=_NAME, daemon=True)
        self._threads.append(forwarding)
        forwarding.start()

    def stop(self) -> None:
        """Send what waits, within `linger` seconds, and end. This blocks until then."""
        context, self._context = self._context, None
        if context is not None:
            context.term()  # ends both threads, which close their sockets; then it returns
        while self._threads:
            self._threads.pop().join()
        binding.remove(self._files)
        self._files = []

    @property
    def is_running(self) -> bool:
        """Whether frames are forwarded."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def _bind(self, front: zmq.Socket[bytes], back: zmq.Socket[bytes]) -> None:
        addresses = (self._settings.pub_addr, self._settings.sub_addr)
        with binding.exclusively(*addresses):
            for socket, address in zip((front, back), addresses, strict=True):
                binding.bind(socket, address)
                self._files += binding.files_of(address)
        # This makes publishers send all they have. A publisher that filters by the subscriptions
        # that it has heard of loses the first frames to a new subscriber (19 of 60), and after a
        # restart of the proxy all frames until the subscriptions are back.
        front.send(SUBSCRIBE_TO_ALL)

    def _forward(self, front: zmq.Socket[bytes], back: zmq.Socket[bytes]) -> None:
        try:
            with contextlib.suppress(zmq.ContextTerminated):
                zmq.proxy(front, back)
        except BaseException as error:  # noqa: BLE001 - the thread is ours
            self._failed(failure_of(_NAME, error))
        finally:
            front.close(linger=0)
            back.close(linger=round(self._settings.linger * 1000))

    def _socket(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: zmq.SocketType
    ) -> zmq.Socket[bytes]:
        settings = self._settings
        socket = context.socket(kind)
        # Subscriptions leave at the front and arrive at the back: a mark there would drop some.
        # With the default of 1,000, of 5,000 subscriptions 1,000 worked.
        front = kind == zmq.XSUB
        socket.set(zmq.SNDHWM, UNLIMITED if front else settings.send_hwm)
        socket.set(zmq.RCVHWM, settings.receive_hwm if front else UNLIMITED)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.BACKLOG, _BACKLOG)
        socket.set(zmq.MAXMSGSIZE, settings.max_message_bytes + SIZE_MARGIN)
        set_heartbeat(socket, settings.heartbeat_interval, settings.heartbeat_timeout)
        if is_ipv6(settings.pub_addr) or is_ipv6(settings.sub_addr):
            socket.set(zmq.IPV6, 1)
        if settings.server_secret_key is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, settings.server_secret_key.encode())
            socket.set(zmq.CURVE_PUBLICKEY, public_key_of(settings.server_secret_key).encode())
            # CURVE alone lets in every client that has any key. The authenticator refuses those
            # who are unknown; enforcing the domain refuses everyone if there is no authenticator.
            socket.set(zmq.ZAP_DOMAIN, DOMAIN)
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        return socket

    def _warn_if_open(self) -> None:
        if self._settings.server_secret_key is not None:
            return
        for address in (self._settings.pub_addr, self._settings.sub_addr):
            if not is_on_this_machine(address):
                self._logger.warning(
                    "the proxy listens at %s without curve: whoever reaches this address can read"
                    " and send every message; give keys in transport.curve",
                    address,
                )
