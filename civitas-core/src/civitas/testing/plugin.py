"""The pytest plugin of the conformance kit and of the simulation.

Every pytest run in an environment with civitas-core loads this file. So it imports nothing of the
kit, and does nothing in a run whose tests don't use it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from civitas.testing.report import Report

_OPTION: Final = "--conformance-report"
_ABOUT: Final = "civitas_conformance"
"""The attribute of a test's report that says which standard test it was."""

_STRESS: Final = "--conformance-stress"
_SEED: Final = "--civitas-seed"
_SEEDS: Final = "civitas_seeds"
"""What a simulated test has as an attribute (how many seeds) and as an argument (which ones)."""

_SEEDS_IN_A_TEST: Final = 50
"""More seeds than that become several tests, which can run beside each other."""

pytest.register_assert_rewrite(
    "civitas.testing.access",
    "civitas.testing.delivery",
    "civitas.testing.durability",
    "civitas.testing.faults",
    "civitas.testing.giving_up",
    "civitas.testing.instrument_calls",
    "civitas.testing.instruments",
    "civitas.testing.lifecycle",
    "civitas.testing.ordering",
    "civitas.testing.outages",
    "civitas.testing.processes",
    "civitas.testing.reading",
    "civitas.testing.reconnecting",
    "civitas.testing.requests",
    "civitas.testing.serializers",
    "civitas.testing.sizes",
    "civitas.testing.stress",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options: the file for the report, the volume, and the seed to run again."""
    group = parser.getgroup("civitas")
    group.addoption(
        _OPTION, metavar="FILE", help="write how the tests of the conformance kit ended, as JSON"
    )
    group.addoption(
        _STRESS, action="store_true", help="run the conformance kit in volume, too: minutes"
    )
    group.addoption(
        _SEED, metavar="N", type=int, help="run this seed of each simulated test, and no other"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a simulated test its seeds."""
    count = getattr(metafunc.function, _SEEDS, None)
    if count is None or _SEEDS not in metafunc.fixturenames:
        return
    seed = metafunc.config.getoption(_SEED)
    if seed is not None:
        metafunc.parametrize(_SEEDS, [(range(seed, seed + 1), True)], ids=[f"seed {seed}"])
        return
    starts = range(0, count, _SEEDS_IN_A_TEST)
    given = [range(first, min(first + _SEEDS_IN_A_TEST, count)) for first in starts]
    names = [f"seeds {each.start}-{each.stop - 1}" for each in given]
    metafunc.parametrize(_SEEDS, [(each, False) for each in given], ids=names)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for `--conformance-stress` without it, or has not the fixtures it needs."""
    if "civitas.testing.suite" not in sys.modules:
        return
    from civitas.testing.suite import is_for_stress, lacks

    with_stress = config.getoption(_STRESS)
    out = {
        item
        for item in items
        if isinstance(item, pytest.Function)
        and is_for_stress(item.function)
        and (not with_stress or lacks(item.cls, item.function))
    }
    if out:
        config.hook.pytest_deselected(items=[item for item in items if item in out])
        items[:] = [item for item in items if item not in out]


def pytest_configure(config: pytest.Config) -> None:
    """Watch the outcomes where they come together: not in the workers of pytest-xdist."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Watch(config), "civitas-conformance-watch")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a standard test which one it was, wherever it runs."""
    report = yield
    if "civitas.testing.suite" in sys.modules:
        from civitas.testing.record import StandardTest

        test = StandardTest.of(item)
        if test is not None:
            setattr(report, _ABOUT, test._asdict())
    return report


class Watch:
    """Makes a report if a standard test of the kit is among those that ran."""

    def __init__(self, config: pytest.Config) -> None:
        file = config.getoption(_OPTION)
        self._file = Path(file).absolute() if file else None
        self._report: Report | None = None
        self._problem = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a standard test ended."""
        about = getattr(report, _ABOUT, None)
        if about is None:
            return
        from civitas.testing.record import StandardTest
        from civitas.testing.report import Report

        self._report = self._report or Report()
        self._report.note(StandardTest(**about), report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the file; fail a run that was to write one and could not."""
        if self._file is None:
            return
        self._problem = self._write(self._file)
        if self._problem and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what the report says, and where it is."""
        if self._report is not None:
            self._report.write_summary(terminalreporter)
        if self._problem:
            text = f"{_OPTION}: nothing was written: {self._problem}"
            terminalreporter.write_line(text, red=True)
        elif self._file is not None and self._report is not None:
            terminalreporter.write_line(f"the report is in {self._file}")
            for name in self._report.unnamed():
                text = f"{name} states no `plugin`: `civitas plugins list` can't show it"
                terminalreporter.write_line(text, yellow=True)

    def _write(self, file: Path) -> str:
        """Write the file; return what hindered it, if anything did."""
        if self._report is None:
            return "no test of the conformance kit ran"
        try:
            self._report.write_file(file)
        except OSError as error:
            return str(error)
        return ""
