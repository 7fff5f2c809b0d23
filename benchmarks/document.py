"""The document of a run: what was measured, on which machine, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from benchmarks.harness import Row

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one suite.

    Attributes:
        suite: its name.
        title: what it is about.
        pinned: whether all was kept on one processor.
        rows: what was measured.
        missing: why it was not; empty when it was.
    """

    suite: str
    title: str
    pinned: bool
    rows: Sequence[Row]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A run.

    Attributes:
        version: how git describes what was measured.
        date: when, in UTC (RFC 3339).
        seconds: how long it took.
        quick: whether it was only a look, with fewer rounds and messages.
        rounds: the values that each median is made of.
        machine: as `benchmarks.machine` describes it.
        parts: the suites.
    """

    version: str
    date: str
    seconds: float
    quick: bool
    rounds: int
    machine: Mapping[str, Any]
    parts: Sequence[Part]

    @property
    def met(self) -> bool:
        """Whether all was measured, and every target is met."""
        return all(
            not part.missing and all(row.met is not False for row in part.rows)
            for part in self.parts
        )

    def part(self, suite: str, *, pinned: bool) -> Part | None:
        """Return the rows of a suite; None when it was not measured so."""
        found = (each for each in self.parts if (each.suite, each.pinned) == (suite, pinned))
        return next(found, None)

    def to_json(self) -> str:
        """Return the document as text."""
        parts = [
            {
                "suite": part.suite,
                "title": part.title,
                "pinned": part.pinned,
                "missing": part.missing,
                "rows": [_rounded(row.as_dict()) for row in part.rows],
            }
            for part in self.parts
        ]
        values = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"format": FORMAT, **values, "parts": parts}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the document that `to_json` has written.

        Raises:
            ValueError: it is of another format.
        """
        values = json.loads(text)
        if values.pop("format") != FORMAT:
            raise ValueError("this document is of another version of the benchmarks: run them")
        parts = [
            Part(**{**part, "rows": [Row.read(row) for row in part["rows"]]})
            for part in values.pop("parts")
        ]
        return cls(**values, parts=parts)


def _rounded(value: Any) -> Any:
    """Return the values of a row with as many digits as mean anything."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return value
