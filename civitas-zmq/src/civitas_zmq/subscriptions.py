"""Which connection holds which subscriptions at the proxy, and which connection holds too many.

libzmq keeps the subscriptions of an XPUB socket in a tree with 48 bytes for each byte of a topic,
for as many topics as a peer cares to send, and has no option that limits them (4.3.5; with
XPUB_MANUAL they are in a tree of their own before anybody is asked). A tree of one topic of 500 KB
ended the process when its sender left. So the sockets limit the length of a topic (`sockets.py`),
this table counts, and a connection that holds too much is closed, with which libzmq forgets its
subscriptions.

| a connection                                     | what happens to it                            |
|--------------------------------------------------|-----------------------------------------------|
| subscribes to a topic                            | the topic is counted, once                    |
| unsubscribes from a topic that it does not hold  | nothing                                       |
| sends what no process sends                      | it is closed                                  |
| holds more than its own limit                    | it is closed                                  |
| came last, while all hold more than the limit of | it is closed, unless it holds less than half  |
| all                                              | of the average                                |

So those who came first stay, and a process that has just come with a few subscriptions gets in. One
that is closed connects again, and is closed again for as long as it holds too much: so the log has
to say whose connection it was. Nobody but its agents' names tells that.
"""

from __future__ import annotations

from typing import Final

from civitas.errors import printable
from civitas_zmq.sockets import LONGEST_TOPIC, TOPIC_END

TOPIC_COST: Final = 64
"""Bytes that a subscription counts beside those of its topic."""

_SYSTEM: Final = (b"_", b"\xff")
"""What the topics begin with that are no agents' names: addresses of the system, and probes."""

_UNSUBSCRIBE: Final = b"\0"
_SUBSCRIBE: Final = b"\1"


def cost_of(topic: bytes) -> int:
    """Return what the subscription to a topic counts, in bytes."""
    return len(topic) + TOPIC_COST


class SubscriptionTable:
    """Counts the subscriptions of each connection.

    Args:
        limit: bytes that the subscriptions of one connection may have, `TOPIC_COST` for each one
            included.
        limit_of_all: the same, of all connections together.
    """

    def __init__(self, limit: int, limit_of_all: int) -> None:
        self._limit = limit
        self._limit_of_all = limit_of_all
        self._topics: dict[int, set[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self._total = 0

    def __contains__(self, connection: int) -> bool:
        return connection in self._sizes

    def take(self, connection: int, message: bytes) -> str | None:
        """Note what a connection sent; return why it must be closed, `None` if it need not be."""
        topics = self._topics.setdefault(connection, set())
        self._sizes.setdefault(connection, 0)
        kind, topic = message[:1], message[1:]
        if kind not in (_SUBSCRIBE, _UNSUBSCRIBE) or len(topic) > LONGEST_TOPIC:
            return "it sent what is no subscription"
        if (kind == _SUBSCRIBE) == (topic in topics):
            return None
        cost = cost_of(topic)
        if kind == _UNSUBSCRIBE:
            topics.remove(topic)
            cost = -cost
        else:
            topics.add(topic)
        self._total += cost
        self._sizes[connection] += cost
        if self._sizes[connection] > self._limit:
            return (
                f"its {len(topics)} subscriptions have more than max_subscription_bytes"
                f" ({self._limit})"
            )
        return None

    def excess(self, own: int = 0) -> int | None:
        """Return the connection to close while all together hold too much, `None` otherwise.

        All are those here and whoever has `own` bytes without a connection.
        """
        if not self._sizes or self._total + own <= self._limit_of_all:
            return None
        least = self._total / len(self._sizes) / 2
        return next(each for each in reversed(self._sizes) if self._sizes[each] >= least)

    def example(self, connection: int) -> str:
        """Return a topic of a connection as text, an agent's name if it has one, "" for none."""
        topics = self._topics.get(connection, ())
        names = (each for each in topics if not each.startswith(_SYSTEM))
        example = next(names, None) or next(iter(topics), b"")
        return printable(example.removesuffix(TOPIC_END).decode(errors="backslashreplace"))

    def forget(self, connection: int) -> None:
        """Drop what is known of a connection that is closed."""
        self._topics.pop(connection, None)
        self._total -= self._sizes.pop(connection, 0)
