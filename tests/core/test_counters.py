"""What the counters of a node tell of its agents."""

from __future__ import annotations

import pytest

from civitas import ErrorAction
from civitas.errors import (
    AgentError,
    MailboxFullError,
)
from support.agents import Gate, Scripted, echo, fail, runtime


async def test_the_counters_tell_what_happened() -> None:
    skipping = Scripted("a", fail, ErrorAction.SKIP)
    async with runtime(skipping, Scripted("b", echo)) as r:
        await r.send("a", {})
        with pytest.raises(AgentError):
            await r.ask("a", {})
        await r.ask("b", {})
        stats = r.stats()
    a, b = stats.agents
    assert (stats.sent, stats.delivered, stats.dropped) == (3, 3, {})
    assert (a.handled, a.errors, a.restarts) == (2, 2, 0)
    assert (b.handled, b.errors, b.mailbox_depth) == (1, 0, 0)
    assert stats.process == "supervisor"
    assert len(stats.node) == 16


async def test_an_ask_counts_as_sent_when_it_was_handed_over_though_no_answer_came() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1)) as r:
        with pytest.raises(TimeoutError):
            await r.ask("a", {}, timeout=0.01)
        await r.send("a", {})
        with pytest.raises(MailboxFullError):
            await r.ask("a", {}, timeout=0.01)
        assert r.stats().sent == 2
        gate.opened.set()
