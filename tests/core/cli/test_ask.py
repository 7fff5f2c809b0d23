"""`civitas ask`, on a ledger: what it prints is JSON, whatever the answer has in it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from civitas import AgentProcess, Message
from core.cli.test_dead_letters import Kept, kept
from support.agents import Scripted
from support.ledger import running

__all__ = ["kept"]

ODD = {"rates": [float("nan"), float("inf"), float("-inf"), 0.5], "raw": b"\xff", 7: None}
SHOWN = {"rates": ["nan", "inf", "-inf", 0.5], "raw": {"base64": "/w=="}, "7": None}


async def answer_oddly(agent: AgentProcess, message: Message) -> Message:
    return agent.reply(ODD)


def strict(text: str) -> Any:
    """Read JSON as RFC 8259 has it: Python reads NaN and Infinity, too."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


async def test_an_answer_with_what_json_lacks_is_printed_as_json(kept: Kept) -> None:
    given = ("ask", "cook", "--connect-timeout=5")
    async with running(kept.ledger, Scripted("cook", answer_oddly), Scripted("waiter")):
        plain = await asyncio.to_thread(kept.civitas, *given)
        whole = await asyncio.to_thread(kept.civitas, *given, "--json")
    assert (plain.code, plain.err, strict(plain.out)) == (0, "", SHOWN)
    assert strict(whole.out) == {"sender": "cook", "type": "reply", "payload": SHOWN}
