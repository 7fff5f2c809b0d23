"""BoundedSet: the keys of nodes that are not to be heard any more, as many as fit. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

LIMIT: Final = 10_000


class BoundedSet:
    """A bounded set: beyond `limit` the oldest key goes.

    Args:
        keys: where they are kept; others may look into it.
        limit: how many are kept.
    """

    def __init__(self, keys: set[bytes], limit: int = LIMIT) -> None:
        self._keys = keys
        self._order = deque(keys)
        self._limit = limit

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, key: bytes) -> None:
        """Keep a key."""
        if key in self._keys:
            return
        self._keys.add(key)
        self._order.append(key)
        if len(self._order) > self._limit:
            self._keys.discard(self._order.popleft())
