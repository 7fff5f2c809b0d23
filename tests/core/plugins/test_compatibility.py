"""Which versions of core a plugin's distribution admits, and what to upgrade where it does not."""

from __future__ import annotations

import pytest
from packaging.version import Version

from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.compatibility import incompatibility_with

PLUGIN = "carrier-pigeon"


def upgrade(core: str, *requirements: str) -> str | None:
    group = PluginKind.TRANSPORT.group
    candidate = Candidate(
        PluginKind.TRANSPORT, "pigeon", "m", PLUGIN, "1", group, core_requirements=requirements
    )
    problem = incompatibility_with(candidate, Version(core))
    return problem and problem.upgrade


@pytest.mark.parametrize(
    ("core", "requirement"),
    [
        ("0.1.0", "civitas-core"),
        ("0.1.0", "civitas-core>=0.1,<0.2"),
        ("0.1.7", "civitas-core (>=0.1,<0.2)"),
        ("0.1.0.post1", "civitas-core>=0.1,<0.2"),
        ("0.1.0+local", "civitas-core==0.1.0"),
        ("0.1.0", "civitas-core[testing]>=0.1"),
        ("0.1.0", "civitas-core>=0.1.0a1"),
        ("0.1.0", "civitas-core @ file:///somewhere/civitas_core.whl"),
        # What holds elsewhere, or for what was not asked for, is no matter here.
        ("0.1.0", "civitas-core>=7; extra == 'future'"),
        ("0.1.0", "civitas-core>=7; python_version < '3'"),
        # A release on its way counts as that release.
        ("0.2.0.dev1", "civitas-core>=0.2,<0.3"),
        ("0.2.0rc1", "civitas-core>=0.1,<0.3"),
        ("0.2.0rc1", "civitas-core==0.2.0rc1"),
        ("0.1.0.dev3", "civitas-core>=0.1,<0.2"),
    ],
)
def test_a_core_in_the_range_fits(core: str, requirement: str) -> None:
    assert upgrade(core, requirement) is None


@pytest.mark.parametrize(
    ("core", "requirement", "expected"),
    [
        ("0.1.0", "civitas-core<0.3,>=0.2", "civitas-core>=0.2,<0.3"),
        ("0.1.0", "civitas-core>0.1.0", "civitas-core>0.1.0"),
        ("0.1.0", "civitas-core~=0.2.1", "civitas-core~=0.2.1"),
        ("0.1.0", "civitas-core==0.2.*", "civitas-core==0.2.*"),
        ("0.1.0", "civitas-core!=0.1.0,>=0.1", "civitas-core>=0.1,!=0.1.0"),
        ("0.2.0", "civitas-core>=0.1,<0.2", PLUGIN),
        ("0.2.0", "civitas-core<=0.1.9", PLUGIN),
        ("0.2.0", "civitas-core~=0.1.0", PLUGIN),
        ("0.2.0", "civitas-core==0.1.0", PLUGIN),
        ("0.2.0", "civitas-core===0.1.0", PLUGIN),
        ("0.2.0.dev1", "civitas-core>=0.1,<0.2", PLUGIN),
        ("0.2.0.dev1", "civitas-core>=0.3", "civitas-core>=0.3"),
        # Nothing can be in this range, so core is not to blame.
        ("0.2.0", "civitas-core>=0.3,<0.1", PLUGIN),
    ],
)
def test_of_a_core_outside_of_the_range_the_older_side_is_to_be_upgraded(
    core: str, requirement: str, expected: str
) -> None:
    assert upgrade(core, requirement) == expected


def test_all_requirements_hold_and_one_that_can_not_be_read_is_told_and_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ranges = ("civitas-core>=0.1", "civitas-core=>0.1", "civitas-core<0.2")
    assert upgrade("0.1.0", *ranges) is None
    assert upgrade("0.2.0", *ranges) == PLUGIN
    assert "a requirement of carrier-pigeon 1 can't be read" in caplog.text
