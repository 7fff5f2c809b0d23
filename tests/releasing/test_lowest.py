"""The pinned lowest versions are those that the pyproject files name, each with a lower end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from release.lowest import TOOLS, UnboundedError, lines, lowest, lowest_of_build
from release.workspace import distributions
from support.workspaces import Workspace

REPOSITORY = Path(__file__).parents[2]
REQUIREMENTS = REPOSITORY / "requirements"
WORKSPACE = distributions(REPOSITORY)

WANTED = {
    "lowest": list(lines(lowest(WORKSPACE), TOOLS)),
    "lowest-build": list(lines(lowest_of_build(WORKSPACE))),
}


@pytest.mark.parametrize("name", WANTED)
def test_the_file_has_what_the_pyproject_files_name(name: str) -> None:
    assert (REQUIREMENTS / f"{name}.in").read_text().splitlines() == WANTED[name]


@pytest.mark.parametrize("name", WANTED)
def test_each_of_them_is_pinned(name: str) -> None:
    pins = re.findall(r"^(\S+)==(\S+)", (REQUIREMENTS / f"{name}.txt").read_text(), re.MULTILINE)
    pinned = {canonicalize_name(project): Version(version) for project, version in pins}
    for requirement in WANTED[name]:
        project, _, version = requirement.partition("==")
        assert pinned[canonicalize_name(project)] == Version(version or str(pinned[project]))


PAGES = [
    *REPOSITORY.glob("docs/**/*.md"),
    *REPOSITORY.glob("civitas-*/README.md"),
    *REPOSITORY.glob("civitas-*/src/**/*.tmpl"),
]


def test_what_pages_and_templates_say_is_the_same() -> None:
    ends = lowest(WORKSPACE) | lowest_of_build(WORKSPACE)
    said = [
        (path.name, name, version)
        for path in PAGES
        for name, version in re.findall(r"([A-Za-z][\w.-]*)>=(\d[\d.]*)", path.read_text())
        if canonicalize_name(name) in ends
    ]
    assert ("custom-transport.md", "hatchling", str(ends["hatchling"])) in said
    for page, name, version in said:
        assert Version(version) == ends[canonicalize_name(name)], page


def test_of_two_lower_ends_the_higher_one_counts_and_ours_are_left_out(
    workspace: Workspace,
) -> None:
    workspace.write("civitas-pigeon", "0.1.0", "civitas-core>=0.1,<0.2", "Msg.Pack>=1.2")
    workspace.write("civitas-dove", "0.1.0", "msg_pack~=1.1", "rings==3.1")
    found = lowest(distributions(workspace.root))
    assert found == {"msg-pack": Version("1.2"), "rings": Version("3.1")}


def test_what_names_no_lowest_version_is_refused(workspace: Workspace) -> None:
    workspace.write("civitas-pigeon", "0.1.0", "msgpack<2")
    with pytest.raises(UnboundedError, match="msgpack<2 names no lowest version"):
        lowest(distributions(workspace.root))
