"""Agents of three processes that ask each other in a ring: who gives up first says so."""

from __future__ import annotations

import re

import pytest

from support.deployment import AskError, Build, agent
from support.waiting import eventually

pytestmark = pytest.mark.slow


def test_a_timeout_between_processes_says_who_asks_whom_in_a_ring(build: Build) -> None:
    system = build(agent("a", "w1"), agent("b", "w2"), agent("c"))
    primary, *workers = system.run("supervisor", "w1", "w2")
    system.wait_joined()
    console = system.console()

    def text_of_a_ring() -> str:
        """Return what "a" is told; "" where one of them was asked before it had asked itself."""
        asking = [
            console.begin(one, {"ask": other, "timeout": seconds})
            for one, other, seconds in (("a", "b", 2.0), ("b", "c", 8.0), ("c", "a", 8.0))
        ]
        text = ""
        try:
            asking[0].outcome()
        except AskError as error:
            text = str(error)
        for each in asking[1:]:
            each.outcome()  # "a" has given up, and answers
        return text

    text = eventually(text_of_a_ring, lambda text: "itself has waited" in text)
    ring = r"'b' itself has waited \S+ s for an answer of 'c', and 'c' \S+ s for one of 'a'"
    assert re.search(
        f"ask 'b': no answer within .* s; {ring}: they ask each other in a ring$", text
    )
    system.stop(primary, *workers)
