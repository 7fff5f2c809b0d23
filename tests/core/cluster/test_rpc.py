"""PendingRequests: calls are sent again in the order in which they are due."""

from __future__ import annotations

from math import inf

from civitas._cluster.protocol import Query, Result, control_address
from civitas._cluster.rpc import RESEND, PendingRequests


def test_only_what_is_due_is_sent_again_and_the_first_one_says_when() -> None:
    sent: list[tuple[str, int]] = []
    lost: list[Result] = []
    calls = PendingRequests(lambda to, message: sent.append((to, message.number)), lost.append)
    assert calls.next_due() == inf
    calls.call("aa", Query(1), 0.0)
    calls.call("bb", Query(2), 0.4)
    assert calls.next_due() == RESEND
    calls.resend(RESEND)
    assert sent == [
        (control_address("aa"), 1),
        (control_address("bb"), 2),
        (control_address("aa"), 1),
    ]
    assert calls.next_due() == RESEND + 0.4
    assert not calls.answered("aa", 2)
    assert calls.answered("bb", 2)
    assert calls.next_due() == 2 * RESEND
    calls.lost("it has gone", "aa")
    assert lost == [Result(1, "it has gone")]
    assert calls.next_due() == inf
