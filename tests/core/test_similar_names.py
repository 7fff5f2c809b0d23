"""Did you mean: good suggestions, and the work for one does not grow with the names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import pytest

from civitas.plugins.similar import closest
from civitas.registry import LocalRegistry

KINDS = ("researcher", "writer", "worker.eu", "billing_service")


class Counted(dict[str, None]):
    """Names that count how often one is looked up."""

    looked_up = 0

    def __contains__(self, name: object) -> bool:
        self.looked_up += 1
        return super().__contains__(name)


def names(count: int) -> Counted:
    each = count // len(KINDS)
    return Counted.fromkeys(f"{kind}-{number}" for kind in KINDS for number in range(each))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that are compared, each of which takes some ten microseconds."""
    seen: list[str] = []

    class Comparing(difflib.SequenceMatcher[str]):
        def set_seq1(self, a: object) -> None:
            seen.append(str(a))
            super().set_seq1(a)  # type: ignore[arg-type]

    monkeypatch.setattr(difflib, "SequenceMatcher", Comparing)
    return seen


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("reseacher-77", "researcher-77"),  # a character is missing
        ("reseracher-77", "researcher-77"),  # two are swapped
        ("Researcher-77", "researcher-77"),
        ("reseacer-77", "researcher-77"),
        ("workereu-12", "worker.eu-12"),
        ("biling_servce-100", "billing_service-100"),
        ("billing_service-7777", "billing_service-777"),
    ],
)
def test_of_10000_names_the_one_that_was_meant_is_found(typed: str, meant: str) -> None:
    assert closest(typed, names(10_000)) == meant


@pytest.mark.parametrize("typed", ["xyz", "x" * 10_000, "", "\n"])
def test_for_what_is_like_nothing_there_is_none(typed: str) -> None:
    assert closest(typed, names(10_000)) is None


@pytest.mark.parametrize("typed", ["reseacer-77", "xyz-0", "writer", "w" * 24, "a" * 5_000])
@pytest.mark.parametrize("count", [10_000, 100_000])
def test_the_work_is_bounded(typed: str, count: int, compared: list[str]) -> None:
    there = names(count)
    closest(typed, there)
    assert there.looked_up <= 4_000  # about 0.2 microseconds each
    assert sum(map(len, compared)) <= 1_800  # some 50 names of twelve characters


def test_an_unknown_agent_among_many_takes_that_way(compared: list[str]) -> None:
    registry = LocalRegistry()
    for name in names(10_000):
        registry.register(name.replace(".", "-"))
    assert registry.similar("reseacer-77") == "researcher-77"
    assert len(compared) <= 60
