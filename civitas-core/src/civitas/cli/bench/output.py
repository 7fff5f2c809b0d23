"""Output of `civitas bench`: a table or JSON, and progress on a terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from civitas.cli import streams
from civitas.cli.bench.measuring import SizeResult, size_text
from civitas.cli.tables import Column, write_table

_COLUMNS: Final = (
    Column("message"),
    *(Column(name, is_number=True) for name in ("ask p50", "ask p99", "one-way", "lost")),
    Column("", wraps=True),
)


def write_results(results: Sequence[SizeResult]) -> None:
    """Print the results as a table."""
    rows = []
    for each in results:
        if each.ask_p50 is None or each.ask_p99 is None or each.rate is None:
            rows.append([size_text(each.bytes), "", "", "", "", f"skipped: {each.skipped}"])
            continue
        times = [_time(each.ask_p50), _time(each.ask_p99)]
        rows.append([size_text(each.bytes), *times, f"{each.rate:,.0f}/s", str(each.lost)])
    skips = any(len(row) == len(_COLUMNS) for row in rows)
    write_table(_COLUMNS if skips else _COLUMNS[:-1], rows)


def changed(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Say which options of the transport are other ones than those of the topology."""
    return ", ".join(
        f"{name}: {value}" for name, value in after.items() if before.get(name) != value
    )


def _time(microseconds: float) -> str:
    if microseconds >= 1000:
        return f"{microseconds / 1000:,.2f} ms"
    return f"{microseconds:,.0f} us"


class ProgressLine:
    """Shows on a terminal what is being measured, as `with ProgressLine() as progress`."""

    def __init__(self) -> None:
        self._is_terminal = streams.err().isatty() and os.environ.get("TERM") != "dumb"
        self._shown = 0

    def show(self, text: str) -> None:
        """Show this instead of what was shown before."""
        if not self._is_terminal:
            return
        streams.err().write(f"\r{text.ljust(self._shown)}")
        streams.err().flush()
        self._shown = len(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:
            streams.err().write(f"\r{' ' * self._shown}\r")
            streams.err().flush()
