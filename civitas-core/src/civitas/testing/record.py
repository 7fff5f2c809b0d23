"""SuiteRecord: how the standard tests of one class ended, for the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

import pytest

from civitas._authoring.conformance import UNPROVED_BY_NATURE
from civitas.plugins import Capabilities
from civitas.testing.suite import ConformanceSuite, claims_of, disclaimed_by


class StandardTest(NamedTuple):
    """Which standard test ran: plain values, since they may come from another process.

    Attributes:
        key: the class that it belongs to.
        name: its name.
        about: the record of that class, before anything has run.
    """

    key: str
    name: str
    about: dict[str, Any]

    @classmethod
    def of(cls, item: pytest.Item) -> Self | None:
        """Return which one this is, or `None` when it is no standard test of the kit."""
        suite = getattr(item, "cls", None)
        name: str = getattr(item, "originalname", item.name)
        if not isinstance(suite, type) or not issubclass(suite, ConformanceSuite):
            return None
        if name not in suite.standard:
            return None
        place = item.nodeid.partition("::")[0]
        return cls(f"{place}::{suite.__qualname__}", name, asdict(SuiteRecord.about(suite)))


@dataclass
class SuiteRecord:
    """A class that adopts the kit: what it claims, and how its tests ended.

    Attributes:
        name: the name of the class.
        kind: "transport", "serializer" or "instrument".
        level: what the class may call itself when it conforms.
        plugin: the name in topologies of what is tested, where the class states it.
        variant: the option on which its claims depend.
        claims: the claims, by name; those that are not made are left out.
        expected: the tests in its list, each with the claims that it proves.
        left_out: the kit's other tests, each with the reason why it is not in the list.
        probes: of those, the ones that run all the same, each with its claim.
        in_part: claims with tests that need a fixture that is not there: the names of these tests.
        deviations: tests that the adopter knows to fail, each with the reason.
        outcomes: how each test ended: passed, failed, skipped, deviation.
    """

    name: str
    kind: str
    level: str
    plugin: str | None
    variant: str
    claims: dict[str, Any]
    expected: dict[str, list[str]]
    left_out: dict[str, str]
    probes: dict[str, str]
    in_part: dict[str, list[str]]
    deviations: dict[str, str]
    outcomes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def about(cls, suite: type[ConformanceSuite]) -> Self:
        """Return the record of a class of which nothing has run."""
        claims = getattr(suite, "capabilities", None)
        found = ((name, disclaimed_by(getattr(suite, name))) for name in suite.standard)
        return cls(
            name=suite.__name__,
            kind=suite.kind,
            level=suite.level,
            plugin=suite.plugin,
            variant=suite.variant,
            claims=_made(claims) if isinstance(claims, Capabilities) else {},
            expected={name: list(claims_of(suite.standard[name])) for name in suite.expected()},
            left_out=suite.left_out(),
            probes={name: claim for name, claim in found if claim},
            in_part=_in_part(suite),
            deviations=dict(suite.deviations),
        )

    def note(self, test: str, report: pytest.TestReport) -> None:
        """Note how a test ended; what goes wrong before or after it counts too."""
        if report.failed:
            self.outcomes[test] = "failed"
        elif test in self.deviations:
            self.outcomes.setdefault(test, "deviation")
        elif report.skipped:
            # An expected failure counts as skipped, too: here it is that of a probe.
            self.outcomes[test] = "skipped"
        elif report.when == "call":
            self.outcomes.setdefault(test, "passed")

    @property
    def passed(self) -> list[str]:
        """The tests of the list that passed, in the kit's order."""
        return [name for name in self.expected if self.outcomes.get(name) == "passed"]

    @property
    def conforms(self) -> bool:
        """Whether every test of the list passed: no deviation, nothing skipped or left out."""
        return len(self.passed) == len(self.expected)

    @property
    def proved(self) -> list[str]:
        """The claims of which every test passed."""
        passed = set(self.passed)
        tested = {claim for claims in self.expected.values() for claim in claims}
        open_ = {
            claim
            for name, claims in self.expected.items()
            if name not in passed
            for claim in claims
        }
        return [claim for claim in self.claims if claim in tested - open_]

    @property
    def on_trust(self) -> list[str]:
        """The claims that the kit has no test for."""
        return [claim for claim in self.claims if claim in UNPROVED_BY_NATURE]

    @property
    def disclaimed_but_works(self) -> list[str]:
        """The claims that are not made, and whose test passed."""
        return [claim for name, claim in self.probes.items() if self.outcomes.get(name) == "passed"]

    def lines(self) -> Iterable[str]:
        """Say how many tests passed, and which did not and why; only a pass counts as one."""
        counts = Counter(
            self.outcomes.get(name, "not run") for name in self.expected if name not in self.passed
        )
        parts = [f"{len(self.passed)} of {len(self.expected)} passed"]
        parts += [f"{count} {outcome}" for outcome, count in sorted(counts.items())]
        yield f"{self.name}: {self.level}: {', '.join(parts)}"
        for name, why in self.deviations.items():
            yield f"  deviation {name}: {why}"
        for why, count in Counter(self.left_out.values()).items():
            yield f"  not in the list, as {why}: {count} {'test' if count == 1 else 'tests'}"
        for claim in self.on_trust:
            yield f"  taken on trust: {claim}, which no test of one machine proves"
        for claim in self.disclaimed_but_works:
            yield f"  disclaimed but works: {claim}; claim it, and its tests join the list"

    def as_dict(self) -> dict[str, Any]:
        """Return what the report's file has of this class."""
        return {
            "class": self.name,
            "kind": self.kind,
            "level": self.level,
            "plugin": self.plugin,
            "variant": self.variant,
            "conforms": self.conforms,
            "claims": self.claims,
            "proved": self.proved,
            "proved_in_part": self.in_part,
            "on_trust": self.on_trust,
            "disclaimed_but_works": self.disclaimed_but_works,
            "passed": self.passed,
            "not_passed": {
                name: self.outcomes.get(name, "not run")
                for name in self.expected
                if name not in self.passed
            },
            "deviations": self.deviations,
            "not_in_the_list": self.left_out,
        }


def _made(capabilities: Capabilities) -> dict[str, Any]:
    return {name: value for name, value in asdict(capabilities).items() if value}


def _in_part(suite: type[ConformanceSuite]) -> dict[str, list[str]]:
    """Return the claims of a class of which a test is not in its list for want of a fixture."""
    found: dict[str, list[str]] = {}
    for name in suite.left_out():
        claims = claims_of(suite.standard[name])
        if all(map(suite.claims, claims)) and not any(each in suite.elsewhere for each in claims):
            for claim in claims:
                found.setdefault(claim, []).append(name)
    return found
