"""Report: what the terminal tells about the kit at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from civitas.testing.suite import ConformanceSuite, NotClaimed


@dataclass
class Outcomes:
    """How the standard tests of one class ended, by name."""

    suite: type[ConformanceSuite]
    passed: set[str] = field(default_factory=set)
    other: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Say how many passed, and which did not and why; only a pass counts as one."""
        expected = self.suite.expected()
        passed = sum(name in self.passed for name in expected)
        counts = Counter(self.other.values())
        missing = len(expected) - passed - sum(counts.values())
        if missing:
            counts["not run"] = missing
        parts = [f"{passed} of {len(expected)} passed"]
        parts += [f"{count} {outcome}" for outcome, count in sorted(counts.items())]
        lines = [f"{self.suite.__name__}: {self.suite.level}: {', '.join(parts)}"]
        lines += [f"  deviation {name}: {why}" for name, why in self.suite.deviations.items()]
        lines += [
            f"  not in the list {name}: {value.claim} is not claimed"
            for name in self.suite.standard
            if isinstance(value := getattr(self.suite, name), NotClaimed)
        ]
        return lines


class Report:
    """Collects the outcomes of the kit's tests; registered as a plugin for one run.

    Args:
        items: the node ids of the kit's tests, each with its class and name.
    """

    def __init__(self, items: dict[str, tuple[type[ConformanceSuite], str]]) -> None:
        self._items = items
        self.suites = {suite: Outcomes(suite) for suite, _ in items.values()}

    @classmethod
    def of(cls, items: Iterable[pytest.Item]) -> Report:
        """Return a report on those of these tests that are standard tests of the kit."""
        found = {}
        for item in items:
            suite = getattr(item, "cls", None)
            if isinstance(suite, type) and issubclass(suite, ConformanceSuite):
                name = getattr(item, "originalname", item.name)
                if name in suite.standard:
                    found[item.nodeid] = (suite, name)
        return cls(found)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test ended; what goes wrong before or after it counts too."""
        if report.nodeid not in self._items:
            return
        suite, name = self._items[report.nodeid]
        outcomes = self.suites[suite]
        if report.failed:
            outcomes.passed.discard(name)
            outcomes.other[name] = "failed"
        elif name in suite.deviations:
            outcomes.other.setdefault(name, "deviation")
        elif report.skipped:
            outcomes.other[name] = "skipped"
        elif report.when == "call":
            outcomes.passed.add(name)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write a section with a line for each class, and one for each test that is no pass."""
        terminalreporter.section("civitas conformance")
        for outcomes in self.suites.values():
            for line in outcomes.lines():
                terminalreporter.write_line(line)
