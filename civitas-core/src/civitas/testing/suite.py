"""ConformanceSuite: a class of standard tests that its adopters can't quietly thin out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import FunctionType
from typing import Any, ClassVar, Final

import pytest

_PREFIX: Final = "test_"
_CLAIM: Final = "claim"
_DEVIATION: Final = "deviation"

Test = Callable[..., None]


def for_claim(claim: str) -> Callable[[Test], Test]:
    """Make a standard test part of the list of those only who make this claim."""

    def mark(test: Test) -> Test:
        test.__dict__[_CLAIM] = claim
        return test

    return mark


class NotClaimed:
    """Stands in a class where a standard test is not in its list. Not callable: pytest passes by.

    Attributes:
        claim: the claim that would put the test into the list.
    """

    def __init__(self, claim: str) -> None:
        self.claim = claim


class ConformanceSuite:
    """Base of the kit's classes.

    Attributes:
        level: what a class that passes may call itself.
        standard: the kit's tests by name, in reading order.
        deviations: names of standard tests that the adopter knows to fail, each with the reason.
            They run, are expected to fail, and are reported as deviations, never as passes.
    """

    level: ClassVar[str]
    standard: ClassVar[Mapping[str, Test]] = {}
    deviations: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, kit: bool = False, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if kit:
            cls.standard = _tests_of(cls)
        else:
            _settle(cls)

    @classmethod
    def claims(cls, claim: str) -> bool:
        """Return whether the adopter's `capabilities`, if any, make this claim."""
        return bool(getattr(getattr(cls, "capabilities", None), claim, False))

    @classmethod
    def expected(cls) -> list[str]:
        """Return the names of the standard tests in this class's list."""
        return [name for name in cls.standard if not isinstance(getattr(cls, name), NotClaimed)]


def deviation_of(test: object) -> str | None:
    """Return the reason that the adopter states for this test; `None` where it must pass."""
    reason: str | None = getattr(test, _DEVIATION, None)
    return reason


def _tests_of(kit: type) -> dict[str, Test]:
    """Return all tests of a kit's class: the parts in the order in which they are named."""
    parts = (part for part in kit.__mro__ if part is not object)
    return {
        name: value
        for part in parts
        for name, value in vars(part).items()
        if name.startswith(_PREFIX) and callable(value)
    }


def _settle(cls: type[ConformanceSuite]) -> None:
    """Check what the adopter wrote, and put each standard test where it belongs.

    Raises:
        TypeError: a standard test was replaced or removed without a reason, or a deviation names
            no standard test or has no reason. Pytest shows it as an error of collection.
    """
    problems = [*_bad_deviations(cls), *_unexplained_changes(cls)]
    if problems:
        raise TypeError(f"{cls.__name__}: " + "; ".join(problems))
    for name, test in cls.standard.items():
        claim = test.__dict__.get(_CLAIM)
        if claim is not None and not cls.claims(claim):
            setattr(cls, name, NotClaimed(claim))
        elif name in cls.deviations:
            setattr(cls, name, _deviating(test, getattr(cls, name), cls.deviations[name]))
        else:  # set here too: pytest runs the tests of a class in the order of its own names
            setattr(cls, name, test)


def _bad_deviations(cls: type[ConformanceSuite]) -> list[str]:
    problems = []
    for name, reason in cls.deviations.items():
        if name not in cls.standard:
            similar = get_close_matches(name, cls.standard, 1)
            hint = f" (did you mean {similar[0]!r}?)" if similar else ""
            problems.append(f"deviations names {name!r}, which is no standard test{hint}")
        elif not reason.strip():
            problems.append(f"the deviation {name!r} has no reason")
    return problems


def _unexplained_changes(cls: type[ConformanceSuite]) -> list[str]:
    problems = []
    for name, test in cls.standard.items():
        found = getattr(cls, name)
        if found is test or isinstance(found, NotClaimed) or deviation_of(found) is not None:
            continue
        if name not in cls.deviations:
            what = "replaces" if callable(found) else "removes"
            problems.append(
                f"it {what} the standard test {name!r} without a reason: leave the test alone, "
                f'or state deviations = {{"{name}": "why"}}'
            )
    return problems


def _deviating(standard: Test, found: Any, reason: str) -> Test:
    """Return the test to run for a deviation; whatever its outcome, it is no pass.

    The standard test must fail, or the deviation is not needed any more. A test that the adopter
    put in its place may do either. Where the adopter removed it, nothing is run.
    """
    chosen = found if callable(found) else standard
    test = FunctionType(
        chosen.__code__, chosen.__globals__, chosen.__name__, None, chosen.__closure__
    )
    test.__doc__, test.__module__ = chosen.__doc__, chosen.__module__
    test.__dict__.update(chosen.__dict__)
    test.__dict__[_DEVIATION] = reason
    mark = pytest.mark.xfail(
        reason=f"deviation: {reason}", strict=found is standard, run=callable(found)
    )
    marked: Test = mark(test)
    return marked
