"""Report: what a failed run says to the person who has to find out why."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile, zip_longest
from typing import Final

from civitas.errors import printable
from civitas.testing.simulation.faults import MEANINGS, Fault
from civitas.testing.simulation.history import ACCEPTED, ANSWERED, DONE, Fact
from civitas.testing.simulation.run import RunOutcome

OPTION: Final = "--civitas-seed"

_PAGE: Final = "Testing under faults"

_EACH: Final = 5
"""Lines of what one rule has found."""

_LINES: Final = 100
"""Lines of a history, unless it is shown whole."""

_WIDE: Final = 110

_AS_IT_SHOULD: Final = (
    ["send", ACCEPTED, "handle", DONE],
    ["ask", "handle", DONE, ANSWERED],
)
"""What happens to a message, in some order, when nothing goes wrong with it."""


def report(failed: RunOutcome, shrunk: RunOutcome, *, whole: bool, test: str) -> str:
    """Return the text for a failure: the seed, what is broken, the faults, the history.

    Args:
        failed: the run of the seed as it is.
        shrunk: the run with the fewest faults that fails in the same way.
        whole: whether to show every fact, as for the replay of a seed.
        test: what pytest calls the test.
    """
    again = f"pytest {OPTION}={failed.seed} {test}"
    facts = failed.facts if whole else shrunk.facts
    lines = [_headline(failed), f"Run it again: {again}", "", *_problem(failed), ""]
    lines += _faults(failed, shrunk)
    lines += ["", f"The history of {'all of it' if whole else 'that'}: {_LEGEND}"]
    lines += [f"  {fact}" for fact in facts] if whole else _listed(facts)
    if not whole:
        lines += ["", f"The same seed with its whole history: {again}"]
    return _joined(lines)


def report_of_two(first: RunOutcome, second: RunOutcome, *, test: str) -> str:
    """Return the text for a seed that did not do the same when it ran again."""
    pairs = zip_longest(first.facts, second.facts)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    ours, theirs = (next(iter(each.facts[same:]), None) for each in (first, second))
    end = _headline(second) if second.failed else "it passed"
    lines = [
        f"{_headline(first)} - and when it ran again, it ran differently",
        "What the agents or the test do depends on more than the seed, such as a set of texts, a",
        f"variable that outlives a run, or a file: see Determinism on the page {_PAGE!r}.",
        "",
        *_problem(first),
        "",
        f"The second run of the seed: {end}",
        "What happened in both:",
        *(f"  {_shown(fact)}" for fact in first.facts[max(same - 2 * _EACH, 0) : same]),
        "And then, in the first run, and in the second:",
        f"  {_shown(ours)}",
        f"  {_shown(theirs)}",
        "",
        f"Run it again: pytest {OPTION}={first.seed} {test}",
    ]
    return _joined(lines)


_LEGEND: Final = """seconds, process, what happens
(worker.2: the process worker, started a second time; desk#2: the second object of agent desk)"""


def _headline(outcome: RunOutcome) -> str:
    first = outcome.summary().partition("\n")[0].partition("\\n")[0]
    return f"seed {outcome.seed}: {_cut(first)}"


def _problem(outcome: RunOutcome) -> Iterator[str]:
    """Give what was broken, with the traceback of the test."""
    if outcome.traceback:
        yield from (f"  {line}" for line in outcome.traceback.rstrip().splitlines())
    found: defaultdict[str, list[str]] = defaultdict(list)
    for rule, text in outcome.broken:
        found[rule].append(text)
    for rule, texts in found.items():
        yield f"  {rule}:"
        yield from (f"    {text}" for text in texts[:_EACH])
        if len(texts) > _EACH:
            yield f"    and {len(texts) - _EACH} more"


def _faults(failed: RunOutcome, shrunk: RunOutcome) -> Iterator[str]:
    count, left = sum(map(len, failed.plans)), sum(map(len, shrunk.plans))
    if not left:
        yield (
            f"It fails without faults (the seed had {count})." if count else "There were no faults."
        )
        return
    if left == count:
        yield f"The {count} faults (in seconds after the storm begins):"
    else:
        enough = f"{left} is enough" if left == 1 else f"{left} are enough"
        yield f"Of its {count} faults {enough} (in seconds after the storm begins):"
    plan = [fault for plan in shrunk.plans for fault in plan]
    width = max(len(fault.what) for fault in plan)
    yield from (_fault(fault, width) for fault in plan)
    if shrunk is not failed and _headline(shrunk) != _headline(failed):
        yield f"With {'that one' if left == 1 else 'these'}: {_headline(shrunk)}"


def _fault(fault: Fault, width: int) -> str:
    return f"  {fault.at:6.2f}  {fault.what:{width}}  {MEANINGS.get(fault.kind, '')}".rstrip()


def _listed(facts: Sequence[Fact]) -> Iterator[str]:
    """Give the facts that may be of interest: all but those of messages that went well."""
    steps: defaultdict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if fact.message:
            steps[fact.message].append(fact.what)
    well = {
        message
        for message, taken in steps.items()
        if any(sorted(taken) == sorted(usual) for usual in _AS_IT_SHOULD)
    }
    shown = [fact for fact in facts if fact.message not in well]
    if well:
        yield f"({len(well)} messages that went as they should are left out)"
    if len(shown) > _LINES:
        yield f"  ... {len(shown) - _LINES} before"
    yield from (f"  {_shown(fact)}" for fact in shown[-_LINES:])


def _shown(fact: Fact | None) -> str:
    return "(it was over)" if fact is None else _cut(str(fact))


def _joined(lines: Iterable[str]) -> str:
    """Join lines in which names and texts of the tested agents stand."""
    return "\n".join(printable(each, sys.maxsize) for line in lines for each in line.split("\n"))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 3]}..."
