"""Budgets as a table to be read and edited: a line for each case, a column for each number."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence


class Budgets:
    """The most that each case may have. The first line of the text has the names of the columns."""

    def __init__(self, text: str) -> None:
        self._head, *lines = (line.strip() for line in text.strip().splitlines())
        self._columns = self._head.split()
        rows = [line.rsplit(maxsplit=len(self._columns)) for line in lines]
        self._most = {case: [float(each) for each in cells] for case, *cells in rows}

    def check(self, case: str, found: Sequence[float]) -> None:
        """Fail if a number that was found is above its budget. Print all of them as a line."""
        sys.stdout.write(f"\nfound: {self._line(case, found)}\n")
        over = [
            f"{column}: found {number:g}, allowed {most:g}"
            for column, number, most in zip(self._columns, found, self._most[case], strict=True)
            if number > most
        ]
        assert not over, f"{case} does more than its budget allows: {'; '.join(over)}"

    def _line(self, case: str, found: Sequence[float]) -> str:
        widths = [len(column) for column in re.findall(r"\S+ *", self._head + " ")]
        cells = (f"{each:g}".ljust(width) for each, width in zip(found, widths, strict=True))
        return f"{case.ljust(max(map(len, self._most)))}  {''.join(cells)}"
