"""Report: what a failed run says to the person who has to find out why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from civitas.testing.simulation.history import Fact
from civitas.testing.simulation.run import RunOutcome

OPTION: Final = "--civitas-seed"

_OF_MESSAGES: Final = {"send", "ask", "handle", "accepted", "answered", "done"}
"""Facts that only a replay shows."""

_LINES: Final = 200


def report(failed: RunOutcome, shrunk: RunOutcome, *, whole: bool) -> str:
    """Return the text for a failure: the seed, what is broken, the faults, the history.

    Args:
        failed: the run of the seed as it is.
        shrunk: the run with the fewest faults that fails in the same way.
        whole: whether to show every fact, as for the replay of a seed.
    """
    count = sum(map(len, failed.plans))
    parts = [
        f"seed {failed.seed} failed; run it again with {OPTION}={failed.seed}",
        _indented(_problem(failed)),
        f"{sum(map(len, shrunk.plans))} of its {count} faults are enough:",
        _indented("\n".join(str(fault) for plan in shrunk.plans for fault in plan) or "none"),
    ]
    if shrunk is not failed:
        parts += ["with these:", _indented(shrunk.summary())]
    facts = failed.facts if whole else shrunk.facts
    parts += ["history (seconds, process, what):", _listed(facts, whole=whole)]
    return "\n".join(parts)


def _problem(outcome: RunOutcome) -> str:
    return f"{outcome.traceback}{outcome.summary()}"


def _listed(facts: Sequence[Fact], *, whole: bool) -> str:
    if whole:
        return "\n".join(map(str, facts))
    shown = [fact for fact in facts if fact.what not in _OF_MESSAGES]
    left_out = len(shown) - _LINES
    lines = [f"... {left_out} facts before"] if left_out > 0 else []
    return "\n".join([*lines, *map(str, shown[-_LINES:])])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
