"""Which versions our distributions admit: the ends of ranges, and ranges that make no sense."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from release.ranges import lower_end, range_problems
from release.workspace import distributions
from support.workspaces import Workspace


@pytest.mark.parametrize(
    ("admitted", "expected"),
    [
        (">=0.1,<0.2", "0.1"),
        (">=0.1,>=0.1.4,<0.2", "0.1.4"),
        ("~=0.1.2", "0.1.2"),
        ("==0.1.3", "0.1.3"),
        ("<0.2", None),
        (">0.1,<0.2", None),
        ("==0.1.*", None),
        (">=0.1,!=0.1,<0.2", None),
    ],
)
def test_the_lower_end_of_a_range_is_a_version_that_is_in_it(
    admitted: str, expected: str | None
) -> None:
    assert lower_end(SpecifierSet(admitted)) == (expected and Version(expected))


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("civitas-core>=0.1,<0.2", ""),
        ("civitas-core>=0.2,<0.3", "and civitas-core is 0.1.0 here"),
        ("civitas-core<0.2", "names no oldest version"),
        ("civitas-core>=0.1", "admits releases nobody knows yet"),
        ("msgpack", "civitas-pigeon does not say which civitas-core it needs"),
    ],
)
def test_a_range_must_admit_what_is_here_and_have_two_ends(
    workspace: Workspace, requirement: str, problem: str
) -> None:
    workspace.write("civitas-pigeon", "0.1.0", requirement)
    everything = distributions(workspace.root)
    found = list(range_problems(everything["civitas-pigeon"], everything))
    assert (problem in found[0]) if problem else (found == []), found
