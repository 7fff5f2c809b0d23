"""Membership: what a node waits for that is new, whose name another one may still have."""

from __future__ import annotations

from civitas._cluster.discovery import JOIN_TIMEOUT
from civitas._cluster.events import Received, Settled
from civitas._cluster.protocol import Admitted, Contested, Hello, Welcome
from core.cluster.one_node import EPOCH, PRIMARY, WORKER, One, info


def test_a_newcomer_waits_as_long_as_it_is_found_out_whether_its_name_is_free() -> None:
    primary = One("primary", process="supervisor").joined(WORKER)
    newcomer = info("55", "far", process=WORKER.process)
    primary.hear(newcomer, Hello(newcomer, EPOCH + primary.now))
    assert primary.said(Contested, newcomer)
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Contested())
    one.wait(JOIN_TIMEOUT - 0.2)
    assert not one.membership.info.settled
    one.hear(PRIMARY, Welcome(PRIMARY, EPOCH + one.now, EPOCH + one.now, ()))
    one.membership.admit(PRIMARY.node, (), one.now)
    one.hear(PRIMARY, Admitted())
    assert one.membership.info.settled


def test_who_finds_it_out_and_goes_itself_is_not_waited_for_without_end() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Contested())
    one.wait(JOIN_TIMEOUT + 0.2)
    assert one.membership.info.settled


def test_what_the_primary_knows_of_agents_that_are_done_comes_before_a_node_has_settled() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Hello(PRIMARY, EPOCH + one.now))
    one.membership.admit(PRIMARY.node, (), one.now)
    one.hear(PRIMARY, Admitted(("near",)))
    kinds = [type(event) for event in one.events if isinstance(event, Received | Settled)]
    assert kinds == [Received, Settled]
    one.hear(WORKER, Hello(WORKER, EPOCH + one.now))
    one.forget()
    one.hear(WORKER, Admitted(("near",)))
    assert not one.events
