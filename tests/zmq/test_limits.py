"""The tables of a proxy's limits: who holds what, what may wait, which lines are logged."""

from __future__ import annotations

import pytest

from civitas_zmq import log_limit
from civitas_zmq.backlog import Backlog
from civitas_zmq.log_limit import LogLimit
from civitas_zmq.peers import Flow
from civitas_zmq.proxy import ProxySettings
from civitas_zmq.sockets import LONGEST_TOPIC, topic_of
from civitas_zmq.subscriptions import TOPIC_COST, SubscriptionTable

LIMIT = 100 * (TOPIC_COST + 1)
"""What a hundred topics of one byte have."""

TIMES = 4
"""How many connections at their limit the tables here bear."""


def table_of(limit: int = LIMIT) -> SubscriptionTable:
    return SubscriptionTable(limit, TIMES * limit)


def fill(table: SubscriptionTable, connection: int, count: int) -> str | None:
    reasons = [table.take(connection, b"\1" + bytes((number,))) for number in range(count)]
    return reasons[-1]


def test_a_connection_may_hold_as_much_as_its_limit_and_no_more():
    table = table_of()
    assert fill(table, 1, 100) is None
    assert "max_subscription_bytes" in table.take(1, b"\1\xff")


def test_what_is_unsubscribed_counts_no_more():
    table = table_of()
    for _ in range(3):
        assert fill(table, 1, 100) is None
        for number in range(100):
            assert table.take(1, b"\0" + bytes((number,))) is None


def test_unsubscribing_from_what_it_does_not_hold_makes_no_room():
    table = table_of()
    fill(table, 1, 100)
    for number in range(100, 200):
        assert table.take(1, b"\0" + bytes((number,))) is None
    assert table.take(1, b"\1\xff") is not None


def test_a_topic_that_is_subscribed_again_counts_once():
    table = table_of()
    assert [table.take(1, b"\1topic") for _ in range(1000)] == [None] * 1000


@pytest.mark.parametrize("message", [b"", b"\2", b"topic", b"\1" + bytes(LONGEST_TOPIC + 1)])
def test_what_no_process_sends_closes_its_connection(message):
    assert table_of().take(1, message) is not None


def test_above_the_limit_of_all_the_last_that_came_goes_first():
    table = table_of()
    for connection in range(TIMES + 2):
        fill(table, connection, 100)
    gone = []
    while (youngest := table.excess()) is not None:
        table.forget(youngest)
        gone.append(youngest)
    assert gone == [TIMES + 1, TIMES]


def test_above_the_limit_of_all_a_newcomer_with_little_stays():
    table = table_of()
    for connection in range(TIMES):
        fill(table, connection, 100)
    fill(table, TIMES, 2)
    assert table.excess() == TIMES - 1


SYSTEM = [topic_of(f"_{name}.{'0123456789abcdef' * 3}") for name in "abcde"]
"""As many topics as a connection has beside those of its agents, and more."""


@pytest.mark.parametrize(
    ("processes", "agents"),
    [
        (1, 100_000),
        (20, 10_000),
        (200, 1000),
        pytest.param(10_000, 100, marks=pytest.mark.slow),  # as many as a system may have
    ],
)
def test_a_system_of_many_agents_is_within_the_limits_by_default(processes, agents):
    settings = ProxySettings()
    table = SubscriptionTable(
        settings.max_subscription_bytes, settings.max_total_subscription_bytes
    )
    for process in range(processes):
        names = (f"service-{process:05}.of-a-usual-name.{n:06}" for n in range(agents))
        for topic in (*SYSTEM, *map(topic_of, names)):
            assert table.take(process, b"\1" + topic) is None
        for topic in SYSTEM:  # those of the control plane, which has a connection of its own
            assert table.take(-1 - process, b"\1" + topic) is None
        assert table.excess() is None


def test_what_this_process_has_itself_counts_and_is_never_closed():
    table = table_of()
    for connection in range(TIMES):
        fill(table, connection, 100)
    assert table.excess(0) is None
    assert table.excess(1) == TIMES - 1
    for connection in range(TIMES):
        table.forget(connection)
    assert table.excess(TIMES * LIMIT + 1) is None


def test_a_connection_is_known_by_an_agent_of_its_process():
    table = table_of()
    for topic in (b"_agency.data.00", b"\xffprobe", b"cook-\x1b[2J\xff\0", b"waiter\0"):
        table.take(1, b"\1" + topic)
    assert table.example(1) in {"cook-\\x1b[2J\\xff", "waiter"}
    table.take(2, b"\1_agency.data.00\0")
    assert table.example(2) == "_agency.data.00"
    assert table.example(3) == ""


def backlog(*flows: Flow, forwarded: int = 1000) -> int:
    one = Backlog()
    return [one.note(flow, forwarded, 1.0) for flow in flows][-1]


def test_what_a_standing_connection_leaves_adds_up():
    assert backlog(*(Flow(5, 0, float(second)) for second in range(1, 4))) == 3000


def test_what_it_takes_is_subtracted():
    assert backlog(*(Flow(5, 600 * second, float(second)) for second in range(1, 4))) == 1200


def test_where_nothing_waits_nothing_has_added_up():
    assert backlog(Flow(5, 0, 1.0), Flow(0, 0, 2.0)) == 0


def test_what_the_proxy_itself_is_late_with_does_not_count():
    assert backlog(*(Flow(5, 0, 0.3 * second) for second in range(1, 4))) == 0


def test_without_counters_a_connection_stands_while_the_same_waits():
    assert backlog(Flow(5), Flow(5), Flow(5)) == 2000
    assert backlog(Flow(5), Flow(5), Flow(4)) == 0


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(log_limit, "monotonic", lambda: now[0])
    return now


def test_a_source_has_one_line_a_second_which_says_how_many_were_left_out(clock):
    limit = LogLimit()
    assert [limit.allows("a") for _ in range(4)] == ["", None, None, None]
    assert limit.allows("b") == ""
    clock[0] += log_limit.INTERVAL
    assert limit.allows("a") == " (3 more since the last such line)"
    clock[0] += log_limit.INTERVAL
    assert limit.allows("a") == ""


def test_of_very_many_sources_those_beyond_the_table_share_one_line(clock):
    limit = LogLimit()
    lines = [limit.allows(str(number)) for number in range(10 * log_limit.SOURCES)]
    assert len([line for line in lines if line is not None]) == log_limit.SOURCES + 1
    clock[0] += log_limit.INTERVAL
    assert limit.allows("new") == ""
