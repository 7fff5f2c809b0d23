"""ConformanceSuite: a class of standard tests that its adopters can't quietly thin out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from inspect import signature
from types import FunctionType
from typing import Any, ClassVar, Final

import pytest

_PREFIX: Final = "test_"
_CLAIMS: Final = "claims"
_PROBES: Final = "probes"
_STRESS: Final = "stress"
_DEVIATION: Final = "deviation"
_DISCLAIMED: Final = "disclaimed"
_ORIGIN: Final = "origin"

Test = Callable[..., None]

if not __debug__:
    raise ImportError(
        "the conformance kit judges by `assert`, which `python -O` and PYTHONOPTIMIZE leave out: "
        "every transport would pass. Run pytest without them"
    )


def for_claim(*claims: str, probe: bool = False) -> Callable[[Test], Test]:
    """Make a standard test part of the list of those only who make all of these claims.

    Args:
        claims: fields of `Capabilities`.
        probe: whether the test also runs for those who don't make the claim. What it finds is
            reported: a claim that could be made.
    """

    def mark(test: Test) -> Test:
        test.__dict__[_CLAIMS] = claims
        test.__dict__[_PROBES] = probe
        return test

    return mark


def for_stress(test: Test) -> Test:
    """Make a test one that runs only with `--conformance-stress`, and that is part of no level."""
    test.__dict__[_STRESS] = True
    return test


def is_for_stress(test: object) -> bool:
    """Return whether this is a test for `--conformance-stress` only."""
    return bool(getattr(test, "__dict__", {}).get(_STRESS))


class NotInList:
    """Stands in a class where a standard test is not in its list. Not callable: pytest passes by.

    Attributes:
        reason: what would put the test into the list.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason


class ConformanceSuite:
    """Base of the kit's classes.

    Attributes:
        kind: what is tested: "transport", "serializer" or "instrument".
        level: what a class that passes may call itself.
        plugin: the name in topologies of what is tested; the report states it.
        variant: the option on which the claims of this class depend, as "jetstream: true".
        standard: the kit's tests by name, in reading order.
        optional: fixtures that an adopter may leave out, each with what it gives.
        needed: those of them that a claim is not proved without.
        elsewhere: claims that another class proves, each with the reason why not this one.
        deviations: names of standard tests that the adopter knows to fail, each with the reason.
            They run, are expected to fail, and are reported as deviations, never as passes.
    """

    kind: ClassVar[str]
    level: ClassVar[str]
    plugin: ClassVar[str | None] = None
    variant: ClassVar[str] = ""
    standard: ClassVar[Mapping[str, Test]] = {}
    optional: ClassVar[Mapping[str, str]] = {}
    needed: ClassVar[frozenset[str]] = frozenset()
    elsewhere: ClassVar[Mapping[str, str]] = {}
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
        return [
            name
            for name in cls.standard
            if not isinstance(value := getattr(cls, name), NotInList) and not disclaimed_by(value)
        ]

    @classmethod
    def left_out(cls) -> dict[str, str]:
        """Return the standard tests that are not in this class's list, each with the reason."""
        found = {}
        for name in cls.standard:
            value = getattr(cls, name)
            claim = disclaimed_by(value)
            if isinstance(value, NotInList):
                found[name] = value.reason
            elif claim:
                found[name] = _unclaimed(claim)
        return found


def claims_of(test: Test) -> tuple[str, ...]:
    """Return the claims that a standard test proves."""
    claims: tuple[str, ...] = test.__dict__.get(_CLAIMS, ())
    return claims


def deviation_of(test: object) -> str | None:
    """Return the reason that the adopter states for this test; `None` where it must pass."""
    reason: str | None = getattr(test, _DEVIATION, None)
    return reason


def disclaimed_by(test: object) -> str | None:
    """Return the claim that the adopter does not make, where this test tries it all the same."""
    claim: str | None = getattr(test, _DISCLAIMED, None)
    return claim


def _tests_of(kit: type) -> dict[str, Test]:
    """Return all tests of a kit's class: the parts in the order in which they are named."""
    parts = (part for part in kit.__mro__ if part is not object)
    return {
        name: value
        for part in parts
        for name, value in vars(part).items()
        if name.startswith(_PREFIX) and callable(value) and not is_for_stress(value)
    }


def _settle(cls: type[ConformanceSuite]) -> None:
    """Check what the adopter wrote, and put each standard test where it belongs.

    Raises:
        TypeError: a standard test was replaced or removed without a reason, or a deviation names
            no standard test or has no reason. Pytest shows it as an error of collection.
    """
    problems = [*_bad_deviations(cls), *_unexplained_changes(cls), *_bad_elsewhere(cls)]
    if problems:
        raise TypeError(f"{cls.__name__}: " + "; ".join(problems))
    for name, test in cls.standard.items():  # all of them: pytest runs them in this order
        setattr(cls, name, _place(cls, name, test))


def _place(cls: type[ConformanceSuite], name: str, test: Test) -> Test | NotInList:
    """Return what stands in an adopter's class for a standard test."""
    unclaimed = [claim for claim in claims_of(test) if not cls.claims(claim)]
    missing = [each for each in signature(test).parameters if _is_missing(cls, each)]
    for claim in claims_of(test):
        if claim in cls.elsewhere:
            return NotInList(f"{claim} is proved elsewhere: {cls.elsewhere[claim]}")
    if unclaimed:
        if missing or len(unclaimed) > 1 or not test.__dict__[_PROBES]:
            return NotInList(_unclaimed(unclaimed[0]))
        return _probing(test, unclaimed[0])
    if name in cls.deviations:
        return _deviating(test, getattr(cls, name), cls.deviations[name])
    if not missing:
        return test
    if claims_of(test) and missing[0] in cls.needed:
        return _lacking(cls, test, missing[0])
    return NotInList(f"there is no fixture `{missing[0]}`")


def lacks(cls: Any, test: Test) -> bool:
    """Return whether a class has not the fixtures that a test needs."""
    return any(_is_missing(cls, fixture) for fixture in signature(test).parameters)


def _is_missing(cls: type[ConformanceSuite], fixture: str) -> bool:
    return fixture in cls.optional and not hasattr(cls, fixture)


def _unclaimed(claim: str) -> str:
    return f"{claim} is not claimed"


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


def _bad_elsewhere(cls: type[ConformanceSuite]) -> list[str]:
    return [
        f"elsewhere names {claim!r}, which this class does not claim"
        for claim in cls.elsewhere
        if not cls.claims(claim)
    ]


def _unexplained_changes(cls: type[ConformanceSuite]) -> list[str]:
    problems = []
    for name, test in cls.standard.items():
        found = getattr(cls, name)
        if isinstance(found, NotInList) or _origin_of(found) is test or deviation_of(found):
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
    if isinstance(found, NotInList):
        found = standard
    chosen = _copy_of(_origin_of(found) if callable(found) else standard)
    chosen.__dict__[_DEVIATION] = reason
    mark = pytest.mark.xfail(
        reason=f"deviation: {reason}",
        strict=_origin_of(found) is standard,
        run=callable(found),
    )
    marked: Test = mark(chosen)
    return marked


def _probing(standard: Test, claim: str) -> Test:
    """Return the test to run for a claim that is not made: it may fail, and a pass is reported."""
    chosen = _copy_of(standard)
    chosen.__dict__[_DISCLAIMED] = claim
    marked: Test = pytest.mark.xfail(reason=_unclaimed(claim), strict=False)(chosen)
    return marked


def _lacking(cls: type[ConformanceSuite], standard: Test, fixture: str) -> Test:
    """Return a test that fails, where the one in the list needs a fixture that is not there."""
    claims = " and ".join(claims_of(standard))
    problem = (
        f"{cls.__name__} claims {claims}, and has no fixture `{fixture}` to prove it: "
        f"define one in the class that gives {cls.optional[fixture]}"
    )

    def test(_self: object) -> None:
        pytest.fail(problem, pytrace=False)

    test.__name__, test.__doc__ = standard.__name__, standard.__doc__
    test.__dict__[_ORIGIN] = standard
    return test


def _origin_of(found: Any) -> Any:
    """Return the test that this one is a copy of, or stands for; a test of its own is its own."""
    return getattr(found, "__dict__", {}).get(_ORIGIN, found)


def _copy_of(test: Test) -> Test:
    """Return a test of its own that does the same, so that a mark on it marks no other."""
    assert isinstance(test, FunctionType)
    copy = FunctionType(
        test.__code__, test.__globals__, test.__name__, test.__defaults__, test.__closure__
    )
    copy.__doc__, copy.__module__ = test.__doc__, test.__module__
    copy.__dict__.update(test.__dict__)
    copy.__dict__[_ORIGIN] = test
    return copy
