"""The two sockets with which a process connects to the proxy, and the options that they need.

Each option steps around something that ZeroMQ does by default; what was measured here was measured
with libzmq 4.3.5. The proxy's own sockets are made in `proxy.py`. A socket that connects to the
proxy of its own process has the same options; those of the network mean nothing there.
"""

from __future__ import annotations

from typing import Final

import zmq

from civitas.errors import ConfigurationError
from civitas_zmq import addresses
from civitas_zmq.keys import KeyPair, check_pair
from civitas_zmq.options import ZMQOptions

TOPIC_END: Final = b"\0"
"""Ends every topic, so that a subscription to `a` is none to `ab`: ZeroMQ matches by prefix."""

JOINED: Final = 8 << 10
"""Bytes of a frame up to which it is in one part with its topic, and not in a part behind it. Each
socket and each thread on the way handles parts: with one less, an ask took 7% less time, and a
message of a stream 27%. To copy a larger frame once more, at both ends, costs what that saves."""

NOBLOCK: Final = int(zmq.NOBLOCK)
"""The flag as a plain number: to combine two of the enumeration takes longer than to send."""

SIZE_MARGIN: Final = 4096
"""Bytes that a socket accepts beyond the largest frame. A socket that gets more than MAXMSGSIZE
closes the connection, and what was on its way is lost: so the size is checked before sending."""

LONGEST_TOPIC: Final = 256
"""Bytes of a topic: a name has up to 200 (`civitas.messages`), and what stands before and behind it
in an address of the system stays well below the rest."""

MAX_SUBSCRIPTION: Final = 2 * LONGEST_TOPIC
"""Bytes of an incoming message where only subscriptions come in: the longest topic with what ZMTP
and CURVE put around it (45), and the longest command of a handshake (INITIATE of CURVE, 285)."""

UNLIMITED: Final = 0

_RECONNECT_MILLISECONDS: Final = (100, 1000)
"""The first pause before connecting again, and the longest."""

_PROBES: Final = 3
"""Probes of a silent connection within the time after which it counts as lost."""


def topic_of(address: str) -> bytes:
    """Return the topic of an address's frames."""
    return f"{address}\0".encode()


def publisher_socket(
    context: zmq.Context[zmq.Socket[bytes]], options: ZMQOptions
) -> zmq.Socket[bytes]:
    """Make the socket that sends to the proxy.

    A PUB socket drops at its high-water mark and reports nothing: of 20,000 frames sent fast, 2,000
    to 14,000 arrived. An XPUB with XPUB_NODROP returns EAGAIN instead. Only the proxy is behind it,
    so waiting there holds up nobody else. An XPUB reads subscriptions as messages: those need no
    mark, since they are read and discarded; the proxy sends only one, to everything.
    """
    socket = context.socket(zmq.XPUB)
    socket.set(zmq.XPUB_NODROP, 1)
    socket.set(zmq.SNDHWM, options.send_hwm)
    socket.set(zmq.RCVHWM, UNLIMITED)
    _prepare(socket, options, options.pub_addr)
    socket.set(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION)
    set_heartbeat(socket, options.heartbeat_interval, options.heartbeat_timeout)
    return socket


def subscriber_socket(
    context: zmq.Context[zmq.Socket[bytes]], options: ZMQOptions
) -> zmq.Socket[bytes]:
    """Make the socket that receives from the proxy.

    What it sends are subscriptions, and a mark would drop those beyond it: of 5,000 subscriptions
    1,000 worked; of 900, 300 did not work after a restart of the proxy.

    It has no heartbeat (`set_heartbeat`). A proxy that stands still is noticed by the publisher's,
    and each proof of readiness after that goes through this socket, too.
    """
    socket = context.socket(zmq.SUB)
    socket.set(zmq.SNDHWM, UNLIMITED)
    socket.set(zmq.RCVHWM, options.receive_hwm)
    _prepare(socket, options, options.sub_addr)
    set_keepalive(socket, options.heartbeat_timeout)
    return socket


def set_heartbeat(socket: zmq.Socket[bytes], interval: float, timeout: float) -> None:
    """Make a socket ping its peers, with both times in seconds.

    Without pings a stopped peer (SIGSTOP) is never noticed; with 0.5 and 1.5 s it is after 1.6 s.

    Only a socket whose queue has no high-water mark may have a heartbeat. At the mark libzmq
    (4.3.5) stops reading a connection; when a ping is due then on one that was lost, or its answer
    is late, an assertion ends the process (stream_engine_base.cpp, `out_event`, `restart_input`).
    """
    socket.set(zmq.HEARTBEAT_IVL, round(interval * 1000))
    socket.set(zmq.HEARTBEAT_TIMEOUT, round(timeout * 1000))


def set_keepalive(socket: zmq.Socket[bytes], timeout: float) -> None:
    """Have the system close a connection whose other end is silent for so many seconds.

    It notices that a machine or the way to it is gone, and not that a process stands still
    (tcp(7): TCP_KEEPIDLE, TCP_USER_TIMEOUT). It has no effect on ipc.
    """
    socket.set(zmq.TCP_KEEPALIVE, 1)
    pause = max(1, round(timeout / _PROBES))
    socket.set(zmq.TCP_KEEPALIVE_IDLE, pause)
    socket.set(zmq.TCP_KEEPALIVE_INTVL, pause)
    socket.set(zmq.TCP_KEEPALIVE_CNT, _PROBES)
    socket.set(zmq.TCP_MAXRT, round(timeout * 1000))


def descriptor_of(socket: zmq.Socket[bytes]) -> int:
    """Return the descriptor that signals news on a socket. It is edge-triggered: once for each."""
    descriptor = socket.get(zmq.FD)
    assert isinstance(descriptor, int)
    return descriptor


def own_pair(options: ZMQOptions) -> KeyPair | None:
    """Return the keys with which this process connects; `None` without `curve`.

    Raises:
        ConfigurationError: one is missing, or they are no pair.
    """
    curve = options.curve
    if curve is None:
        return None
    if curve.public_key is None or curve.secret_key is None:
        missing = "public_key" if curve.public_key is None else "secret_key"
        raise ConfigurationError(
            f"transport.curve.{missing} is missing: every process that connects has a key pair of"
            " its own; `civitas-zmq keygen` makes one"
        )
    pair = KeyPair(curve.public_key, curve.secret_key.get_secret_value())
    check_pair(pair.public_key, pair.secret_key)
    return pair


def _prepare(socket: zmq.Socket[bytes], options: ZMQOptions, address: str) -> None:
    # By default LINGER is endless, and so would be the end of the context. What was accepted is
    # waited for by a probe (Connections.close).
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.MAXMSGSIZE, options.max_message_bytes + SIZE_MARGIN)
    socket.set(zmq.RECONNECT_IVL, _RECONNECT_MILLISECONDS[0])
    socket.set(zmq.RECONNECT_IVL_MAX, _RECONNECT_MILLISECONDS[1])
    if addresses.is_ipv6(address):
        socket.set(zmq.IPV6, 1)
    pair = own_pair(options)
    if options.curve is not None and pair is not None:
        socket.set(zmq.CURVE_SERVERKEY, options.curve.server_public_key.encode())
        socket.set(zmq.CURVE_PUBLICKEY, pair.public_key.encode())
        socket.set(zmq.CURVE_SECRETKEY, pair.secret_key.encode())
