"""The oldest core that a plugin admits: which it is, and that it is built as it was released."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from release.history import changes, released
from release.oldest import Oldest, OldestError, oldest_core, wheel_of
from support.workspaces import Workspace


def oldest_of(workspace: Workspace) -> Oldest:
    return oldest_core(workspace.root, workspace["civitas-pigeon"], workspace["civitas-core"])


def test_before_its_first_release_it_is_the_workspaces_own(workspace: Workspace) -> None:
    oldest = oldest_of(workspace)
    assert oldest == (Version("0.1.0"), None)
    assert "the workspace's own, as it is not released yet" in str(oldest)
    built = {"civitas-core": Path("built/here.whl")}
    assert wheel_of(oldest, workspace.root, built, workspace.root) == built["civitas-core"]


def test_a_released_one_is_taken_from_its_tag_and_the_first_of_its_series_counts(
    workspace: Workspace,
) -> None:
    workspace.commit("civitas-core-v0.1.0", "civitas-core-vnext", "civitas-pigeon-v0.1.0")
    workspace.write("civitas-core", "0.1.1")
    workspace.commit("civitas-core-v0.1.1")
    workspace.write("civitas-core", "0.1.2")
    assert set(released(workspace.root, "civitas-core")) == {Version("0.1.0"), Version("0.1.1")}
    assert oldest_of(workspace) == (Version("0.1.0"), "civitas-core-v0.1.0")
    assert str(oldest_of(workspace)) == "civitas-core 0.1.0 (civitas-core-v0.1.0)"


@pytest.mark.packaging
def test_its_wheel_has_the_code_of_the_tag_and_not_that_of_today(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.commit("civitas-core-v0.1.0")
    workspace.write("civitas-core", "0.1.1")
    workspace.commit()
    wheel = wheel_of(oldest_of(workspace), workspace.root, {}, tmp_path)
    assert wheel.name == "civitas_core-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("civitas/__init__.py") == b'"""Version 0.1.0."""\n'
    assert changes(workspace.root) == []


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("civitas-core>=0.0.9,<0.2", "admits civitas-core 0.0.9, which was never released"),
        ("civitas-core>=0.2,<0.3", "released: 0.1.0; here is 0.1.1"),
        ("civitas-core<0.2", "names no oldest civitas-core"),
        ("msgpack>=1", "no range at all"),
    ],
)
def test_what_was_never_released_is_no_oldest(
    workspace: Workspace, requirement: str, problem: str
) -> None:
    workspace.commit("civitas-core-v0.1.0")
    workspace.write("civitas-core", "0.1.1")
    workspace.write("civitas-pigeon", "0.1.1", requirement)
    with pytest.raises(OldestError) as refused:
        oldest_of(workspace)
    assert problem in str(refused.value)
