"""Proxy: forwards frames between all processes that connect to it, in a thread of its own.

The process that runs it may connect within its context, over inproc: then its frames need no system
call and no other thread to reach the proxy (an ask of another process took a quarter less time). It
is the process itself: so there are no keys on that way, nothing is closed there, and nobody has to
look whether it is alive. What waits there is in the process's own queue already, whose high-water
mark is the sum of those that a connection has at its two ends.

What was measured here was measured with libzmq 4.3.5.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import zmq

from civitas.errors import ConfigurationError
from civitas.plugins import TransportContext
from civitas_zmq import binding
from civitas_zmq.addresses import (
    INPROC_PUB_ADDR,
    INPROC_SUB_ADDR,
    is_ipv6,
    is_on_this_machine,
)
from civitas_zmq.authenticator import DOMAIN, Authenticator
from civitas_zmq.forwarder import Forwarder
from civitas_zmq.keys import check_pair, public_key_of
from civitas_zmq.limits import ConnectionLimits
from civitas_zmq.options import (
    DEFAULT_PUB_ADDR,
    DEFAULT_SUB_ADDR,
    MEBIBYTE,
    ZMQOptions,
)
from civitas_zmq.sockets import MAX_SUBSCRIPTION, SIZE_MARGIN, set_keepalive

_LOG_FAILURE: Final = TransportContext().failed

_BACKLOG: Final = 1024
"""Connections that may wait to be accepted. libzmq's default is 100, and hundreds of processes may
start at once."""

_HANDSHAKE_MILLISECONDS: Final = 10_000
"""How long a connection may take to say who it is. libzmq's default is 30 s."""

_SILENCE_SECONDS: Final = 30.0
"""How long a machine may be silent before its connections are closed. Both sockets have high-water
marks, so they can't have a heartbeat (`sockets.set_heartbeat`)."""

_UNREAD_SUBSCRIPTIONS: Final = 1
"""Subscriptions of a connection that wait for the forwarding thread. libzmq handles them until none
is left: one that sends them faster held it up for as long as it sent (60,000 in one turn with a
mark of 64; with 2, fewer than 3,000 or all of them, as the machine was busy or not). With 1 each of
them has to be asked for, and a turn soon finds none. None is dropped at this mark."""


_RECEIVE_BUFFER: Final = 64 << 10
"""Bytes of subscriptions that wait in the system: libzmq still reads them when the connection that
sent them is closed here."""


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
        max_message_bytes: largest frame.
        linger: seconds within which a stop sends what waits.
        max_subscription_bytes: what the subscriptions of one process may have; beyond it its
            connection is closed.
        max_total_subscription_bytes: what those of all processes may have.
        max_queue_bytes: what may wait for one process; beyond it its connection is closed.
    """

    pub_addr: str = DEFAULT_PUB_ADDR
    sub_addr: str = DEFAULT_SUB_ADDR
    server_secret_key: str | None = field(default=None, repr=False)
    allowed_clients: frozenset[str] = frozenset()
    send_hwm: int = 50_000
    receive_hwm: int = 50_000
    max_message_bytes: int = 64 * MEBIBYTE
    linger: float = 1.0
    max_subscription_bytes: int = 16 * MEBIBYTE
    max_total_subscription_bytes: int = 128 * MEBIBYTE
    max_queue_bytes: int = 1024 * MEBIBYTE

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
            max_message_bytes=options.max_message_bytes,
            linger=options.linger,
            max_subscription_bytes=options.max_subscription_bytes,
            max_total_subscription_bytes=options.max_total_subscription_bytes,
            max_queue_bytes=options.max_queue_bytes,
        )


class Proxy:
    """Forwards frames from all who send to all who have subscribed (`forwarder.py`).

    Subscriptions stay here. Those who send hear of one, to everything, that the front makes: a
    publisher that filters by the subscriptions that it has heard of loses the first frames to a new
    subscriber (19 of 60), and after a restart of the proxy all frames until the subscriptions are
    back; and it would hold what any connection here subscribes.

    High-water marks bound how many frames wait for each process, and `limits.py` how many bytes: a
    process that stands still loses the frames beyond its mark. XPUB_NODROP would keep them, but
    then one stopped process blocks all others, and the proxy can't be stopped.

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
        self._limits = ConnectionLimits(
            settings.max_subscription_bytes,
            settings.max_total_subscription_bytes,
            settings.max_queue_bytes,
            logger,
        )
        self._threads: list[threading.Thread] = []
        self._files: list[binding.SocketFile] = []

    def start(self) -> None:
        """Bind both addresses and forward from now on.

        Raises:
            TransportError: an address is taken, or can't be bound.
            RuntimeError: this process can't have another thread.
        """
        context = self._context = zmq.Context()
        sockets: list[zmq.Socket[bytes]] = []
        try:
            authenticator = Authenticator(
                context, self._allowed_clients(), self._logger, self._failed
            )
            authenticator.start()
            self._threads.append(authenticator)
            front, back = self._front(context), self._back(context)
            sockets += [front, back]
            self._bind(front, back)
            forwarder = Forwarder(context, front, back, self._limits, self._failed)
            sockets = []  # the forwarder closes them
            for thread in forwarder.start():
                self._threads.append(thread)
        except BaseException:
            for socket in sockets:
                socket.close(linger=0)
            self.stop()
            raise
        self._warn_if_open()

    def stop(self) -> None:
        """Send what waits, within `linger` seconds, and end. This blocks until then.

        Sockets of this process that are connected within the context have to be closed before.
        """
        context, self._context = self._context, None
        if context is not None:
            context.term()  # ends both threads, which close their sockets; then it returns
        while self._threads:
            self._threads.pop().join()
        binding.remove(self._files)
        self._files = []

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """The context in which this process may connect, while the proxy is started."""
        assert self._context is not None
        return self._context

    def note_own_subscriptions(self, size: int) -> None:
        """Note how many bytes this process is about to have subscribed within the context."""
        self._limits.own_subscriptions = size

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
        front.bind(INPROC_PUB_ADDR)
        back.bind(INPROC_SUB_ADDR)

    def _allowed_clients(self) -> frozenset[str] | None:
        has_keys = self._settings.server_secret_key is not None
        return self._settings.allowed_clients if has_keys else None

    def _front(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        """Make the socket that frames come in at."""
        socket = self._socket(context, zmq.SUB)
        socket.set(zmq.RCVHWM, self._settings.receive_hwm)
        socket.set(zmq.MAXMSGSIZE, self._settings.max_message_bytes + SIZE_MARGIN)
        socket.subscribe(b"")
        return socket

    def _back(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        """Make the socket that frames leave at, and subscriptions come in."""
        socket = self._socket(context, zmq.XPUB)
        socket.set(zmq.SNDHWM, self._settings.send_hwm)
        # Not when it is closed: once its context is being terminated, libzmq (4.3.5) takes no
        # option any more, and pyzmq does not say so.
        socket.set(zmq.LINGER, round(self._settings.linger * 1000))
        socket.set(zmq.RCVHWM, _UNREAD_SUBSCRIPTIONS)
        socket.set(zmq.RCVBUF, _RECEIVE_BUFFER)
        socket.set(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION)
        socket.set(zmq.XPUB_VERBOSER, 1)
        return socket

    def _socket(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: zmq.SocketType
    ) -> zmq.Socket[bytes]:
        settings = self._settings
        socket = context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.BACKLOG, _BACKLOG)
        socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MILLISECONDS)
        set_keepalive(socket, _SILENCE_SECONDS)
        if is_ipv6(settings.pub_addr) or is_ipv6(settings.sub_addr):
            socket.set(zmq.IPV6, 1)
        if settings.server_secret_key is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, settings.server_secret_key.encode())
            socket.set(zmq.CURVE_PUBLICKEY, public_key_of(settings.server_secret_key).encode())
        # CURVE alone lets in every client that has any key. The authenticator refuses those who are
        # unknown; enforcing the domain refuses everyone if there is no authenticator. Without keys
        # it keeps out ZMTP 2 and 1: their messages don't say which connection they came from.
        socket.set(zmq.ZAP_DOMAIN, DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        return socket

    def _warn_if_open(self) -> None:
        for address in (self._settings.pub_addr, self._settings.sub_addr):
            if weakness := binding.weakness_of(address):
                self._logger.warning(
                    "the proxy listens at %s: %s; use a path in a folder of mode 0700, such as"
                    " /run/user/%d",
                    address,
                    weakness,
                    os.getuid(),
                )
        if self._settings.server_secret_key is not None:
            return
        for address in (self._settings.pub_addr, self._settings.sub_addr):
            if not is_on_this_machine(address):
                self._logger.warning(
                    "the proxy listens at %s without curve: whoever reaches this address can read"
                    " and send every message; give keys in transport.curve",
                    address,
                )
