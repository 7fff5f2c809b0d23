"""How connects are counted: in every thread, while others begin and end to count."""

from __future__ import annotations

import sys

from civitas.testing.attempts import ConnectAttempts


class Leaving(ConnectAttempts):
    """Is left, as in another thread, while a connect is counted."""

    def __init__(self) -> None:
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    @count.setter
    def count(self, count: int) -> None:
        self._count = count
        self.__exit__()


def test_a_connect_is_counted_by_all_also_while_one_of_them_ends():
    first, second = Leaving(), ConnectAttempts()
    first.__enter__()
    with second:
        sys.audit("socket.connect", None, None)
    assert (first.count, second.count) == (1, 1)
