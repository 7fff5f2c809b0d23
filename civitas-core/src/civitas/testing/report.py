"""Report: what a run of the kit says at its end, on the terminal and in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from civitas._authoring.conformance import FORMAT
from civitas.plugins.catalog import CORE_DISTRIBUTION, PluginKind, builtin, scan
from civitas.plugins.metadata import installed_version
from civitas.testing.record import StandardTest, SuiteRecord


class Report:
    """Collects how the kit's tests ended. They may have run in other processes (pytest-xdist)."""

    def __init__(self) -> None:
        self._records: dict[str, SuiteRecord] = {}

    def note(self, test: StandardTest, report: pytest.TestReport) -> None:
        """Note how a standard test ended."""
        if test.key not in self._records:
            self._records[test.key] = SuiteRecord(**test.about)
        self._records[test.key].note(test.name, report)

    def write_summary(self, terminal: pytest.TerminalReporter) -> None:
        """Write a section with a line for each class, and one for each test that is no pass."""
        terminal.section("civitas conformance")
        for record in self._in_order():
            for line in record.lines():
                terminal.write_line(line)

    def write_file(self, path: Path) -> None:
        """Write the report as JSON. The same outcomes give the same bytes.

        Raises:
            OSError: it can't be written.
        """
        suites = [{**record.as_dict(), **_origin_of(record)} for record in self._in_order()]
        report = {"format": FORMAT, "core": installed_version(CORE_DISTRIBUTION), "suites": suites}
        text = json.dumps(report, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")

    def unnamed(self) -> list[str]:
        """Return the classes that state no plugin, so that the file says nothing of any."""
        return [record.name for record in self._in_order() if record.plugin is None]

    def _in_order(self) -> Iterable[SuiteRecord]:
        return (self._records[key] for key in sorted(self._records))


def _origin_of(record: SuiteRecord) -> dict[str, Any]:
    """Return which distribution was tested; `None` where the class does not lead to one."""
    name, version = None, None
    if record.plugin is not None:
        kind = PluginKind(record.kind)
        mine = builtin(kind, record.plugin)
        found = [mine] if mine else [e for e in scan() if (e.kind, e.name) == (kind, record.plugin)]
        if len(found) == 1:
            name = found[0].distribution
            version = installed_version(name)
    return {"distribution": name, "version": version}
