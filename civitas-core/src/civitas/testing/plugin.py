"""The pytest plugin of the conformance kit.

Every pytest run in an environment with civitas-core loads this file. So it imports nothing of the
kit, and does nothing in a run whose tests don't use it.
"""

from __future__ import annotations

import sys

import pytest

pytest.register_assert_rewrite(
    "civitas.testing.delivery",
    "civitas.testing.durability",
    "civitas.testing.faults",
    "civitas.testing.lifecycle",
    "civitas.testing.requests",
    "civitas.testing.serializers",
)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Watch the outcomes, if the kit is among the tests of this run."""
    if "civitas.testing.suite" not in sys.modules:
        return
    from civitas.testing.report import Report

    report = Report.of(session.items)
    if report.suites:
        session.config.pluginmanager.register(report, "civitas-conformance-report")
